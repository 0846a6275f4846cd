package ingest

import (
	"errors"
	"strings"
	"testing"

	"gadwall/internal/logtest"
	"gadwall/quota"
)

func TestQueueID(t *testing.T) {
	for received, want := range map[string]string{
		"Received: from a (b [192.0.2.1])\r\n\tby mx.example.net (Postfix) with ESMTPS id 4Xy2Fj0abc\r\n" +
			"\tfor <ada@example.com>; Mon, 30 Nov 2026 04:00:00 +0000 (UTC)\r\n": "4Xy2Fj0abc",
		"Received: from a ([192.0.2.1] helo=b id x) by mx with esmtps (TLS1.3) tls ABC\r\n\t(Exim 4.96)\r\n" +
			"\t(envelope-from <g@example.net>)\r\n\tid 1rABCD-000123-2x\r\n" +
			"\tfor ada@example.com;\r\n\tdate\r\n": "1rABCD-000123-2x",
		"DKIM-Signature: v=1;\r\n id=no\r\nreceived : by mx ID abc; x\r\nReceived: by y id later; x\r\n": "abc",
		"Received: by mx; id is in the date\r\n":                                                         "",
		"Received: by mx (id (nested \\) id x) y\r\n":                                                    "",
		"Received: by mx id\r\n":                                                                         "",
		"Received: by mx id \x01\x02; x\r\n":                                                             "",
		"Received: by mx id " + strings.Repeat("x", maxLogID+1) + "; x\r\n":                              "",
		"Subject: x\r\n\r\nReceived: by mx id body; x\r\n":                                               "",
		"Received: by mx id cut-of":                                                                      "",
		"":                                                                                               "",
	} {
		var h head
		for _, c := range []byte(received) {
			h.take([]byte{c})
		}
		if strings.HasSuffix(received, "\n") && !strings.Contains(received, "\r\n\r\n") {
			h.take([]byte("Subject: x\r\n\r\n"))
		}
		if got := h.queueID(); got != want {
			t.Errorf("%q: %q, want %q", received, got, want)
		}
	}
	var h head
	h.take([]byte(strings.Repeat("X-Long: x\r\n", 1000) + "Received: by mx id far; x\r\n\r\n"))
	if got := h.queueID(); got != "" || len(h.octets) > maxHead {
		t.Errorf("%q from %d octets", got, len(h.octets))
	}
}

// FuzzQueueID: whatever is sent, what gets into a log line is part of it, short and printable.
func FuzzQueueID(f *testing.F) {
	f.Add("Received: from a (b)\r\n\tby mx (Postfix) with ESMTPS id 4Xy2Fj\r\n\tfor <a@b>; date\r\n\r\n")
	f.Add("received:((id)\\) id x\n y\n")
	f.Fuzz(func(t *testing.T, octets string) {
		var h head
		h.take([]byte(octets))
		id := h.queueID()
		if len(id) > maxLogID || !strings.Contains(octets, id) || hasControl(id) || strings.Contains(id, " ") {
			t.Fatalf("%q from %q", id, octets)
		}
	})
}

// Log lines name a message as the client, the user and the database do, and tell nothing else of
// it. Refusals are in the log and in the metrics.
func TestDeliveryLines(t *testing.T) {
	var logged logtest.Buffer
	st := realStore(t)
	ts := startServer(t, mailStore{st}, Options{LMTP: true, Logger: newTextLog(&logged), MaxMessageSize: 2000})
	bob, err := st.UserByName(t.Context(), "bob@example.com")
	if err != nil {
		t.Fatal(err)
	}
	if err := st.SetLimits(t.Context(), bob.ID, quota.Limits{Bytes: 100}); err != nil {
		t.Fatal(err)
	}
	c := ts.dial(t)
	c.open("LHLO", "ada@example.com")
	c.cmd("RCPT TO:<nobody@example.com>", "550 ")
	c.cmd("DATA", "354 ")
	c.cmd("Received: by mx (Postfix) id 4Xy2Fj; x\r\nMessage-ID: <id1@example.net>\r\n"+
		"Subject: Private\r\n\r\nSecret\r\n.", "250 ")
	c.cmd("MAIL FROM:<grace@example.net> SIZE=1000", "250 ")
	c.cmd("RCPT TO:<bob@example.com>", "452 ")
	c.cmd("RCPT TO:<ada@example.com>", "250 ")
	c.cmd("DATA", "354 ")
	c.cmd("Received: by mx id 4Xy2Fk; x\r\n\r\n"+strings.Repeat("Secret\r\n", 1000)+".", "552 ")
	c.cmd("MAIL FROM:<grace@example.net> SIZE=2001", "552 ")
	ts.stop(t)
	lines := strings.Split(strings.TrimSpace(logged.String()), "\n")
	want := [][]string{
		{`msg="recipient refused"`, "recipient=nobody@example.com", "reason=unknown_recipient", "from=grace@example.net"},
		{"msg=delivered", "queue_id=4Xy2Fj", "message_id=<id1@example.net>", "user=ada@example.com",
			"recipient=ada@example.com", "size=", "mailbox=INBOX", "uid=1", "session=", "remote=127.0.0.1"},
		{`msg="recipient refused"`, "recipient=bob@example.com", "reason=over_quota", "declared_size=1000"},
		{`msg="message refused"`, "queue_id=4Xy2Fk", "reason=size"},
		{`msg="message refused"`, "declared_size=2001", "reason=size"},
	}
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d:\n%s", len(lines), len(want), logged.String())
	}
	for i, line := range lines {
		for _, part := range append(want[i], "level=INFO") {
			if !strings.Contains(line, part) {
				t.Errorf("no %q in %s", part, line)
			}
		}
	}
	if log := logged.String(); strings.Contains(log, "Private") || strings.Contains(log, "Secret") {
		t.Error("text of a message is in the log")
	}
	for reason, n := range map[string]int{refusedUnknown: 1, refusedQuota: 1, refusedSize: 1} {
		if got := ts.countRefused(t, reason); got != n {
			t.Errorf("%d refusals because of %s, want %d", got, reason, n)
		}
	}
}

// What clients can cause as often as they like is one line, whatever its level.
func TestLogIsBounded(t *testing.T) {
	var logged logtest.Buffer
	st := newFakeStore("ada@example.com")
	st.fail["resolve"] = errors.New("injected")
	ts := startServer(t, st, Options{Logger: newTextLog(&logged), MaxConnectionsPerAddress: 1})
	c := ts.dial(t)
	c.open("EHLO")
	for range 50 {
		c.cmd("RCPT TO:<ada@example.com>", "451 ")
		refused := ts.dial(t)
		refused.want("421 ")
		refused.conn.Close()
	}
	ts.stop(t)
	for _, msg := range []string{"cannot look up recipient", "connection refused"} {
		if n := strings.Count(logged.String(), `msg="`+msg+`"`); n != 2 {
			t.Errorf("%q is logged %d times, want 2:\n%s", msg, n, logged.String())
		}
	}
	if !strings.Contains(logged.String(), "times=49") {
		t.Error("it does not say how often")
	}
}
