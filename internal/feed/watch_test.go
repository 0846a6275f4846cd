package feed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/internal/storetest"
	"gadwall/quota"
)

// until calls Next until what was seen is enough, and returns all of it.
func until(t *testing.T, w *Watch, enough func(all *Seen) bool) (all Seen) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for !enough(&all) {
		seen, err := w.Next(ctx, time.Now().Add(time.Minute))
		if err != nil {
			t.Fatalf("%v after %+v", err, all)
		}
		all.Events = append(all.Events, seen.Events...)
		all.LeftOut += seen.LeftOut
	}
	return all
}

// number waits for so many events.
func number(n int) func(*Seen) bool { return func(all *Seen) bool { return len(all.Events) >= n } }

// shown writes events in short.
func (s *Seen) shown() string {
	var b strings.Builder
	for _, e := range s.Events {
		path := ""
		if e.Mailbox != nil {
			path = e.Mailbox.Path
		}
		fmt.Fprintf(&b, "%s %s", e.Kind, path)
		if e.From != nil {
			fmt.Fprintf(&b, " from %s %d", e.From.Mailbox.Path, e.From.UIDs)
		}
		if e.UIDs != nil {
			fmt.Fprintf(&b, " %d", e.UIDs)
		}
		if e.Message != nil {
			fmt.Fprintf(&b, " %d %v", e.Message.UID, e.Message.Flags)
		}
		if e.More {
			b.WriteString(" more")
		}
		b.WriteString("\n")
	}
	return b.String()
}

func expectShown(t *testing.T, got Seen, want ...string) {
	t.Helper()
	if g, w := got.shown(), strings.Join(want, "\n")+"\n"; g != w || got.LeftOut != 0 {
		t.Errorf("%d left out, and\n%swant\n%s", got.LeftOut, g, w)
	}
}

// A Watch tells what the feed tells, in the same kinds.
func TestWatch(t *testing.T) {
	i := newEnv(t, quota.Policy{Levels: quota.Levels{50}})
	ctx := t.Context()
	inbox, junk := i.user.Mailbox(1), i.user.Mailbox(4)
	i.deliver(t, inbox, 1) // before
	w := i.Feed.Watch(WatchOptions{})
	defer w.Close()

	i.deliver(t, inbox, 2)
	got := until(t, w, number(1))
	expectShown(t, got, "new INBOX 2 []")
	user, err := i.UserByID(ctx, i.user)
	if err != nil {
		t.Fatal(err)
	}
	if o := got.Events[0].User; o.ID != i.user.String() || o.Username != user.Username {
		t.Errorf("%+v, want %s", o, user.Username)
	}
	if m := got.Events[0].Message; m.Subject == "" || m.ModSeq == 0 || m.Size == 0 {
		t.Errorf("%+v", m)
	}
	flagged := mailstore.FlagChange{Op: mailstore.Add, Flags: mailstore.Flagged}
	if _, err := i.StoreFlags(ctx, inbox, set(1, 2), flagged); err != nil {
		t.Fatal(err)
	}
	expectShown(t, until(t, w, number(2)), `flags INBOX 1 [\Flagged]`, `flags INBOX 2 [\Flagged]`)
	if _, err := i.Move(ctx, inbox, set(1), junk); err != nil {
		t.Fatal(err)
	}
	expectShown(t, until(t, w, number(2)), "moved Junk from INBOX [1] [1]", "junk Junk [1]")
	deleted := mailstore.FlagChange{Op: mailstore.Add, Flags: mailstore.Deleted}
	if _, err := i.StoreFlags(ctx, inbox, set(2), deleted); err != nil {
		t.Fatal(err)
	}
	until(t, w, number(1))
	if _, _, err := i.Expunge(ctx, inbox, nil); err != nil {
		t.Fatal(err)
	}
	expectShown(t, until(t, w, number(1)), "expunged INBOX [2]")

	if _, err := i.CreateMailbox(ctx, i.user, "a/b", mailstore.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	expectShown(t, until(t, w, number(1)), "mailbox-created a/b")
	if err := i.RenameMailbox(ctx, i.user, "a/b", "c"); err != nil {
		t.Fatal(err)
	}
	expectShown(t, until(t, w, number(1)), "mailbox-renamed c")
	if err := i.Subscribe(ctx, i.user, "nothing", true); err != nil {
		t.Fatal(err)
	}
	expectShown(t, until(t, w, number(1)), "mailbox-subscribed nothing")
	// Others are told that the list has changed, by which nothing happened.
	if err := i.SetGroups(ctx, i.user, []string{"staff"}); err != nil {
		t.Fatal(err)
	}
	if err := i.DeleteMailbox(ctx, i.user, "c"); err != nil {
		t.Fatal(err)
	}
	expectShown(t, until(t, w, number(1)), "mailbox-deleted c")

	if _, err := i.ChangeLimits(ctx, i.user, func(l quota.Limits) quota.Limits {
		l.Messages = 4
		return l
	}); err != nil {
		t.Fatal(err)
	}
	i.deliver(t, inbox, 3)
	got = until(t, w, number(2))
	if k := kindsOf(got); !slices.Equal(k, []Kind{NewMessage, QuotaReached}) {
		t.Errorf("%v", k)
	}
}

func kindsOf(s Seen) (list []Kind) {
	for _, e := range s.Events {
		list = append(list, e.Kind)
	}
	return list
}

// Kinds, users and domains keep out what nobody asked for, and do not take its room.
func TestWatchFilters(t *testing.T) {
	i := newEnv(t, quota.Policy{})
	ctx := t.Context()
	other, err := i.CreateUser(ctx, mailstore.NewUser{Username: fmt.Sprintf("one%d@example.net", users.Add(1)),
		Password: storetest.Password})
	if err != nil {
		t.Fatal(err)
	}
	moves := i.Feed.Watch(WatchOptions{Kinds: []Kind{Moved}})
	defer moves.Close()
	one := i.Feed.Watch(WatchOptions{User: other.ID})
	defer one.Close()
	domain := i.Feed.Watch(WatchOptions{Domain: "EXAMPLE.net"})
	defer domain.Close()
	for n := range 2 * watchBatch {
		box, err := i.CreateMailbox(ctx, i.user, fmt.Sprint("box", n), mailstore.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		i.deliver(t, box.Key, n)
	}
	i.deliver(t, other.ID.Mailbox(1), 1)
	if _, err := i.Move(ctx, other.ID.Mailbox(1), set(1), other.ID.Mailbox(5)); err != nil {
		t.Fatal(err)
	}
	hasMove := func(all *Seen) bool {
		return slices.ContainsFunc(all.Events, func(e WatchedEvent) bool { return e.Kind == Moved })
	}
	if got := until(t, moves, hasMove); len(got.Events) != 1 || got.LeftOut != 0 {
		t.Errorf("of moves: %+v", got)
	}
	for _, w := range []*Watch{one, domain} {
		got := until(t, w, hasMove)
		if got.LeftOut != 0 || slices.ContainsFunc(got.Events, func(e WatchedEvent) bool {
			return e.User.ID != other.ID.String()
		}) {
			t.Errorf("of %+v: %+v", w.options, got)
		}
	}
}

// However much happens, a Watch reads and tells a bounded part of it, and counts the rest.
func TestWatchIsBounded(t *testing.T) {
	i := newEnv(t, quota.Policy{})
	ctx := t.Context()
	w := i.Feed.Watch(WatchOptions{Kinds: []Kind{NewMessage, FlagsChanged, Expunged}})
	defer w.Close()
	const boxes = 3 * watchBatch
	var keys []mailkey.Mailbox
	for n := range boxes {
		box, err := i.CreateMailbox(ctx, i.user, fmt.Sprint("box", n), mailstore.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, box.Key)
	}
	for n, key := range keys {
		i.deliver(t, key, n)
	}
	begun := time.Now()
	all := until(t, w, func(all *Seen) bool { return int64(len(all.Events))+all.LeftOut >= boxes })
	if len(all.Events) != watchBatch || all.LeftOut != boxes-watchBatch {
		t.Errorf("%d events, %d left out", len(all.Events), all.LeftOut)
	}
	// The next one waits its turn.
	i.deliver(t, keys[0], 100)
	until(t, w, number(1))
	if d := time.Since(begun); d < watchInterval {
		t.Errorf("two batches within %v", d)
	}
	// A change of many messages tells some of them.
	for n := range watchEvents + 5 {
		i.deliver(t, keys[1], n)
	}
	until(t, w, number(1))
	flagged := mailstore.FlagChange{Op: mailstore.Add, Flags: mailstore.Flagged}
	box, err := i.ExtentOf(ctx, keys[1])
	if err != nil {
		t.Fatal(err)
	}
	var uids []uint32
	for uid := uint32(1); uint64(uid) < box.UIDNext; uid++ {
		uids = append(uids, uid)
	}
	if _, err := i.StoreFlags(ctx, keys[1], set(uids...), flagged); err != nil {
		t.Fatal(err)
	}
	flags := until(t, w, func(all *Seen) bool {
		return slices.ContainsFunc(all.Events, func(e WatchedEvent) bool { return e.Kind == FlagsChanged })
	})
	last := flags.Events[len(flags.Events)-1]
	if n := len(flags.Events); n > 2*watchEvents || !last.More {
		t.Errorf("%d events, the last is %+v", n, last)
	}
}

func TestWatchEnds(t *testing.T) {
	i := newEnv(t, quota.Policy{})
	w := i.Feed.Watch(WatchOptions{})
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Next(ctx, time.Now().Add(time.Minute)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	// What came meanwhile is there.
	i.deliver(t, i.user.Mailbox(1), 1)
	if _, err := w.Next(ctx, time.Now().Add(time.Minute)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	// Neither does a time that is over take anything.
	if seen, err := w.Next(t.Context(), time.Now()); err != nil || len(seen.Events) > 1 {
		t.Errorf("%+v, %v", seen, err)
	} else if len(seen.Events) == 0 {
		until(t, w, number(1))
	}
	_ = i.Bus.Close()
	if _, err := w.Next(t.Context(), time.Now().Add(time.Minute)); !errors.Is(err, ErrWatchEnded) {
		t.Error(err)
	}
}
