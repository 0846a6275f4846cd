package workload

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/textproto"
	"time"
)

// lmtpBuffer is how much of a mail is written at once.
const lmtpBuffer = 64 << 10

// lmtpConn is a worker's connection to LMTP (RFC 2033). The end of the context closes it.
type lmtpConn struct {
	net.Conn
	r       *textproto.Reader
	w       *bufio.Writer
	release func() bool // of the context
}

func dialLMTP(ctx context.Context, addr string) (*lmtpConn, error) {
	conn, err := (&net.Dialer{Timeout: answerTimeout}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &lmtpConn{Conn: conn, r: textproto.NewReader(bufio.NewReader(conn)),
		w: bufio.NewWriterSize(conn, lmtpBuffer)}
	c.release = context.AfterFunc(ctx, func() { conn.Close() })
	if err = c.answer(220); err == nil {
		err = c.command(250, "LHLO bench.example.com")
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// answer reads a reply, which must have this code.
func (c *lmtpConn) answer(code int) error {
	if err := c.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return err
	}
	_, _, err := c.r.ReadResponse(code)
	return err
}

func (c *lmtpConn) command(code int, line string) error {
	if _, err := c.w.WriteString(line + "\r\n"); err != nil {
		return err
	}
	if err := c.w.Flush(); err != nil {
		return err
	}
	return c.answer(code)
}

// deliver sends a mail to one recipient. It waits for each reply before the next command. sent says
// that the server has got all of it: after an error it may have stored it or not.
func (c *lmtpConn) deliver(from, to string, raw []byte) (sent bool, err error) {
	if err := c.begin(from, to); err != nil {
		return false, err
	}
	dots := textproto.NewWriter(c.w).DotWriter()
	if _, err := dots.Write(raw); err != nil {
		return false, err
	}
	if err := dots.Close(); err != nil { // flushes
		return true, err
	}
	return true, c.answer(250)
}

// begin sends what comes before a mail.
func (c *lmtpConn) begin(from, to string) error {
	if err := c.command(250, "MAIL FROM:<"+from+">"); err != nil {
		return err
	}
	if err := c.command(250, "RCPT TO:<"+to+">"); err != nil {
		return err
	}
	return c.command(354, "DATA")
}

// deliverPlain sends a mail that ends with CRLF, and of which no line begins with a dot. Looking for
// such lines would take more time than some servers take for the mail.
func (c *lmtpConn) deliverPlain(from, to string, mail io.Reader) error {
	if err := c.begin(from, to); err != nil {
		return err
	}
	if _, err := c.w.ReadFrom(mail); err != nil {
		return err
	}
	if _, err := c.w.WriteString(".\r\n"); err != nil {
		return err
	}
	if err := c.w.Flush(); err != nil {
		return err
	}
	return c.answer(250)
}

func (c *lmtpConn) close() {
	c.release()
	c.Close()
}
