package mailstore

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"gadwall/internal/mailkey"
)

// untold are the sessions that other instances are to end and were not told of yet: because the
// database was away, or because a revocation found nothing. They have one goroutine, however many they
// are.
type untold struct {
	mu      sync.Mutex
	tell    map[LoggedOut]func(ctx context.Context) error // at most maxUntold, and one more
	users   map[mailkey.UserID]int                        // how many credentials of a user are in tell
	running bool
}

// everybody stands for all sessions. Nobody is logged in as it.
var everybody = LoggedOut{Everybody: true}

// shutOut makes a change after which sessions are to end, and ends them. The change is made to its
// end, also when the caller goes. The sessions end whatever the outcome: a change that failed may have
// been made, and one that finds nothing to change may come after one whose outcome nobody knows. So
// the caller checks before what is wrong with the change in itself.
func (s *Store) shutOut(ctx context.Context, who LoggedOut, change func(ctx context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	defer context.AfterFunc(s.base, cancel)() // Close waits for no database that is away
	err := change(ctx)
	nothing := errors.Is(err, ErrNoSuchToken) || errors.Is(err, ErrNoSuchPassword) || errors.Is(err, ErrNoSuchUser)
	s.endSessions(ctx, who, nothing)
	return err
}

// endSessions ends sessions after a change that says so, which stands whether or not that is possible
// now. If not, it tries again until the Store is closed. If the change found nothing, other instances
// are told a little later, of all such changes together: anybody can ask for these without end.
func (s *Store) endSessions(ctx context.Context, who LoggedOut, nothing bool) {
	if s.loggedOut == nil {
		return
	}
	tell := s.loggedOut(who)
	if !nothing {
		// The change is made: that its client has gone does not matter.
		err := tellOnce(context.WithoutCancel(ctx), tell)
		if err == nil {
			return
		}
		s.log.Warn("open sessions of a user were not ended yet", "id", who.User.String(), "error", err)
	}
	s.tellLater(who, tell)
}

// tellLater has the other instances told in the background. Who is there already is told once: by the
// later order, which nobody has done yet. Of a user with more than maxUntoldOfUser credentials, all
// sessions end, and past maxUntold those of everybody: so what waits for the database is bounded.
func (s *Store) tellLater(who LoggedOut, tell func(ctx context.Context) error) {
	u := &s.untold
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.tell == nil {
		u.tell, u.users = make(map[LoggedOut]func(ctx context.Context) error), make(map[mailkey.UserID]int)
	}
	whole := LoggedOut{User: who.User}
	_, has := u.tell[who]
	switch {
	case has:
	case u.tell[everybody] != nil:
		who, tell = everybody, s.loggedOut(everybody)
	case who.Credential != "" && who.User != (mailkey.UserID{}) &&
		(u.tell[whole] != nil || u.users[who.User] >= maxUntoldOfUser):
		u.forgetUser(who.User)
		who, tell = whole, s.loggedOut(whole)
	case who == whole && u.users[who.User] > 0:
		u.forgetUser(who.User)
	case len(u.tell) >= maxUntold:
		s.log.Warn("all sessions end: there are too many that other instances could not be told to end")
		clear(u.tell)
		clear(u.users)
		who, tell = everybody, s.loggedOut(everybody)
	case who.Credential != "":
		u.users[who.User]++
	}
	u.tell[who] = tell
	if !u.running {
		u.running = s.spawn(func() { s.tellUntold(s.base) })
	}
}

// forgetUser takes out the credentials of a user, all of whose sessions end.
func (u *untold) forgetUser(user mailkey.UserID) {
	if u.users[user] > 0 {
		maps.DeleteFunc(u.tell, func(who LoggedOut, _ func(context.Context) error) bool { return who.User == user })
		delete(u.users, user)
	}
}

// tellUntold tells other instances, until there is nothing left to tell.
func (s *Store) tellUntold(ctx context.Context) {
	for {
		pause := time.NewTimer(s.logOutEvery)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return
		}
		if s.tellAll(ctx) {
			return
		}
	}
}

// tellAll tells other instances of all that wait, and ends at the first failure. It reports whether none
// is left: then tellUntold ends.
func (s *Store) tellAll(ctx context.Context) (none bool) {
	u := &s.untold
	u.mu.Lock()
	waiting := u.tell
	u.tell, u.users = nil, nil
	u.mu.Unlock()
	for who, tell := range waiting {
		if tellOnce(ctx, tell) != nil {
			break
		}
		delete(waiting, who)
	}
	for who, tell := range waiting {
		u.mu.Lock()
		_, again := u.tell[who]
		u.mu.Unlock()
		if !again {
			s.tellLater(who, tell)
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.running = len(u.tell) > 0
	return !u.running
}

func tellOnce(ctx context.Context, tell func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return tell(ctx)
}
