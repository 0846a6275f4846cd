package imap

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// output writes to a connection. A client that reads slowly but reads is not cut off: the time
// limit begins anew whenever the connection has taken something.
type output struct {
	conn    net.Conn
	timeout time.Duration // how long a write may make no progress
	bytes   int64         // written so far
	total   *atomic.Int64 // by all connections
	// waited is how much longer all writes took than for a client that reads at leastReadRate. It is
	// less than 0 if the client reads faster.
	waited time.Duration

	after int64  // call reached when bytes reach it
	reach func() // nil: nothing to call
}

// afterBytes makes reach be called when n more octets are written, by the goroutine that writes.
// A nil reach takes that back.
func (o *output) afterBytes(n int64, reach func()) { o.after, o.reach = o.bytes+n, reach }

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	// TLS writes a record at a time, and cannot go on after an error.
	_, isTLS := o.conn.(*tls.Conn)
	size := writeChunk
	if isTLS {
		size = tlsRecord
	}
	begun, written := time.Now(), 0
	defer func() {
		o.waited += time.Since(begun) - time.Duration(written)*time.Second/leastReadRate
	}()
	for written < len(p) {
		if err := o.conn.SetWriteDeadline(time.Now().Add(o.timeout)); err != nil {
			return written, err
		}
		n, err := o.conn.Write(p[written:min(written+size, len(p))])
		written += n
		o.count(n)
		if err != nil && (isTLS || n == 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
			return written, err
		}
	}
	return written, nil
}

func (o *output) count(n int) {
	o.bytes += int64(n)
	if o.total != nil {
		o.total.Add(int64(n))
	}
	if o.reach != nil && o.bytes >= o.after {
		reach := o.reach
		o.reach = nil
		reach()
	}
}
