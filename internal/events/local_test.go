package events

import (
	"context"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"gadwall/internal/mailkey"
)

var (
	ada = mailkey.UserID{1}
	bob = mailkey.UserID{2}
)

func drain(s *Subscription) []Event {
	var evs []Event
	for {
		select {
		case ev, ok := <-s.C():
			if !ok {
				return evs
			}
			evs = append(evs, ev)
		default:
			return evs
		}
	}
}

func TestLocalFanOut(t *testing.T) {
	b := NewLocal()
	a1, a2, o := b.Subscribe(ada), b.Subscribe(ada), b.Subscribe(bob)
	ev := Event{User: ada, Mailbox: 3, ModSeq: 7, Kind: New, UIDs: []uint32{4, 5}}
	if err := b.Publish(t.Context(), ev); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*Subscription{a1, a2} {
		if diff := cmp.Diff([]Event{ev}, drain(s)); diff != "" {
			t.Error(diff)
		}
	}
	if got := drain(o); got != nil {
		t.Errorf("another user received %v", got)
	}
	a1.Close()
	a1.Close()
	if _, open := <-a1.C(); open {
		t.Error("channel of a closed subscription is open")
	}
	b.Publish(t.Context(), ev)
	if len(drain(a2)) != 1 {
		t.Error("closing one subscription disturbed another")
	}
	b.Close()
	if _, open := <-a2.C(); open {
		t.Error("channel is open after the bus closed")
	}
	a2.Close()
	if _, open := <-b.Subscribe(ada).C(); open {
		t.Error("subscription to a closed bus is open")
	}
}

// A receiver that has no channel is woken and takes the events one by one.
func TestNext(t *testing.T) {
	b := NewLocal()
	woken := 0
	s := b.SubscribeWaking(ada, func() { woken++ })
	next := func() (ev Event, ok bool) {
		t.Helper()
		ev, ok, open := s.Next()
		if !open {
			t.Error("it is closed")
		}
		return ev, ok
	}
	if ev, ok := next(); ok {
		t.Errorf("before anything happened: %v", ev)
	}
	for _, box := range []uint32{3, 4, 3} {
		b.Publish(t.Context(), Event{User: ada, Mailbox: box, ModSeq: uint64(10 + woken), Kind: Changed})
	}
	if woken != 3 {
		t.Errorf("woken %d times", woken)
	}
	for _, want := range []Event{{User: ada, Mailbox: 3, ModSeq: 12, Kind: Changed},
		{User: ada, Mailbox: 4, ModSeq: 11, Kind: Changed}} {
		if ev, ok := next(); !ok || cmp.Diff(want, ev) != "" {
			t.Errorf("%v, want %v", ev, want)
		}
	}
	if ev, ok := next(); ok {
		t.Errorf("more than happened: %v", ev)
	}
	for box := range uint32(maxPending + 1) {
		b.Publish(t.Context(), Event{User: ada, Mailbox: box, ModSeq: 1, Kind: Changed})
	}
	b.Close()
	if woken != 3+maxPending+2 {
		t.Errorf("woken %d times", woken)
	}
	if ev, ok, open := s.Next(); !ok || !open || ev.Kind != Resync {
		t.Errorf("after too many: %v", ev)
	}
	if _, ok, open := s.Next(); ok || open {
		t.Error("after the end")
	}
}

// A subscription may hear of several users, and of others later.
func TestHear(t *testing.T) {
	b := NewLocal()
	s, eve := b.Subscribe(ada), mailkey.UserID{3}
	told := func() (users []mailkey.UserID) {
		for _, user := range []mailkey.UserID{ada, bob, eve} {
			b.Publish(t.Context(), Event{User: user, Mailbox: 1, ModSeq: 7, Kind: Changed})
		}
		for _, ev := range drain(s) {
			users = append(users, ev.User)
		}
		return users
	}
	for _, want := range [][]mailkey.UserID{{ada}, {ada, bob}, {bob, eve}, {eve}} {
		s.Hear(want...)
		if diff := cmp.Diff(want, told()); diff != "" {
			t.Error(diff)
		}
	}
	s.Close()
	s.Hear(ada)
	if told() != nil || len(b.(*local).subscribed()) != 0 {
		t.Error("a closed subscription hears")
	}
}

func TestMerge(t *testing.T) {
	changed := func(mbox uint32, seq uint64) Event {
		return Event{User: ada, Mailbox: mbox, ModSeq: seq, Kind: Changed}
	}
	fresh := Event{User: ada, Mailbox: 1, ModSeq: 9, Kind: New, UIDs: []uint32{1}}
	resync := Event{User: ada, Kind: Resync}
	full := make([]Event, maxPending)
	for i := range full {
		full[i] = changed(uint32(i), 1)
	}
	tests := []struct {
		name    string
		waiting []Event
		ev      Event
		want    []Event
	}{
		{"same mailbox keeps the highest", []Event{changed(1, 5)}, changed(1, 4), []Event{changed(1, 5)}},
		{"same mailbox moves on", []Event{changed(1, 5)}, changed(1, 6), []Event{changed(1, 6)}},
		{"other mailbox waits behind", []Event{changed(1, 5)}, changed(2, 1), []Event{changed(1, 5), changed(2, 1)}},
		{"new mail is kept apart", []Event{changed(1, 5)}, fresh, []Event{changed(1, 5), fresh}},
		{"new mail is not merged", []Event{fresh}, fresh, []Event{fresh, fresh}},
		{"resync replaces", []Event{changed(1, 5), fresh}, resync, []Event{resync}},
		{"resync swallows", []Event{resync}, fresh, []Event{resync}},
		{"too many", full, changed(99, 1), []Event{resync}},
		{"full but mergeable", full[:1], changed(0, 3), []Event{changed(0, 3)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			waiting := append(make([]Event, 0, maxPending+1), tt.waiting...)
			if diff := cmp.Diff(tt.want, merge(waiting, tt.ev)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Whatever is published, a subscriber learns for every mailbox the highest
// mod-sequence, or is told to read everything again.
func TestNothingIsLostUnnoticed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newLocal()
		s := b.Subscribe(ada)
		want := map[uint32]uint64{}
		got := map[uint32]uint64{}
		receive := func() {
			for _, ev := range drain(s) {
				if ev.Kind == Resync {
					for m, q := range want {
						got[m] = q
					}
				}
				got[ev.Mailbox] = max(got[ev.Mailbox], ev.ModSeq)
			}
		}
		for _, step := range rapid.SliceOfN(rapid.IntRange(0, 40), 0, 100).Draw(t, "steps") {
			if step == 0 {
				receive()
				continue
			}
			mbox := uint32(step)
			want[mbox]++
			kind := Changed
			if step%3 == 0 {
				kind = New
			}
			b.Publish(context.Background(), Event{User: ada, Mailbox: mbox, ModSeq: want[mbox], Kind: kind})
		}
		receive()
		for m, q := range want {
			if got[m] != q {
				t.Fatalf("mailbox %d: knows mod-sequence %d, is at %d", m, got[m], q)
			}
		}
	})
}

func TestLocalConcurrentUse(t *testing.T) {
	b := NewLocal()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 500 {
				b.Publish(context.Background(), Event{User: ada, Mailbox: uint32(i), Kind: Changed})
			}
		})
		wg.Go(func() {
			for range 200 {
				s := b.Subscribe(ada)
				drain(s)
				s.Close()
			}
		})
	}
	wg.Go(func() {
		s := b.Subscribe(ada)
		for range s.C() {
		}
	})
	for range 1000 {
		b.Publish(context.Background(), Event{User: ada, Kind: Changed})
	}
	b.Close()
	wg.Wait()
}
