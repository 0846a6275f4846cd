package docstore

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/wire"
)

// conn is one client connection, as commands know it. By a socket, one goroutine reads, so that the
// end of the connection is noticed while a command runs and stops it; another runs the commands in
// order and writes the replies. A localConn has neither.
type conn struct {
	srv *Server
	nc  net.Conn // nil for one in memory
	id  int32
	// host is the address under which the client reached us. hello must name it as the set's only
	// member, or the driver looks for the set elsewhere.
	host string
	// appName is what the client calls itself.
	appName string
	// replies counts the messages sent, as their request ids.
	replies int32
	head    []byte
	// lent is the buffer that the reply under way was begun in, if it borrowed one.
	lent *[]byte
}

// replyBuffers hold the batches of cursors on their way out.
var replyBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// replyBuffer lends a buffer for the reply to the command that runs, until it is sent.
func (c *conn) replyBuffer() []byte {
	if c.lent == nil {
		c.lent = replyBuffers.Get().(*[]byte)
	}
	return (*c.lent)[:0]
}

// sent takes the buffer back, which may have grown into that of the reply.
func (c *conn) sent(reply bson.Raw) {
	if c.lent == nil {
		return
	}
	if cap(reply) > cap(*c.lent) {
		*c.lent = reply
	}
	if cap(*c.lent) <= keptReplyBuffer {
		replyBuffers.Put(c.lent)
	}
	c.lent = nil
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
				c.srv.log.Warn("closing a connection", "conn", c.id, "error", err)
			} else if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrClosedPipe) {
				c.srv.log.Debug("connection lost", "conn", c.id, "error", err)
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
			if reply == nil {
				return // a fail point closes the connection
			}
			if silent {
				c.sent(reply)
				continue
			}
			c.replies++
			if err := c.send(id, legacy, reply); err != nil {
				return
			}
			c.sent(reply)
		}
	}
}

// send writes a reply. A long one is not copied for it.
func (c *conn) send(id int32, legacy bool, reply bson.Raw) error {
	c.head = wire.AppendReplyHeader(c.head[:0], c.replies, id, legacy, len(reply))
	if len(reply) <= copiedReply {
		c.head = append(c.head, reply...)
		_, err := c.nc.Write(c.head)
		return err
	}
	parts := net.Buffers{c.head, reply}
	_, err := parts.WriteTo(c.nc)
	return err
}
