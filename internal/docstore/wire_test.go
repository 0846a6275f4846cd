package docstore_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore"
	"gadwall/internal/docstore/wire"
)

// rawConn speaks the protocol without the driver.
type rawConn struct {
	t  testing.TB
	rw io.ReadWriteCloser
	id int32
}

func dialRaw(t testing.TB, s *docstore.Server) *rawConn {
	t.Helper()
	nc := must(s.Dial(context.Background()))(t)
	t.Cleanup(func() { nc.Close() })
	return &rawConn{t: t, rw: nc}
}

// send writes a command as OP_MSG with these flags, and further sections.
func (c *rawConn) send(cmd D, flags uint32, sections ...[]byte) {
	c.t.Helper()
	c.id++
	body := must(bson.Marshal(cmd))(c.t)
	msg := make([]byte, 16, 64)
	msg = binary.LittleEndian.AppendUint32(msg, flags)
	msg = append(append(msg, 0), body...)
	for _, s := range sections {
		msg = append(msg, s...)
	}
	binary.LittleEndian.PutUint32(msg, uint32(len(msg)))
	binary.LittleEndian.PutUint32(msg[4:], uint32(c.id))
	binary.LittleEndian.PutUint32(msg[12:], uint32(wire.OpMsg))
	must(c.rw.Write(msg))(c.t)
}

// receive reads a reply of either kind.
func (c *rawConn) receive() bson.Raw {
	c.t.Helper()
	var head [16]byte
	must(io.ReadFull(c.rw, head[:]))(c.t)
	body := make([]byte, binary.LittleEndian.Uint32(head[:])-16)
	must(io.ReadFull(c.rw, body))(c.t)
	if got := int32(binary.LittleEndian.Uint32(head[8:])); got != c.id {
		c.t.Errorf("reply to %d, want %d", got, c.id)
	}
	if int32(binary.LittleEndian.Uint32(head[12:])) == wire.OpReply {
		return body[20:]
	}
	return body[5:]
}

func (c *rawConn) run(cmd D) bson.Raw {
	c.t.Helper()
	c.send(cmd, 0)
	return c.receive()
}

func ok(reply bson.Raw) error {
	if n, _ := reply.Lookup("ok").DoubleOK(); n != 1 {
		return fmt.Errorf("%v", reply)
	}
	return nil
}
