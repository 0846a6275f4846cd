package feed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gadwall/internal/database"
	"gadwall/internal/events"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
)

// ErrWatchEnded says that the bus was closed.
var ErrWatchEnded = errors.New("the server shuts down")

// WatchOptions say what a Watch tells. The zero value is everything.
type WatchOptions struct {
	Kinds  []Kind
	User   mailkey.UserID // the zero value stands for all users
	Domain string         // of the users' names; empty for all
}

// A Watch tells what happens to the mail of all users from now on, for somebody who looks on. It has no
// position: what was left out cannot be read later. One goroutine at a time uses it; the owner closes it.
type Watch struct {
	feed    *Feed
	options WatchOptions
	bus     *events.Watch
	begun   time.Time // when the latest batch was taken
	others  bool      // as it was told
	told    map[mailkey.Mailbox]events.Change
	late    []lateChange
	unread  int64 // changes that were taken, and could not be read
}

// lateChange is a change that the database does not show yet.
type lateChange struct {
	events.Change
	tries int
}

// Owner is whose mail it is.
type Owner struct {
	ID       string `json:"id"`
	Username string `json:"username,omitempty"` // absent if the user is on the way out
}

// WatchedEvent is an event of one of many users.
type WatchedEvent struct {
	User Owner `json:"user"`
	Event
	// More says that what happened concerns further messages, which are not told.
	More bool `json:"more,omitempty"`
}

// Seen is what a Watch tells at a time.
type Seen struct {
	Events []WatchedEvent
	// LeftOut counts changes that are not told: there were too many, or they were lost on the way.
	LeftOut int64
	// Others says whether the changes of other instances arrive.
	Others bool
}

// Watch returns a Watch that begins now.
func (f *Feed) Watch(o WatchOptions) *Watch {
	room := watchBatch
	if o.Domain != "" {
		room = watchDomainBatch // whose users these are is found out afterwards
	}
	w := &Watch{feed: f, options: o, told: make(map[mailkey.Mailbox]events.Change)}
	w.bus = f.bus.Watch(room, w.mayTell)
	w.bus.Wake() // perhaps the changes of other instances arrive already
	return w
}

// Close ends the watch. Next is not called any more.
func (w *Watch) Close() { w.bus.Close() }

// mayTell reports whether an event of the bus may stand for something to tell. The bus calls it.
func (w *Watch) mayTell(ev events.Event) bool {
	if w.options.User != (mailkey.UserID{}) && w.options.User != ev.User {
		return false
	}
	switch ev.Kind {
	case events.New:
		return w.wants(NewMessage, Sent, Junk, NotJunk)
	case events.Changed:
		return w.wants(FlagsChanged, Moved, Expunged, Junk, NotJunk, Sent)
	case events.MailboxList:
		// Without a number it stands for a change of what the user sees, not of a mailbox.
		return ev.ModSeq > 0 && w.wants(MailboxCreated, MailboxRenamed, MailboxChanged, MailboxDeleted,
			MailboxSubscribed, MailboxUnsubscribed)
	case events.Quota:
		return w.wants(QuotaReached)
	}
	return true
}

// wants reports whether one of the kinds is told.
func (w *Watch) wants(kinds ...Kind) bool {
	return w.options.Kinds == nil || slices.ContainsFunc(kinds, func(k Kind) bool {
		return slices.Contains(w.options.Kinds, k)
	})
}

// Next returns what happened since the last call. It waits until there is something, or until the time
// given, and then returns nothing to tell. After an error the watch can be used further; it counts the
// changes that it did not read as left out. Two calls that have something to tell are watchInterval
// apart, so that a watch has a bound for what it reads, however much there is.
func (w *Watch) Next(ctx context.Context, until time.Time) (Seen, error) {
	for {
		ready, err := w.wait(ctx, until)
		if err != nil {
			return Seen{}, err
		}
		if !ready {
			return Seen{Others: w.others}, nil
		}
		w.begun = time.Now()
		changes, leftOut, open := w.bus.Take()
		if !open {
			return Seen{}, ErrWatchEnded
		}
		seen := Seen{LeftOut: w.unread + leftOut, Others: w.bus.Others()}
		w.unread = seen.LeftOut + int64(len(changes)+len(w.late))
		if err := w.readAll(ctx, changes, &seen); err != nil {
			return Seen{}, err
		}
		w.unread = 0
		if seen.some() || seen.Others != w.others {
			w.others = seen.Others
			return seen, nil
		}
	}
}

// some reports whether there is something to tell.
func (s *Seen) some() bool { return len(s.Events) > 0 || s.LeftOut > 0 }

// wait waits until something may be there to tell, and may be read; it reports false if that is not so
// at the time given.
func (w *Watch) wait(ctx context.Context, until time.Time) (ready bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	end := time.NewTimer(time.Until(until))
	defer end.Stop()
	if len(w.late) == 0 {
		select {
		case <-w.bus.C():
		case <-end.C:
			return false, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	pause := time.NewTimer(watchInterval - time.Since(w.begun))
	defer pause.Stop()
	select {
	case <-pause.C:
		return true, nil
	case <-end.C:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if len(w.late) == 0 {
		w.bus.Wake() // for the next call
	}
	return false, err
}

// readAll is read with a limit of time.
func (w *Watch) readAll(ctx context.Context, changes []events.Change, seen *Seen) error {
	ctx, cancel := context.WithTimeout(ctx, watchReadTimeout)
	defer cancel()
	return w.read(database.Causal(ctx), changes, seen)
}

// read adds what the changes are.
func (w *Watch) read(ctx context.Context, changes []events.Change, seen *Seen) error {
	list := w.late
	w.late = nil
	for _, c := range changes {
		list = append(list, lateChange{Change: c})
	}
	names, err := w.names(ctx, list)
	if err != nil {
		return err
	}
	if w.options.Domain != "" {
		list = slices.DeleteFunc(list, func(c lateChange) bool {
			return !strings.EqualFold(domainOf(names[c.User]), w.options.Domain)
		})
	}
	if len(list) > watchBatch {
		seen.LeftOut += int64(len(list) - watchBatch)
		list = list[:watchBatch]
	}
	for i := range list {
		told, err := w.tell(ctx, &list[i])
		if err != nil {
			return err
		}
		if told == nil {
			seen.LeftOut++
			continue
		}
		for _, e := range told {
			if w.options.Kinds == nil || slices.Contains(w.options.Kinds, e.Kind) {
				e.User = Owner{list[i].User.String(), names[list[i].User]}
				seen.Events = append(seen.Events, e)
			}
		}
	}
	return nil
}

// names returns the names of the users of the changes.
func (w *Watch) names(ctx context.Context, list []lateChange) (map[mailkey.UserID]string, error) {
	known := make(map[mailkey.UserID]bool, len(list))
	var users []mailkey.UserID
	for _, c := range list {
		if !known[c.User] {
			known[c.User] = true
			users = append(users, c.User)
		}
	}
	return w.feed.store.Usernames(ctx, users)
}

func domainOf(name string) string { return name[strings.LastIndexByte(name, '@')+1:] }

// tell returns what a change is; nil if that cannot be told.
func (w *Watch) tell(ctx context.Context, c *lateChange) ([]WatchedEvent, error) {
	r := &reader{feed: w.feed, user: c.User, limit: watchEvents + 1, brief: true,
		pos: &position{marks: make(map[uint32]mark)}, boxes: make(map[uint32]Mailbox)}
	var err error
	switch c.Kind {
	case events.Quota:
		r.events = []Event{{Kind: QuotaReached, Quota: (*QuotaLevel)(c.Quota)}}
	case events.MailboxList:
		err = r.watchNotes(ctx, c.From, c.To)
	default:
		var shown bool
		if shown, err = w.messages(ctx, r, c); err == nil && !shown {
			return w.postpone(*c), nil
		}
	}
	if errors.Is(err, mailstore.ErrJournalGap) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	told := make([]WatchedEvent, min(len(r.events), watchEvents))
	for i := range told {
		told[i].Event = r.events[i]
	}
	if len(r.events) > len(told) {
		told[len(told)-1].More = true
	}
	return told, nil
}

// postpone keeps a change for the next batch. It returns nil if the change was there often enough.
func (w *Watch) postpone(c lateChange) []WatchedEvent {
	if c.tries++; c.tries >= watchTries {
		return nil
	}
	w.late = append(w.late, c)
	return []WatchedEvent{}
}

// messages adds what happened to the messages of a mailbox. It reports false if the database does not
// show the change yet.
func (w *Watch) messages(ctx context.Context, r *reader, c *lateChange) (shown bool, err error) {
	key := c.User.Mailbox(c.Mailbox)
	// A change of several instances may come in pieces, of which one told of another.
	if t, ok := w.told[key]; ok && covers(&t, &c.Change) {
		return true, nil
	}
	extent, err := w.feed.store.ExtentOf(ctx, key)
	if errors.Is(err, mailstore.ErrNoSuchMailbox) {
		return true, nil // deleted meanwhile, which is told, too
	}
	if err != nil {
		return false, err
	}
	if extent.ModSeq < c.To {
		return false, nil
	}
	if len(w.told) >= watchRemembered {
		clear(w.told)
	}
	w.told[key] = c.Change
	r.boxes[c.Mailbox] = Mailbox{mailboxID(c.Mailbox), extent.Path, extent.SpecialUse}
	return true, r.watchMailbox(ctx, &c.Change, extent)
}

// covers reports whether one change, which was told, told of another with it. What was told as a change
// of flags is no new message.
func covers(told, c *events.Change) bool {
	if told.From > c.From || c.To > told.To {
		return false
	}
	return c.Kind != events.New ||
		told.Kind == events.New && c.First > 0 && told.First > 0 && told.First <= c.First && c.Last <= told.Last
}
