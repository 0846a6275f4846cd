package main

import (
	"bytes"
	"testing"
	"time"
)

func TestProgressLine(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 10, 0, time.UTC)
	for _, tt := range []struct {
		unit        string
		done, total int64
		want        string
	}{
		{"", 0, 0, "working: 10s"},
		{"", 0, 100, "working: 10s"},
		{"", 5e6, 0, "working: 5 MB, 500 kB/s"},
		{"", 5e6, 65e6, "working: 5 MB of 65 MB, 500 kB/s, 2m left"},
		{"user", 10, 11, "working: 10 of 11 users, 1 user/s, 1s left"},
		{"mailbox", 40, 30, "working: 40 mailboxes, 4 mailboxes/s"}, // more than was thought
	} {
		p := &progress{now: func() time.Time { return at }, began: at.Add(-10 * time.Second), what: "working",
			unit: tt.unit, done: tt.done, total: tt.total}
		if got := p.line(); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

// Nothing is written where nobody watches, and a line that was written goes away.
func TestProgressOnTerminalsOnly(t *testing.T) {
	var out bytes.Buffer
	p := startProgress(streams{err: &out}, "working", "", 10)
	p.add(1)
	p.end()
	if out.Len() > 0 {
		t.Errorf("written %q", &out)
	}
	p = startProgress(streams{err: &out}, "working", "user", 10)
	p.phase("resting", 2, 5)
	p.show()
	p.end()
	if got := out.String(); !bytes.HasPrefix(out.Bytes(), []byte("\r\x1b[Kresting: 2 of 5 users, ")) ||
		!bytes.HasSuffix(out.Bytes(), []byte("left\r\x1b[K")) {
		t.Errorf("written %q", got)
	}
}

func TestCount(t *testing.T) {
	for want, got := range map[string]string{
		"0 users": count(0, "user"), "1 user": count(1, "user"), "2 mailboxes": count(2, "mailbox"),
		"1 index entry": count(1, "index entry"), "3 index entries": count(3, "index entry"),
		"999 bytes": bytesText(999), "1 kB": bytesText(1000), "1.23 GB": bytesText(1234567890),
		"12.3 TB": bytesText(12345678901234),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
