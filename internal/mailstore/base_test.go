package mailstore

import (
	"errors"
	"testing"
)

// A user has a bounded number of bases, by what they take: later ones replace the oldest.
func TestBasesAreBounded(t *testing.T) {
	const length = maxBaseOctets / (minBases + 3)
	e := newEnv(t)
	ada, bob := e.user(t).ID, e.user(t).ID
	latest := uint64(0)
	keep := func(octets int) *Base {
		t.Helper()
		b, err := e.KeepBase(t.Context(), ada, latest, make([]byte, octets))
		if err != nil {
			t.Fatal(err)
		}
		if b.ID <= latest {
			t.Fatalf("base %x after %x", b.ID, latest)
		}
		latest = b.ID
		return b
	}
	first, second := keep(1), keep(2)
	others, err := e.KeepBase(t.Context(), bob, 0, []byte("bob's"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2*minBases - 2 { // they are short
		keep(1)
	}
	if b, err := e.Base(t.Context(), ada, first.ID); err != nil || len(b.Data) != 1 {
		t.Errorf("the first of %d: %v, %v", 2*minBases, b, err)
	}
	if _, err := e.RenewBase(t.Context(), ada, first.ID); err != nil {
		t.Errorf("the first of %d, once more: %v", 2*minBases, err)
	}

	keep(length)
	for range minBases {
		keep(length)
	}
	if _, err := e.Base(t.Context(), ada, second.ID); !errors.Is(err, ErrJournalGap) {
		t.Errorf("one of before: %v", err)
	}
	if _, err := e.RenewBase(t.Context(), ada, second.ID); !errors.Is(err, ErrJournalGap) {
		t.Errorf("one of before, once more: %v", err)
	}
	list, err := e.LatestBases(t.Context(), ada, 0, 2*minBases)
	if err != nil || len(list) != minBases+3 || list[0].ID != latest {
		t.Errorf("%d bases are kept, the latest %x, want %x, %v", len(list), list[0].ID, latest, err)
	}
	if rest, err := e.LatestBases(t.Context(), ada, minBases+2, 5); err != nil || len(rest) != 1 ||
		rest[0].ID != list[minBases+2].ID || len(rest[0].Data) != 1 {
		t.Errorf("the oldest that is kept: %v, %v", rest, err)
	}
	keep(maxBaseOctets) // longer than all have room for
	if list, err := e.LatestBases(t.Context(), ada, 0, 2*minBases); err != nil || len(list) != minBases {
		t.Errorf("%d bases are kept at least, %v", len(list), err)
	}
	latest += 3600 << 10 // the clock of another instance is an hour ahead
	keep(1)
	if b, err := e.Base(t.Context(), bob, others.ID); err != nil || string(b.Data) != "bob's" {
		t.Errorf("that of another user: %v, %v", b, err)
	}
}
