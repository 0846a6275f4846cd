package search

import (
	"context"
	"slices"
	"sync"

	"gadwall/internal/mailkey"
)

// turns shares a number of places, which stand for processors, between users. A search
// that looks through texts needs a place, and offers it to others from time to time. A
// free place goes to the user who has the fewest places; among equal ones the users take
// turns, and a new one comes last. So a user with many searches delays the others by one
// turn, not by all of them, and nobody waits for ever.
type turns struct {
	mu    sync.Mutex
	free  int
	lines []*line // of users who search; the next one in turn first
}

// line is the searches of one user.
type line struct {
	user    mailkey.UserID
	running int
	waiting []chan struct{} // closed when the search gets its place
}

func newTurns(places int) *turns { return &turns{free: places} }

// take waits for a place.
func (t *turns) take(ctx context.Context, user mailkey.UserID) error {
	t.mu.Lock()
	turn := t.join(user)
	t.grant()
	t.mu.Unlock()
	return t.wait(ctx, user, turn)
}

// pass gives the place to a search that waits, if there is one, and waits for another. An
// error leaves the caller without a place.
func (t *turns) pass(ctx context.Context, user mailkey.UserID) error {
	t.mu.Lock()
	if err := ctx.Err(); err != nil {
		t.leave(user)
		t.mu.Unlock()
		return err
	}
	if !slices.ContainsFunc(t.lines, func(l *line) bool { return len(l.waiting) > 0 }) {
		t.mu.Unlock()
		return nil
	}
	turn := t.join(user)
	t.leave(user)
	t.mu.Unlock()
	return t.wait(ctx, user, turn)
}

// done gives the place up.
func (t *turns) done(user mailkey.UserID) {
	t.mu.Lock()
	t.leave(user)
	t.mu.Unlock()
}

// wait waits for a turn that was asked for.
func (t *turns) wait(ctx context.Context, user mailkey.UserID, turn chan struct{}) error {
	select {
	case <-turn:
		return nil
	default:
	}
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.line(user)
	if i := slices.Index(l.waiting, turn); i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
		t.drop(l)
	} else { // it came at the same time
		t.leave(user)
	}
	return ctx.Err()
}

func (t *turns) line(user mailkey.UserID) *line {
	for _, l := range t.lines {
		if l.user == user {
			return l
		}
	}
	return nil
}

// join appends a search to the line of its user.
func (t *turns) join(user mailkey.UserID) chan struct{} {
	l := t.line(user)
	if l == nil {
		l = &line{user: user}
		t.lines = append(t.lines, l)
	}
	turn := make(chan struct{})
	l.waiting = append(l.waiting, turn)
	return turn
}

// leave gives a place of the user to whose turn it is.
func (t *turns) leave(user mailkey.UserID) {
	l := t.line(user)
	l.running--
	t.free++
	t.grant()
	t.drop(l)
}

// drop forgets a line without searches.
func (t *turns) drop(l *line) {
	if l.running == 0 && len(l.waiting) == 0 {
		t.lines = slices.DeleteFunc(t.lines, func(other *line) bool { return other == l })
	}
}

// grant gives free places to searches that wait.
func (t *turns) grant() {
	for t.free > 0 {
		next := -1
		for i, l := range t.lines {
			if len(l.waiting) > 0 && (next < 0 || l.running < t.lines[next].running) {
				next = i
			}
		}
		if next < 0 {
			return
		}
		l := t.lines[next]
		close(l.waiting[0])
		l.waiting = l.waiting[1:]
		l.running++
		t.free--
		t.lines = append(slices.Delete(t.lines, next, next+1), l)
	}
}
