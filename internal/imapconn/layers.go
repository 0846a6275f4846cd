package imapconn

import (
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"gadwall/imap/deflate"
)

// DialTLS is Dial for a server that speaks TLS from the first octet on (RFC 8314 section 3.2).
func DialTLS(addr string, config *tls.Config, timeout time.Duration) (*Conn, error) {
	nc, err := tls.DialWithDialer(&net.Dialer{Timeout: timeout}, "tcp", addr, config)
	if err != nil {
		return nil, err
	}
	return greeted(nc, timeout)
}

// StartTLS goes on over TLS (RFC 3501 section 6.2.1).
func (c *Conn) StartTLS(config *tls.Config) error {
	if _, err := c.Must("STARTTLS"); err != nil {
		return err
	}
	if n := c.In.Buffered(); n > 0 {
		return fmt.Errorf("%d octets without TLS came behind the answer to STARTTLS", n)
	}
	tc := tls.Client(c.Conn, config)
	if err := tc.SetDeadline(time.Now().Add(c.Timeout)); err != nil {
		return err
	}
	if err := tc.Handshake(); err != nil {
		return err
	}
	c.Upgrade(tc)
	return nil
}

// Compress goes on with both directions compressed (RFC 4978).
func (c *Conn) Compress() error {
	if _, err := c.Must("COMPRESS DEFLATE"); err != nil {
		return err
	}
	first, err := c.In.Peek(c.In.Buffered())
	if err != nil {
		return err
	}
	c.Upgrade(&compressed{c.Conn, deflate.NewReader(c.Conn, first), deflate.NewWriter(c.Conn, compressors)})
	return nil
}

// compressors are enough for as many connections as write at the same time; the others write
// uncompressed blocks.
var compressors = deflate.NewPool(8)

// compressed is a connection that compresses.
type compressed struct {
	net.Conn
	in  *deflate.Reader
	out *deflate.Writer
}

func (c *compressed) Read(p []byte) (int, error) { return c.in.Read(p) }

func (c *compressed) Write(p []byte) (int, error) {
	n, err := c.out.Write(p)
	if err == nil {
		err = c.out.Flush()
	}
	return n, err
}
