package imap

import (
	"slices"
	"strings"
	"testing"
)

// A client takes the greatest mod-sequence that FETCH told for the point from which it would come
// back. So the server tells all changes up to there, even if it has not heard of them.
func TestModSeqsBeyondLostEvents(t *testing.T) {
	t.Parallel()
	w := newSessionWorld(t)
	w.relay.change("never")
	here, there := w.servers[0].login(t), w.servers[1].login(t)
	for range 3 {
		here.append("INBOX", `\Flagged`, message("hello"))
	}
	here.ok("ENABLE QRESYNC")
	here.ok("SELECT INBOX")
	there.ok("SELECT INBOX")
	check := func(command string, want ...string) {
		t.Helper()
		if got, _ := here.ok("%s", command); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", command, got, want)
		}
	}
	there.ok(`STORE 1 +FLAGS (\Deleted)`)
	state := `* 1 FETCH (UID 1 FLAGS (\Flagged \Deleted) MODSEQ (5))`
	check(`UID STORE 1 +FLAGS.SILENT (\Flagged)`, state, state) // the latter in the order of all changes
	there.ok("EXPUNGE")
	there.ok(`STORE 1 FLAGS (\Seen)`)
	check("FETCH 2 MODSEQ", "* 2 FETCH (MODSEQ (7))", `* 2 FETCH (UID 2 FLAGS (\Seen) MODSEQ (7))`,
		"* OK [HIGHESTMODSEQ 5] Expunges are delayed")
	check("UID FETCH 2 (MODSEQ)", "* 2 FETCH (UID 2 MODSEQ (7))", "* VANISHED 1")
	there.ok(`STORE 1 FLAGS (\Answered)`)
	check(`STORE 2 FLAGS.SILENT (\Draft)`, `* 2 FETCH (UID 3 MODSEQ (9))`,
		`* 1 FETCH (UID 2 FLAGS (\Answered) MODSEQ (8))`)
	there.ok(`STORE 1 FLAGS (\Deleted)`)
	got, _ := here.ok("FETCH 2 BODY[TEXT]")
	if want := `* 1 FETCH (UID 2 FLAGS (\Deleted) MODSEQ (10))`; len(got) != 2 || got[1] != want ||
		!strings.HasPrefix(got[0], `* 2 FETCH (UID 3 FLAGS (\Seen \Draft) MODSEQ (11) BODY[TEXT] `) {
		t.Errorf("%q, want %q", got, want)
	}
	check("NOOP")
}

// A client with CONDSTORE gets mod-sequences with all flags that the server tells of itself, those of
// new messages (RFC 5465 section 5.2), too.
func TestNewMessagesHaveModSeqs(t *testing.T) {
	t.Parallel()
	s := newTestServer(t)
	c, other := s.login(t), s.login(t)
	c.ok("ENABLE CONDSTORE")
	c.ok("NOTIFY SET (SELECTED (MessageNew (UID FLAGS) MessageExpunge))")
	c.ok("SELECT INBOX")
	other.append("INBOX", `\Seen`, message("hello"))
	for _, want := range []string{"* 1 EXISTS", `* 1 FETCH (UID 1 FLAGS (\Seen) MODSEQ (2))`} {
		if got := c.line(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
