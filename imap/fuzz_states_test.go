package imap

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"strings"
	"testing"
)

// fuzzState sends any bytes to a session in the state that the lines before lead to. It never panics,
// answers in whole responses, answers every command, always ends, and leaves no goroutine behind.
func fuzzState(f *testing.F, loggedIn bool, before string, seeds ...string) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	srv := newTestServer(f)
	c := srv.login(f)
	c.append("INBOX", `\Seen key`, message("fuzz"))
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > 2<<10 {
			return
		}
		script := before + string(in)
		conn := &scriptConn{in: bytes.NewReader([]byte(script))}
		session := scripted(t, srv, conn, loggedIn)
		run(t, session)
		out := conn.out.String()
		if _, compressed, ok := strings.Cut(out, "DEFLATE active\r\n"); ok && strings.Contains(before, "COMPRESS") {
			plain, err := io.ReadAll(flate.NewReader(strings.NewReader(compressed)))
			if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("after %q: %v in %q", in, err, compressed)
			}
			out = strings.TrimSuffix(out, compressed) + string(plain)
		}
		checkAnswers(t, script, out)
		checkGoroutines(t)
	})
}

func FuzzNotAuthenticated(f *testing.F) {
	fuzzState(f, false, "",
		"a LOGIN x y\r\nb LOGIN {1+}\r\nx {1+}\r\ny\r\n", "a AUTHENTICATE PLAIN\r\n*\r\n",
		"a AUTHENTICATE PLAIN AHgAeQ==\r\n",
		"a CAPABILITY\r\nb ID NIL\r\nc STARTTLS\r\nd LOGOUT\r\n", "\r\n\r\n", "a SELECT {9999999+}\r\n",
		"a FETCH 1 FLAGS\r\nb UID\r\n * OK\r\n")
}

// In the continuation of AUTHENTICATE (RFC 9051 section 6.2.2) the next line is no command.
func FuzzAuthenticate(f *testing.F) {
	fuzzState(f, false, "a AUTHENTICATE PLAIN\r\n",
		"*\r\nb NOOP\r\n", "AHgAeQ==\r\nb AUTHENTICATE LOGIN\r\neA==\r\neQ==\r\n", "\r\n", "====\r\nb NOOP\r\n",
		"b NOOP\r\nb NOOP\r\n", "AGFsaWNlQGV4YW1wbGUuY29tAGNvcnJlY3QgaG9yc2U=\r\nb SELECT INBOX\r\n")
}

func FuzzAuthenticated(f *testing.F) {
	fuzzState(f, true, "",
		"a LIST \"\" *\r\nb LSUB \"\" %\r\nc STATUS INBOX (SIZE)\r\n", "a CREATE x\r\nb DELETE x\r\n",
		"a NOTIFY SET STATUS (PERSONAL (MessageNew MessageExpunge)) (SUBTREE (a b) NONE)\r\nb NOTIFY NONE\r\n",
		"a FETCH 1 FLAGS\r\nb CLOSE\r\n", "a UNAUTHENTICATE\r\nb NOOP\r\n", "a UNAUTHENTICATE\r\nb NENTIC",
		"a ENABLE X\r\nb NAMESPACE\r\n",
		"a GETACL INBOX\r\nb MYRIGHTS INBOX\r\nc SETACL INBOX x +lr\r\n", "a GETQUOTAROOT INBOX\r\n")
}

func FuzzIdle(f *testing.F) {
	fuzzState(f, true, "s SELECT INBOX\r\ni IDLE\r\n",
		"DONE\r\n", "done\r\na NOOP\r\n", "a NOOP\r\n", "", "DONE", "DON\r\nb IDLE\r\nDONE\r\n", "{3+}\r\nabc\r\n")
}

// In the midst of a literal, bytes are data; behind it, arguments.
func FuzzLiteral(f *testing.F) {
	fuzzState(f, true, "a APPEND INBOX (\\Seen) {20}\r\n",
		"Subject: hello\r\n\r\nx\r\nb NOOP\r\n", "short", "Subject: hello\r\n\r\nx {5+}\r\nhello\r\n",
		"01234567890123456789 CATENATE (URL /INBOX)\r\n", "01234567890123456789 (\\Draft) ~{3}\r\na\x00b\r\n")
}

// In the midst of a part of a message, between literals and URLs (RFC 4469).
func FuzzCatenate(f *testing.F) {
	fuzzState(f, true, "s SELECT INBOX\r\na APPEND INBOX CATENATE (URL \"/INBOX/;UID=1/;SECTION=HEADER\" TEXT {5+}\r\n",
		"hello)\r\nb NOOP\r\n", "hello URL \"/INBOX/;UID=1/;SECTION=1.2/;PARTIAL=1.2\")\r\n", "hel",
		"hello URL ;UID=1 TEXT ~{1+}\r\n\x00) CATENATE (URL ../x/;UID=1)\r\n",
		"hello UTF8 (~{1+}\r\nx))\r\n", "hello URL {3+}\r\n/%5 TEXT {9}\r\n", "hello) {2+}\r\nab\r\n")
}

// The string that a command ends in (RFC 3501 section 4.3) may be cut off, too.
func FuzzNonSynchronizingLiteral(f *testing.F) {
	fuzzState(f, true, "s SELECT INBOX\r\na SEARCH SUBJECT {5+}\r\n",
		"hello\r\nb NOOP\r\n", "hell", "hello OR {3}\r\nabc {0+}\r\n\r\n", "\x00\x00\x00\x00\x00\r\n")
}

func FuzzEnabled(f *testing.F) {
	fuzzState(f, true, "e ENABLE QRESYNC UIDONLY IMAP4rev2 UTF8=ACCEPT METADATA\r\ns SELECT INBOX\r\n",
		"a UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)\r\nb FETCH 1 FLAGS\r\n",
		"a SELECT INBOX (QRESYNC (1 1 1:5))\r\nb SEARCH RETURN (SAVE) ALL\r\nc UID FETCH $ BINARY[1]<0.3>\r\n",
		"a LIST \"\" \"\xc3\xa9*\"\r\nb CREATE \xc3\xa9\r\nc DELETE \xc3\xa9\r\n",
		"a NOTIFY SET (SELECTED (MessageNew (UID BODY.PEEK[]) MessageExpunge))\r\nb UID MOVE 1 INBOX\r\n",
		"a UID REPLACE 1 INBOX {1+}\r\nx\r\n")
}

// After COMPRESS the client's bytes are a stream of DEFLATE (RFC 4978), if they are one.
func FuzzCompressed(f *testing.F) {
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, 6)
	if err != nil {
		f.Fatal(err)
	}
	_, _ = io.WriteString(w, "a SELECT INBOX\r\nb FETCH 1 BODY[]\r\nc IDLE\r\nDONE\r\nd COMPRESS DEFLATE\r\n")
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	fuzzState(f, true, "z COMPRESS DEFLATE\r\n", packed.String(), "a NOOP\r\n", "\x00", packed.String()[:9])
}
