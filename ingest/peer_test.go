package ingest

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"
)

// The client of go-smtp, which `gadwall deliver` and others use, as a peer.
func TestGoSMTP(t *testing.T) {
	for _, lmtp := range []bool{true, false} {
		st := newFakeStore("ada@example.com", "bob@example.com")
		st.fail["bob@example.com"] = errors.New("injected")
		ts := startServer(t, st, Options{LMTP: lmtp, TLSConfig: testTLS(t)})
		conn, err := net.Dial("tcp", ts.addr)
		if err != nil {
			t.Fatal(err)
		}
		var c *smtp.Client
		if lmtp {
			c = smtp.NewClientLMTP(conn)
		} else {
			conn.Close()
			c, err = smtp.DialStartTLS(ts.addr, &tls.Config{InsecureSkipVerify: true})
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Hello("client.example"); err != nil {
			t.Fatal(err)
		}
		for _, name := range strings.Fields(
			"PIPELINING 8BITMIME SMTPUTF8 CHUNKING ENHANCEDSTATUSCODES SIZE LIMITS",
		) {
			if ok, _ := c.Extension(name); !ok {
				t.Errorf("%s is not offered", name)
			}
		}
		if max, ok := c.MaxMessageSize(); !ok || max != DefaultMaxMessageSize {
			t.Errorf("SIZE is %d", max)
		}
		err = c.Mail("grace@example.net", &smtp.MailOptions{Size: 1000, Body: smtp.Body8BitMIME, UTF8: true})
		if err != nil {
			t.Fatal(err)
		}
		var refused *smtp.SMTPError
		err = c.Rcpt("nobody@example.com", nil)
		if !errors.As(err, &refused) || refused.EnhancedCode != (smtp.EnhancedCode{5, 1, 1}) {
			t.Errorf("unknown recipient: %v", err)
		}
		for _, to := range []string{"ada@example.com", "bob@example.com"} {
			if err := c.Rcpt(to, nil); err != nil {
				t.Fatal(err)
			}
		}
		w, err := c.Data()
		if err != nil {
			t.Fatal(err)
		}
		text := ".\r\n..dots\r\n" + strings.Repeat("x", 100<<10) + "\r\n"
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if lmtp {
			_, err = w.CloseWithLMTPResponse()
			var partly smtp.LMTPDataError
			if !errors.As(err, &partly) || len(partly) != 1 || partly["bob@example.com"] == nil {
				t.Errorf("LMTP answered %v", err)
			}
		} else if err := w.Close(); !errors.As(err, &refused) || refused.Code != 451 {
			t.Errorf("SMTP answered %v", err)
		}
		if err := c.Reset(); err != nil {
			t.Error(err)
		}
		if err := c.Quit(); err != nil {
			t.Error(err)
		}
		if m := st.messages(); len(m) != 1 || m[0].body != text {
			t.Errorf("%d messages, or another body", len(m))
		}
	}
}

// What a client that goes away in the middle of a message leaves behind: one line at info, none
// above.
func TestClientGoesAway(t *testing.T) {
	for _, begin := range []string{"DATA\r\nhalf a line", "BDAT 100 LAST\r\nhalf", "BDAT 4\r\nhalf"} {
		var out bytes.Buffer
		st := newFakeStore("ada@example.com")
		ts := startServer(t, st, Options{LMTP: true, Logger: newTextLog(&out)})
		c := ts.dial(t)
		c.open("LHLO", "ada@example.com")
		c.send(begin)
		c.conn.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, c.r) // ends when the server has given up
		ts.stop(t)
		st.check(t)
		if n := strings.Count(out.String(), "\n"); n != 1 || !strings.Contains(out.String(), "level=INFO") {
			t.Errorf("%q: logged\n%s", begin, out.String())
		}
	}
}

// A fault costs the connection that has it, and nothing else.
func TestPanicIsIsolated(t *testing.T) {
	for _, step := range []string{"resolve", "write", "finish", "deliver"} {
		var out bytes.Buffer
		st := newFakeStore("ada@example.com")
		ts := startServer(t, st, Options{LMTP: true, Logger: newTextLog(&out)})
		other, c := ts.dial(t), ts.dial(t)
		other.open("LHLO", "ada@example.com")
		c.want("220 ")
		c.cmd("LHLO c", "250 ")
		c.cmd("MAIL FROM:<>", "250 ")
		st.mu.Lock()
		st.panics = step
		st.mu.Unlock()
		c.send("RCPT TO:<ada@example.com>\r\n")
		if step != "resolve" {
			c.want("250 ")
			c.cmd("DATA", "354 ")
			c.send("x\r\n.\r\nQUIT\r\n")
		}
		c.want("421 4.3.0")
		c.wantClosed()
		c.conn.Close()
		st.mu.Lock()
		st.panics = ""
		st.mu.Unlock()
		other.cmd("DATA", "354 ")
		other.cmd("x\r\n.", "250 ")
		ts.stop(t)
		if st.open != 0 {
			t.Errorf("%s: %d contents neither finished nor aborted", step, st.open)
		}
		if !strings.Contains(out.String(), "level=ERROR msg=panic") {
			t.Errorf("%s: logged\n%s", step, out.String())
		}
	}
}
