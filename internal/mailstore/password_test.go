package mailstore

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gadwall/internal/dbtest"
)

func TestHashIsPHC(t *testing.T) {
	s := &Store{hashing: newHashing()}
	text, err := s.hash(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(text, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hash %q", text)
	}
	h, err := parseHash(text)
	if err != nil {
		t.Fatal(err)
	}
	if h.String() != text {
		t.Errorf("%q became %q", text, h.String())
	}
	for password, want := range map[string]bool{"correct horse": true, "correct\u00a0horse": true,
		"Correct horse": false, "": false} {
		if got, err := s.verify(t.Context(), storedPassword{argonHash: h}, password); err != nil || got != want {
			t.Errorf("verify(%q) = %t, %v", password, got, err)
		}
	}
	if again, err := s.hash(t.Context(), "correct horse"); err != nil || again == text {
		t.Errorf("the same hash twice (%v): no salt", err)
	}
}

// The vector is from the reference implementation of argon2 (its test suite).
func TestVerifyKnowsForeignHashes(t *testing.T) {
	s := &Store{hashing: newHashing()}
	h, err := parseHash("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := s.verify(t.Context(), storedPassword{argonHash: h}, "password"); err != nil || !ok {
		t.Errorf("verify = %t, %v", ok, err)
	}
}

func TestPasswordLengths(t *testing.T) {
	s := &Store{hashing: newHashing()}
	for _, p := range []string{"", "1234567", strings.Repeat("x", MaxPasswordLength+1)} {
		if _, err := s.hash(t.Context(), p); !errors.Is(err, ErrWeakPassword) {
			t.Errorf("%d octets: %v", len(p), err)
		}
	}
	if err := checkPassword(strings.Repeat("x", MaxPasswordLength)); err != nil {
		t.Error(err)
	}
}

func TestParseHashRefuses(t *testing.T) {
	const salt, key = "c29tZXNhbHQ", "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	for _, s := range []string{
		"", "plain", "$2b$10$abc", "$argon2i$v=19$m=65536,t=2,p=1$" + salt + "$" + key,
		"$argon2id$v=16$m=65536,t=2,p=1$" + salt + "$" + key,
		"$argon2id$v=19$m=4294967295,t=2,p=1$" + salt + "$" + key,
		"$argon2id$v=19$m=65536,t=0,p=1$" + salt + "$" + key,
		"$argon2id$v=19$m=65536,t=2,p=0$" + salt + "$" + key,
		"$argon2id$v=19$m=65536,t=2$" + salt + "$" + key,
		"$argon2id$v=19$m=65536,t=2,p=1$!$" + key,
		"$argon2id$v=19$m=65536,t=2,p=1$" + salt + "$AAAA",
		"$argon2id$v=19$m=65536,t=2,p=1$$" + key,
	} {
		if h, err := parseHash(s); !errors.Is(err, errBadHash) {
			t.Errorf("parseHash(%q) = %v, %v", s, h, err)
		}
	}
}

func FuzzParseHash(f *testing.F) {
	f.Add(newHash().String())
	f.Add("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$AAAA")
	f.Fuzz(func(t *testing.T, in string) {
		h, err := parseHash(in)
		if err != nil {
			return
		}
		again, err := parseHash(h.String())
		if err != nil || again.String() != h.String() {
			t.Fatalf("%q became %q, %v", in, h.String(), err)
		}
	})
}

// Computations wait for the memory that others take, and one that takes more than there is has it
// all.
func TestHashingIsBounded(t *testing.T) {
	h := newHashing()
	ctx := t.Context()
	var running, most atomic.Int64
	var all sync.WaitGroup
	for i := range 40 {
		memory := []uint32{argonMemory, argonMemory, 2 * argonMemory, maxArgonMemory}[i%4]
		all.Go(func() {
			err := h.while(ctx, memory, func() {
				now := running.Add(min(int64(memory), h.all))
				for seen := most.Load(); now > seen && !most.CompareAndSwap(seen, now); seen = most.Load() {
				}
				runtime.Gosched()
				running.Add(-min(int64(memory), h.all))
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := most.Load(); got > h.all {
		t.Errorf("%d KiB at a time, want at most %d", got, h.all)
	}
	err := h.while(ctx, maxArgonMemory, func() {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		if err := h.while(ctx, argonMemory,
			func() { t.Error("beside one that has it all") }); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	if err != nil {
		t.Error(err)
	}
}

// A right password is computed once; a wrong one, and a right one after a change, each time.
func TestAuthenticateRemembersRightPasswords(t *testing.T) {
	e := openEnvWith(t, dbtest.Database(t), Options{RememberPasswords: time.Hour})
	computed := 0
	e.hashing.computing = func() { computed++ }
	u, err := e.CreateUser(t.Context(), NewUser{Username: "ada@example.com", Password: "correct horse"})
	if err != nil {
		t.Fatal(err)
	}
	for i, tt := range []struct {
		name, password string
		right          bool
		computes       int
	}{
		{"ada@example.com", "correct horse", true, 1},
		{"ada@example.com", "correct horse", true, 0},
		{"ADA@example.com", "correct horse", true, 0},
		{"ada@example.com", "wrong horse", false, 1},
		{"ada@example.com", "wrong horse", false, 1},
		{"eve@example.com", "correct horse", false, 1},
		{"eve@example.com", "correct horse", false, 1},
		{"ada@example.com", "correct horse", true, 0},
	} {
		computed = 0
		_, err := e.Authenticate(t.Context(), tt.name, tt.password, ScopeIMAP)
		if (err == nil) != tt.right || computed != tt.computes {
			t.Errorf("%d: %v, computed %d times, want %d", i, err, computed, tt.computes)
		}
	}
	if err := e.SetPassword(t.Context(), u.ID, "another horse"); err != nil {
		t.Fatal(err)
	}
	computed = 0
	if _, err := e.Authenticate(t.Context(), "ada@example.com", "correct horse", ScopeIMAP); !errors.Is(err,
		ErrAuthFailed) || computed != 1 {
		t.Errorf("the old password: %v, computed %d times", err, computed)
	}
}

func TestHashingGivesMemoryBack(t *testing.T) {
	h := newHashing()
	given := make(chan struct{}, 1)
	h.giveBack = func() { given <- struct{}{} }
	if err := h.while(t.Context(), argonMemory, func() {}); err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	armed := h.idle != nil && h.idle.Reset(0)
	h.mu.Unlock()
	if !armed {
		t.Fatal("nothing is going to give the memory back")
	}
	<-given
	h.stop()
	if err := h.while(t.Context(), argonMemory, func() {}); err != nil {
		t.Fatal(err)
	}
	if h.idle.Stop() {
		t.Error("a closed store would give memory back")
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	for name, keep := range map[string]time.Duration{"first": 0, "again": time.Hour} {
		b.Run(name, func(b *testing.B) {
			e := openEnvWith(b, dbtest.Database(b), Options{RememberPasswords: keep})
			if _, err := e.CreateUser(b.Context(), NewUser{Username: "ada@example.com",
				Password: "correct horse"}); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := e.Authenticate(b.Context(), "ada@example.com", "correct horse", ScopeIMAP); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
