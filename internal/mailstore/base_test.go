package mailstore

import (
	"errors"
	"testing"
)

// A user has a bounded number of bases: later ones replace the oldest.
func TestBasesAreBounded(t *testing.T) {
	e := newEnv(t)
	ada, bob := e.user(t).ID, e.user(t).ID
	keep := func() *Base {
		t.Helper()
		b, err := e.KeepBase(t.Context(), ada, []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	first, second := keep(), keep()
	others, err := e.KeepBase(t.Context(), bob, []byte("bob's"))
	if err != nil {
		t.Fatal(err)
	}
	var last *Base
	for range maxBases - 1 {
		last = keep()
	}
	if _, err := e.Base(t.Context(), ada, first.ID); !errors.Is(err, ErrJournalGap) {
		t.Errorf("the first of %d: %v", maxBases+1, err)
	}
	if _, err := e.RenewBase(t.Context(), ada, first.ID); !errors.Is(err, ErrJournalGap) {
		t.Errorf("the first of %d, once more: %v", maxBases+1, err)
	}
	if b, err := e.Base(t.Context(), ada, second.ID); err != nil || string(b.Data) != "x" {
		t.Errorf("the second: %v, %v", b, err)
	}
	if b, err := e.LatestBase(t.Context(), ada); err != nil || b.ID != last.ID {
		t.Errorf("the latest: %v, %v, want %v", b, err, last)
	}
	if b, err := e.Base(t.Context(), bob, others.ID); err != nil || string(b.Data) != "bob's" {
		t.Errorf("that of another user: %v, %v", b, err)
	}
}
