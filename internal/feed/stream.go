package feed

import (
	"context"
	"errors"
	"time"

	"gadwall/internal/database"
	"gadwall/internal/events"
	"gadwall/internal/mailkey"
)

// A Stream follows what happens to the mail of a user. One goroutine at a time uses it; the owner
// closes it.
type Stream struct {
	feed  *Feed
	user  mailkey.UserID
	pos   *position
	since string
	clock *database.Clock

	sub  *events.Subscription
	wake <-chan events.Event // of sub; nil when the bus has closed
	due  bool                // there may be something to read
	// told are the mod-sequences of which events told and which were not read yet, by mailbox.
	// Looking for them soon ends after some attempts.
	told  map[uint32]uint64
	tries int
}

// maxTries bounds how often a stream looks soon for a change of which an event told.
const maxTries = 50

// Follow returns a stream that begins after a position. Errors as for Read; the first Next finds out
// whether the journal reaches back.
func (f *Feed) Follow(ctx context.Context, user mailkey.UserID, since string) (*Stream, error) {
	s := &Stream{feed: f, user: user, since: since, clock: new(database.Clock), due: true,
		told: make(map[uint32]uint64)}
	var err error
	if s.pos, err = f.parse(database.WithClock(ctx, s.clock), user, since); err != nil {
		return nil, err
	}
	s.sub = f.bus.Subscribe(user)
	s.wake = s.sub.C()
	return s, nil
}

// Close ends the stream. Next is not called any more.
func (s *Stream) Close() { s.sub.Close() }

// Position is the one after all pages that Next returned.
func (s *Stream) Position() string { return s.since }

// Next returns the next page. It waits until there are events, or until ctx ends; then the error is
// that of ctx, and the stream can be used further. Errors as for Read.
func (s *Stream) Next(ctx context.Context) (Page, error) {
	for {
		if err := ctx.Err(); err != nil {
			return Page{}, err
		}
		if s.due {
			s.hear()
			page, pos, err := s.feed.page(database.WithClock(ctx, s.clock), s.user, s.pos, streamEvents)
			if err != nil {
				return Page{}, ofContext(ctx, err)
			}
			s.pos, s.since, s.due = pos, page.Next, page.More
			if len(page.Events) > 0 {
				return page, nil
			}
			continue
		}
		if err := s.wait(ctx); err != nil {
			return Page{}, err
		}
	}
}

// nearDeadline is far above the round trip to any database.
const nearDeadline = time.Second

// ofContext returns the error of ctx in the place of one that the end of ctx leads to. The driver sends
// no command for whose answer the time until the deadline is too short, and says so before the deadline.
func ofContext(ctx context.Context, err error) error {
	if deadline, ok := ctx.Deadline(); ok && errors.Is(err, context.DeadlineExceeded) &&
		time.Until(deadline) < nearDeadline {
		<-ctx.Done()
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// hear takes the events that wait.
func (s *Stream) hear() {
	for {
		select {
		case ev, ok := <-s.wake:
			if !s.note(ev, ok) {
				return
			}
		default:
			return
		}
	}
}

// note takes one event. It reports false when the bus has closed.
func (s *Stream) note(ev events.Event, ok bool) bool {
	if !ok {
		s.wake = nil // looking now and then remains
		return false
	}
	if ev.Mailbox != 0 && ev.ModSeq > 0 {
		s.told[ev.Mailbox] = max(s.told[ev.Mailbox], ev.ModSeq)
		s.tries = 0
	}
	return true
}

// missing reports that the stream has not read what events told of.
func (s *Stream) missing() bool {
	for box, modseq := range s.told {
		if _, known := s.pos.marks[box]; !known || s.pos.of(box).modseq >= modseq {
			delete(s.told, box)
		}
	}
	return len(s.told) > 0
}

// wait waits until there may be something to read.
func (s *Stream) wait(ctx context.Context) error {
	pause := pollInterval
	if s.feed.bus.Connected() && s.wake != nil {
		pause = trustedInterval
	}
	if s.missing() {
		if s.tries++; s.tries < maxTries {
			pause = retryInterval
		} else {
			clear(s.told)
		}
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case ev, ok := <-s.wake:
		s.due = s.note(ev, ok)
	case <-timer.C:
		s.due = true
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}
