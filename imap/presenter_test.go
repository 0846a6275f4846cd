package imap

import (
	"strings"
	"testing"
)

// TestKeywordsAnnounced: a keyword that is new since FLAGS was sent is announced by
// FLAGS and PERMANENTFLAGS before any FETCH response names it, on every path.
func TestKeywordsAnnounced(t *testing.T) {
	t.Parallel()
	srv := newTestServer(t)
	other := srv.login(t)
	other.append("INBOX", "", message("one"))
	other.ok("SELECT INBOX")
	c := srv.login(t)
	c.ok("SELECT INBOX")
	for _, path := range []struct{ name, keyword, command string }{
		{"FETCH", "kFetch", "FETCH 1 FLAGS"},
		{"UID FETCH", "kUIDFetch", "UID FETCH 1 (FLAGS)"},
		{"FETCH that sets Seen", "kSeen", "FETCH 1 BODY[]"},
		{"STORE", "kStore", "STORE 1 +FLAGS (\\Flagged)"},
		{"own STORE", "", "STORE 1 +FLAGS (kOwn)"},
		{"NOOP", "kNoop", "NOOP"},
		{"IDLE", "kIdle", ""},
	} {
		if path.command == "" {
			c.send("i IDLE\r\n")
			for c.line() != "+ idling" {
			}
		}
		if path.keyword != "" {
			other.ok("STORE 1 +FLAGS (%s)", path.keyword)
		} else {
			path.keyword = "kOwn"
		}
		var lines []string
		if path.command != "" {
			lines, _ = c.ok("%s", path.command)
		} else {
			for len(lines) == 0 || !strings.Contains(lines[len(lines)-1], " FETCH ") {
				lines = append(lines, c.line())
			}
			c.send("DONE\r\n")
			c.until("i")
		}
		announced := 0
		for _, line := range lines {
			named := strings.Contains(line, path.keyword)
			switch {
			case !named:
			case strings.HasPrefix(line, "* FLAGS ("), strings.HasPrefix(line, "* OK [PERMANENTFLAGS ("):
				announced++
			case announced != 2:
				t.Errorf("%s: %s before it was announced; got %q", path.name, line, lines)
			}
		}
		if announced != 2 {
			t.Errorf("%s: FLAGS and PERMANENTFLAGS have it %d times, want 2; got %q", path.name, announced, lines)
		}
	}
}
