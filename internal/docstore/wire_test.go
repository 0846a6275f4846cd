package docstore_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

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

func openMem(t testing.TB) *docstore.Server {
	t.Helper()
	s := must(docstore.Open(docstore.Options{Dir: "db", FS: vfs.NewMem()}))(t)
	t.Cleanup(func() { s.Close() })
	return s
}

func TestHello(t *testing.T) {
	c := dialRaw(t, openMem(t))
	for _, name := range []string{"hello", "isMaster", "ismaster"} {
		reply := c.run(d(name, 1, "$db", "admin"))
		primary := "ismaster"
		if name == "hello" {
			primary = "isWritablePrimary"
		}
		if on, _ := reply.Lookup(primary).BooleanOK(); !on || ok(reply) != nil {
			t.Errorf("%s: %v", name, reply)
		}
	}
	c.query("admin.$cmd", d("isMaster", 1, "helloOk", true))
	reply := c.receive()
	if err := ok(reply); err != nil || reply.Lookup("setName").StringValue() != docstore.SetName {
		t.Errorf("legacy: %v", reply)
	}
	// Nothing else comes that way.
	c.query("d.$cmd", d("insert", "c", "documents", A{d("_id", 1)}))
	if reply := c.receive(); ok(reply) == nil {
		t.Errorf("legacy insert: %v", reply)
	}
}

// query sends a command as OP_QUERY.
func (c *rawConn) query(ns string, cmd D) {
	c.t.Helper()
	c.id++
	msg := make([]byte, 20)
	msg = append(append(msg, ns...), 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff)
	msg = append(msg, must(bson.Marshal(cmd))(c.t)...)
	binary.LittleEndian.PutUint32(msg, uint32(len(msg)))
	binary.LittleEndian.PutUint32(msg[4:], uint32(c.id))
	binary.LittleEndian.PutUint32(msg[12:], uint32(wire.OpQuery))
	must(c.rw.Write(msg))(c.t)
}

// An unacknowledged write gets no reply, and is done before the next command.
func TestMoreToCome(t *testing.T) {
	c := dialRaw(t, openMem(t))
	c.send(d("insert", "c", "documents", A{d("_id", 1)}, "writeConcern", d("w", 0), "$db", "d"), wire.FlagMoreToCome)
	reply := c.run(d("count", "c", "$db", "d"))
	if n, _ := reply.Lookup("n").AsInt64OK(); n != 1 {
		t.Errorf("counted %v", reply)
	}
}

func TestDocumentSequence(t *testing.T) {
	c := dialRaw(t, openMem(t))
	section := append([]byte{1, 0, 0, 0, 0}, "documents\x00"...)
	for i := range 3 {
		section = append(section, must(bson.Marshal(d("_id", i)))(t)...)
	}
	binary.LittleEndian.PutUint32(section[1:], uint32(len(section)-1))
	c.send(d("insert", "c", "$db", "d"), 0, section)
	if reply := c.receive(); ok(reply) != nil || reply.Lookup("n").AsInt64() != 3 {
		t.Errorf("insert: %v", reply)
	}
}

// Whoever breaks the framing loses the connection, and nobody else notices.
func TestBrokenFraming(t *testing.T) {
	s := openMem(t)
	good := dialRaw(t, s)
	for _, garbage := range []string{
		"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"\x20\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x00\x00\x00\xff" +
			"\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00",
	} {
		bad := dialRaw(t, s)
		bad.rw.Write([]byte(garbage)) // the server may hang up before it has read all
		if n, err := bad.rw.Read(make([]byte, 1)); err == nil {
			t.Errorf("%q was answered with %d bytes", garbage, n)
		}
	}
	must(0, ok(good.run(d("ping", 1, "$db", "admin"))))(t)
}

func TestUnixSocket(t *testing.T) {
	ctx := testContext(t)
	dir := t.TempDir()
	s := must(docstore.Open(docstore.Options{Dir: dir}))(t)
	path := filepath.Join(dir, docstore.SocketName)
	stale := must(net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"}))(t)
	stale.SetUnlinkOnClose(false)
	if err := s.ListenUnix(path); err == nil {
		t.Error("took a socket on which somebody listens")
	}
	must(0, stale.Close())(t)
	must(0, s.ListenUnix(path))(t)
	if mode := must(os.Stat(path))(t).Mode().Perm(); mode != 0o600 {
		t.Errorf("the socket's mode is %o", mode)
	}

	// The message of the second to open the directory says how to reach the first.
	_, err := docstore.Open(docstore.Options{Dir: dir})
	var locked *docstore.LockedError
	if !errors.Is(err, docstore.ErrLocked) || !errors.As(err, &locked) || locked.Socket != path {
		t.Fatalf("opened twice: %v", err)
	}
	escaped := strings.ReplaceAll(path, "/", "%2F")
	if !strings.Contains(err.Error(), "mongodb://"+escaped) {
		t.Errorf("the error %q does not name the socket", err)
	}
	for _, uri := range []string{
		"mongodb://" + escaped + "/?directConnection=true",
		"mongodb://" + escaped + "/",
		"mongodb://" + escaped + "/?replicaSet=" + docstore.SetName,
	} {
		client := must(mongo.Connect(options.Client().ApplyURI(uri)))(t)
		sess := must(client.StartSession())(t)
		_, err := sess.WithTransaction(ctx, func(ctx context.Context) (any, error) {
			return client.Database("d").Collection("c").InsertOne(ctx, d("uri", uri))
		})
		if err != nil {
			t.Errorf("%s: %v", uri, err)
		}
		sess.EndSession(ctx)
		must(0, client.Disconnect(ctx))(t)
	}
	must(0, s.Close())(t)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
	must(0, must(docstore.Open(docstore.Options{Dir: dir}))(t).Close())(t)
}

// Closing does not wait for clients, and ends their commands.
func TestCloseUnderLoad(t *testing.T) {
	s := must(docstore.Open(docstore.Options{Dir: "db", FS: vfs.NewMem()}))(t)
	c := dialRaw(t, s)
	lsid := d("id", bson.Binary{Subtype: 4, Data: make([]byte, 16)})
	must(0, ok(c.run(d("insert", "c", "documents", A{d("_id", 1)}, "$db", "d", "lsid", lsid,
		"txnNumber", int64(1), "autocommit", false, "startTransaction", true))))(t)
	must(0, ok(c.run(d("find", "c", "batchSize", 0, "$db", "d"))))(t)
	waiting := dialRaw(t, s)
	waiting.send(d("insert", "c", "documents", A{d("_id", 1)}, "$db", "d"), 0)
	must(0, s.Close())(t)
	if _, err := s.Dial(context.Background()); !errors.Is(err, docstore.ErrClosed) {
		t.Errorf("dial after close: %v", err)
	}
}

// A client that goes away stops its command.
func TestGoneClient(t *testing.T) {
	s := openMem(t)
	c := dialRaw(t, s)
	lsid := d("id", bson.Binary{Subtype: 4, Data: make([]byte, 16)})
	must(0, ok(c.run(d("insert", "c", "documents", A{d("_id", 1)}, "$db", "d", "lsid", lsid,
		"txnNumber", int64(1), "autocommit", false, "startTransaction", true))))(t)
	before := s.Metrics().Connections
	waiting := dialRaw(t, s)
	waiting.send(d("insert", "c", "documents", A{d("_id", 1)}, "$db", "d"), 0)
	must(0, waiting.rw.Close())(t)
	waitFor(t, testContext(t), func() bool { return s.Metrics().Connections == before })
}
