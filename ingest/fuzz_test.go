package ingest

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// FuzzConnection sends arbitrary octets to a server. It must not panic, must not
// leave anything behind, must answer with replies only, and whatever it delivers must have been
// sent in whole: as a dot-stuffed body with its end, or as octets in order
// with a last chunk.
func FuzzConnection(f *testing.F) {
	for _, conv := range conversations {
		f.Add([]byte(conv.sent+conv.after), true)
		f.Add([]byte(strings.ReplaceAll(conv.sent+conv.after, "LHLO", "EHLO")), false)
	}
	f.Add([]byte("EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<ada@example.com>\r\nBDAT 0\r\nRSET\r\n"+
		"MAIL FROM:<>\r\nBDAT 5 LAST\r\nDATA\r\n"), false)
	f.Add([]byte("LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<ada@example.com>\r\nRCPT TO:<ada+1@example.com>\r\n"+
		"BDAT 1\r\nxLHLO d\r\nDATA\r\nBDAT x\r\n"), true)
	f.Fuzz(func(t *testing.T, input []byte, lmtp bool) {
		st := newFakeStore("ada@example.com")
		srv, err := newServer(Options{
			Hostname: "mx.example.com", LMTP: lmtp, MaxMessageSize: 1000, Logger: newTestLog(t),
		}, st)
		if err != nil {
			t.Fatal(err)
		}
		l := newPipeListener()
		served := make(chan error, 1)
		go func() { served <- srv.Serve(l) }()
		ours, theirs := net.Pipe()
		l.conns <- theirs
		ours.SetDeadline(time.Now().Add(within))
		go func() {
			ours.Write(input) // the server may close before it has read all
			ours.Write([]byte("\r\n.\r\nQUIT\r\n"))
			ours.Close()
		}()
		replies, _ := io.ReadAll(ours)
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Fatalf("the connection did not end: %v", err)
		}
		if err := <-served; err != nil {
			t.Fatal(err)
		}
		st.check(t)
		for line := range bytes.SplitSeq(replies, []byte("\r\n")) {
			isReply := len(line) >= 4 && line[0] >= '2' && line[0] <= '5'
			if len(line) > 0 && !isReply && !bytes.Equal(line, replies) {
				t.Fatalf("not a reply: %q", line)
			}
		}
		sent := string(input) + "\r\n.\r\nQUIT\r\n"
		for _, m := range st.messages() {
			byDots := isDotBody(m.body, sent)
			byChunks := strings.Contains(strings.ToUpper(sent), " LAST") && isSubsequence(m.body, sent)
			if !byDots && !byChunks {
				t.Fatalf("delivered %q, which was not sent", m.body)
			}
		}
	})
}

// isDotBody says whether the octets after some line of sent are body, up to the
// dot line. FuzzBodyDecoder is about what the decoder makes of them.
func isDotBody(body, sent string) bool {
	for i := range len(sent) {
		if sent[i] != '\n' {
			continue
		}
		if got, _, ended := decodeAll([]byte(sent[i+1:]), len(sent), len(sent)); ended && string(got) == body {
			return true
		}
	}
	return false
}

// isSubsequence says whether s is t with octets left out.
func isSubsequence(s, t string) bool {
	for i := range len(s) {
		at := strings.IndexByte(t, s[i])
		if at < 0 {
			return false
		}
		t = t[at+1:]
	}
	return true
}
