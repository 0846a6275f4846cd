package docstore

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"

	"gadwall/internal/docstore/wire"
)

// conn is one client connection. One goroutine reads, so that the end of the connection is noticed
// while a command runs and stops it; another runs the commands in order and writes the replies.
type conn struct {
	srv *Server
	nc  net.Conn
	id  int32
	// host is the address under which the client reached us. hello must name it as the set's only
	// member, or the driver looks for the set elsewhere.
	host string
	// replies counts the messages sent, as their request ids.
	replies int32
	out     []byte
}

var connIDs atomic.Int32

func (s *Server) serve(nc net.Conn, host string) {
	c := &conn{srv: s, nc: nc, id: connIDs.Add(1), host: host}
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	requests := make(chan *wire.Message)
	readerDone := make(chan struct{})
	go func() {
		defer close(readerDone)
		defer cancel()
		c.read(ctx, requests)
	}()
	c.run(ctx, requests)
	nc.Close()
	<-readerDone
}

func (c *conn) read(ctx context.Context, requests chan<- *wire.Message) {
	r := bufio.NewReaderSize(c.nc, 16<<10)
	for {
		m, err := wire.Read(r)
		if err != nil {
			var bad *wire.ProtocolError
			if errors.As(err, &bad) {
				c.srv.log.Warn("closing a connection", "conn", c.id, "err", err)
			} else if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrClosedPipe) {
				c.srv.log.Debug("connection lost", "conn", c.id, "err", err)
			}
			return
		}
		select {
		case requests <- m:
		case <-ctx.Done():
			m.Release()
			return
		}
	}
}

func (c *conn) run(ctx context.Context, requests <-chan *wire.Message) {
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-requests:
			reply := c.srv.handle(ctx, c, m)
			silent, id, legacy := m.MoreToCome(), m.RequestID, m.Legacy
			m.Release()
			if silent {
				continue
			}
			c.replies++
			c.out = wire.AppendReply(c.out[:0], c.replies, id, legacy, reply)
			if _, err := c.nc.Write(c.out); err != nil {
				return
			}
			if cap(c.out) > keptReplyBuffer {
				c.out = nil
			}
		}
	}
}
