package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// Go's heap stays below the limit that the container has.
func TestLimitMemory(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	t.Setenv("GOMEMLIMIT", "") // so that it is put back
	if err := os.Unsetenv("GOMEMLIMIT"); err != nil {
		t.Fatal(err)
	}
	limitMemory(log, memlimit.Limit(10<<30))
	if got := debug.SetMemoryLimit(-1); got != 8<<30 {
		t.Errorf("limit %d, want 8 GiB", got)
	}
	limitMemory(log, func() (uint64, error) { return 0, errors.New("no cgroup") })
	if got := debug.SetMemoryLimit(-1); got != 8<<30 {
		t.Errorf("limit %d where none is known", got)
	}
}

// A stopping server says which protocols it waits for, and that it was long in vain.
func TestShutdownTells(t *testing.T) {
	written := newTranscript()
	log := slog.New(slog.NewTextHandler(written, nil))
	finish, ended := make(chan struct{}), make(chan struct{})
	protocols := []protocol{
		{name: "IMAP", shutdown: func(context.Context) error { return nil }},
		{name: "LMTP", shutdown: func(context.Context) error {
			<-finish
			return errors.New("one was cut off")
		}},
	}
	go func() {
		defer close(ended)
		shutdown(protocols, time.Millisecond, log)
	}()
	written.wait(t, `msg="still stopping: connections have not ended" protocols=LMTP`)
	close(finish)
	<-ended
	for _, want := range []string{
		`protocols="IMAP LMTP" at_most=30s`, `protocol=LMTP error="one was cut off"`,
	} {
		if !strings.Contains(written.String(), want) {
			t.Errorf("no %q in\n%s", want, written)
		}
	}
}
