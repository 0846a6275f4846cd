package acceptance

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// ioTimeout bounds one exchange with a server, so that a hang fails a test with a reason.
const ioTimeout = 5 * time.Minute

// lmtpConn is one LMTP connection of a sender. It changes no byte of what it sends, unlike client
// libraries, which turn a bare LF into CRLF.
type lmtpConn struct {
	nc   net.Conn
	text *textproto.Reader
	w    *bufio.Writer
}

func dialLMTP(addr string) (*lmtpConn, error) {
	nc, err := net.DialTimeout("tcp", addr, ioTimeout)
	if err != nil {
		return nil, err
	}
	c := &lmtpConn{nc: nc, text: textproto.NewReader(bufio.NewReader(nc)), w: bufio.NewWriterSize(nc, 64<<10)}
	if err := c.expect(220); err != nil {
		nc.Close()
		return nil, err
	}
	if err := c.command(250, "LHLO sender.example.net"); err != nil {
		nc.Close()
		return nil, err
	}
	return c, nil
}

func (c *lmtpConn) Close() error { return c.nc.Close() }

func (c *lmtpConn) expect(code int) error {
	if err := c.w.Flush(); err != nil {
		return err
	}
	if err := c.nc.SetDeadline(time.Now().Add(ioTimeout)); err != nil {
		return err
	}
	_, _, err := c.text.ReadResponse(code)
	return err
}

func (c *lmtpConn) command(code int, format string, args ...any) error {
	fmt.Fprintf(c.w, format+"\r\n", args...)
	return c.expect(code)
}

func (c *lmtpConn) envelope(from string, to []string) error {
	if err := c.command(250, "MAIL FROM:<%s>", from); err != nil {
		return err
	}
	for _, rcpt := range to {
		if err := c.command(250, "RCPT TO:<%s>", rcpt); err != nil {
			return err
		}
	}
	return nil
}

// replies reads one answer for each recipient.
func (c *lmtpConn) replies(to []string) error {
	for range to {
		if err := c.expect(250); err != nil {
			return err
		}
	}
	return nil
}

// send delivers one message, which ends with CRLF, by DATA; nil means that every recipient got its
// 250.
func (c *lmtpConn) send(from string, to []string, msg io.Reader) error {
	if err := c.envelope(from, to); err != nil {
		return err
	}
	if err := c.command(354, "DATA"); err != nil {
		return err
	}
	r := bufio.NewReaderSize(msg, 64<<10)
	for begin, cr := true, false; ; {
		b, err := r.ReadByte()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if begin && b == '.' {
			c.w.WriteByte('.')
		}
		begin = b == '\n' && cr
		cr = b == '\r'
		c.w.WriteByte(b)
	}
	c.w.WriteString(".\r\n")
	return c.replies(to)
}

// sendChunks delivers any bytes by BDAT (RFC 3030), in chunks of the given size.
func (c *lmtpConn) sendChunks(from string, to []string, msg []byte, size int) error {
	if err := c.envelope(from, to); err != nil {
		return err
	}
	for len(msg) > size {
		fmt.Fprintf(c.w, "BDAT %d\r\n", size)
		c.w.Write(msg[:size])
		if err := c.expect(250); err != nil {
			return err
		}
		msg = msg[size:]
	}
	fmt.Fprintf(c.w, "BDAT %d LAST\r\n", len(msg))
	c.w.Write(msg)
	return c.replies(to)
}

// deliver sends messages over one LMTP connection to testUser. It uses DATA for messages that DATA
// can carry unchanged, and BDAT for the others.
func (s *server) deliver(t testing.TB, msgs ...[]byte) {
	t.Helper()
	c, err := dialLMTP(s.lmtp)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i, msg := range msgs {
		if bytes.HasSuffix(msg, []byte("\r\n")) && !bytes.Contains(msg, []byte("\r\r\n")) {
			err = c.send("grace@example.net", []string{testUser}, bytes.NewReader(msg))
		} else {
			err = c.sendChunks("grace@example.net", []string{testUser}, msg, 10_000)
		}
		if err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
}

// login opens an IMAP session of testUser.
func (s *server) login(t testing.TB) *imapclient.Client {
	t.Helper()
	c, err := imapclient.DialInsecure(s.imap, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.Login(testUser, testPassword).Wait(); err != nil {
		t.Fatal(err)
	}
	return c
}

// fetched is a message as IMAP gave it back.
type fetched struct {
	uid  imap.UID
	size int64
	body []byte
}

// fetchAll selects a mailbox and hands every message to f, in the order of the answers.
func fetchAll(t testing.TB, c *imapclient.Client, mailbox string, f func(fetched)) *imap.SelectData {
	t.Helper()
	sel, err := c.Select(mailbox, &imap.SelectOptions{ReadOnly: true}).Wait()
	if err != nil {
		t.Fatal(err)
	}
	if sel.NumMessages == 0 {
		return sel
	}
	var all imap.SeqSet
	all.AddRange(1, 0)
	cmd := c.Fetch(all, &imap.FetchOptions{
		UID: true, RFC822Size: true,
		BodySection: []*imap.FetchItemBodySection{{Peek: true}},
	})
	for msg := cmd.Next(); msg != nil; msg = cmd.Next() {
		var m fetched
		for item := msg.Next(); item != nil; item = msg.Next() {
			switch item := item.(type) {
			case imapclient.FetchItemDataUID:
				m.uid = item.UID
			case imapclient.FetchItemDataRFC822Size:
				m.size = item.Size
			case imapclient.FetchItemDataBodySection:
				if m.body, err = io.ReadAll(item.Literal); err != nil {
					t.Fatal(err)
				}
			}
		}
		f(m)
	}
	if err := cmd.Close(); err != nil {
		t.Fatal(err)
	}
	return sel
}

// splitTrace returns the message without the trace lines that delivery put before it.
func splitTrace(msg []byte) (trace, rest []byte, err error) {
	rest = msg
	for _, field := range []string{"Return-Path:", "Delivered-To:", "Received:"} {
		if !bytes.HasPrefix(rest, []byte(field)) {
			return nil, nil, fmt.Errorf("message begins %.60q, want the trace field %s", rest, field)
		}
		for first := true; first || len(rest) > 0 && (rest[0] == ' ' || rest[0] == '\t'); first = false {
			eol := bytes.IndexByte(rest, '\n')
			if eol < 0 {
				return nil, nil, fmt.Errorf("trace field %s does not end", field)
			}
			rest = rest[eol+1:]
		}
	}
	return msg[:len(msg)-len(rest)], rest, nil
}
