//go:build !race

package imap

import (
	"runtime"
	"testing"
)

// TestIdleMemory: what an idle session costs, in IDLE and between commands.
func TestIdleMemory(t *testing.T) {
	srv := newTestServer(t)
	srv.login(t).append("INBOX", "", message("one"))
	open := func(idle bool) {
		c := srv.login(t)
		c.ok("SELECT INBOX")
		c.ok("UID FETCH 1 (FLAGS BODY.PEEK[])")
		if idle {
			c.send("i IDLE\r\n")
			if line := c.line(); line != "+ idling" {
				t.Fatal(line)
			}
		}
		c.r = nil // the client's buffer does not count
	}
	// The aim is 20 KiB; the rest is the client's half of the connection, and
	// what the database and its driver do meanwhile, which is more on a busy machine.
	const sessions, budget = 40, 32 << 10
	for range sessions { // what all sessions share grows first
		open(false)
	}
	for _, idle := range []bool{false, true} {
		heap, stack := memory()
		for range sessions {
			open(idle)
		}
		heap2, stack2 := memory()
		each := (heap2 - heap + stack2 - stack) / sessions
		t.Logf("idle %v: %d bytes each, %d of them stack", idle, each, (stack2-stack)/sessions)
		if each > budget {
			t.Errorf("idle %v: a session costs %d bytes, more than %d", idle, each, budget)
		}
	}
}

// memory is what is in use after collections.
func memory() (heap, stack int64) {
	for range 5 {
		runtime.GC() // each one halves stacks that are too large, and empties pools
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc), int64(m.StackInuse)
}
