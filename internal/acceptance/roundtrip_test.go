package acceptance

import (
	"bytes"
	"testing"

	"gadwall/internal/mailgen"
)

// roundTripMails is how many generated messages go through the whole system.
const roundTripMails = 1000

// TestRoundTrip delivers messages of every shape, broken ones among them, and reads each back byte
// for byte after the trace lines that delivery added.
func TestRoundTrip(t *testing.T) {
	s := startServer(t)
	sent := make([][]byte, roundTripMails)
	for i := range sent {
		sent[i] = mailgen.Message(uint64(i))
	}
	s.deliver(t, sent...)
	next := 0
	fetchAll(t, s.login(t), "INBOX", func(m fetched) {
		if next == len(sent) {
			t.Fatalf("more messages come back than were sent")
		}
		want := sent[next]
		if !bytes.HasSuffix(m.body, want) {
			t.Errorf("message %d came back changed:\n got %.600q\nwant %.300q", next, m.body, want)
		} else if _, rest, err := splitTrace(m.body[:len(m.body)-len(want)]); err != nil || len(rest) > 0 {
			t.Errorf("message %d: between trace and message stands %q (%v)", next, rest, err)
		}
		if int(m.size) != len(m.body) {
			t.Errorf("message %d: RFC822.SIZE %d, body has %d", next, m.size, len(m.body))
		}
		next++
	})
	if next != len(sent) {
		t.Errorf("%d messages came back of %d", next, len(sent))
	}
}
