package docstore_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/internal/docstore"
	"gadwall/internal/docstore/wire"
)

// These tests are about the in-memory connection. A find runs in the goroutine that writes it, an
// insert in one of the connection's.

// opMsg is a command as OP_MSG.
func opMsg(t testing.TB, flags uint32, cmd D) []byte {
	t.Helper()
	b := make([]byte, 16)
	b = binary.LittleEndian.AppendUint32(b, flags)
	b = append(append(b, 0), must(bson.Marshal(cmd))(t)...)
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	binary.LittleEndian.PutUint32(b[4:], 1)
	binary.LittleEndian.PutUint32(b[12:], uint32(wire.OpMsg))
	return b
}

var (
	aFind    = d("find", "c", "$db", "d")
	anInsert = d("insert", "c", "documents", A{d("_id", 1)}, "$db", "d")
)

// openFailing opens a server of whose commands the named ones block for an hour, or lose their
// connection.
func openFailing(t *testing.T, data ...any) *docstore.Server {
	t.Helper()
	s := must(docstore.Open(docstore.Options{Dir: "db", FS: vfs.NewMem()}))(t)
	s.EnableTestCommands(1)
	t.Cleanup(func() { s.Close() })
	data = append(data, "failCommands", A{"find", "insert", "ping"})
	must(0, ok(dialRaw(t, s).run(d("configureFailPoint", "failCommand", "mode", "alwaysOn",
		"data", d(data...), "$db", "admin"))))(t)
	return s
}

func openBlocking(t *testing.T) *docstore.Server {
	t.Helper()
	return openFailing(t, "blockConnection", true, "blockTimeMS", 3_600_000)
}

// eachPath runs a test for a command of either kind.
func eachPath(t *testing.T, test func(t *testing.T, cmd D)) {
	for _, cmd := range []D{aFind, anInsert} {
		t.Run(cmd[0].Key, func(t *testing.T) { test(t, cmd) })
	}
}

// Requests may come in pieces, and several at once.
func TestLocalPieces(t *testing.T) {
	c := dialRaw(t, openMem(t))
	silent := opMsg(t, wire.FlagMoreToCome, anInsert)
	find := opMsg(t, 0, aFind)
	all := append(append([]byte{}, silent...), find...)
	for _, size := range []int{1, 3, 15, 16, 17, 40, len(silent), len(silent) + 1, len(all)} {
		for rest := all; len(rest) > 0; {
			n := min(size, len(rest))
			if k, err := c.rw.Write(rest[:n]); err != nil || k != n {
				t.Fatalf("pieces of %d: wrote %d of %d bytes: %v", size, k, n, err)
			}
			rest = rest[n:]
		}
		c.id = 1
		reply := c.receive()
		batch, err := reply.Lookup("cursor", "firstBatch").Array().Values()
		if err != nil || len(batch) != 1 || ok(reply) != nil {
			t.Errorf("pieces of %d: %v, %v", size, reply, err)
		}
	}
}

// The client may use its buffer again as soon as Write has returned.
func TestLocalBufferIsTheClients(t *testing.T) {
	c := dialRaw(t, openMem(t))
	for i := range 100 {
		b := opMsg(t, 0, d("insert", "c", "documents", A{d("_id", i)}, "$db", "d"))
		must(c.rw.Write(b))(t)
		clear(b)
		c.id = 1
		must(0, ok(c.receive()))(t)
	}
	if n := c.run(d("count", "c", "$db", "d")).Lookup("n").AsInt64(); n != 100 {
		t.Errorf("%d documents of 100", n)
	}
}

// A reply may be read in pieces, and is whole after deadlines between them.
func TestLocalReplyInPieces(t *testing.T) {
	c := dialRaw(t, openMem(t))
	nc := c.rw.(net.Conn)
	must(c.rw.Write(opMsg(t, 0, aFind)))(t)
	var got []byte
	for len(got) < 4 || len(got) < int(binary.LittleEndian.Uint32(got)) {
		must(0, nc.SetReadDeadline(time.Now().Add(-time.Second)))(t)
		if _, err := nc.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("read after the deadline: %v", err)
		}
		must(0, nc.SetReadDeadline(time.Time{}))(t)
		var one [1]byte
		must(io.ReadFull(nc, one[:]))(t)
		got = append(got, one[0])
	}
	if err := ok(got[21:]); err != nil {
		t.Error(err)
	}
}

// A deadline ends the wait for a command. Its reply comes later, and the connection goes on.
func TestLocalDeadline(t *testing.T) {
	eachPath(t, func(t *testing.T, cmd D) {
		s := openBlocking(t)
		var nc net.Conn
		for limit := 10 * time.Millisecond; ; limit *= 2 {
			nc = must(s.Dial(context.Background()))(t)
			defer nc.Close()
			must(0, nc.SetDeadline(time.Now().Add(limit)))(t)
			_, err := nc.Write(opMsg(t, 0, cmd))
			if !errors.Is(err, os.ErrDeadlineExceeded) { // else it was over before, on a busy machine
				must(0, err)(t)
				break
			}
		}
		_, err := nc.Read(make([]byte, 1))
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Fatalf("read: %v", err)
		}
		if cmd[0].Key != "find" {
			return // it goes on
		}
		must(0, nc.SetDeadline(time.Time{}))(t)
		c := &rawConn{t: t, rw: nc, id: 1}
		if code := c.receive().Lookup("code").AsInt64(); code != 50 {
			t.Errorf("code %d", code)
		}
		must(0, ok(c.run(d("count", "c", "$db", "d"))))(t)
	})
}

// A deadline that is set meanwhile counts for a Read that waits.
func TestLocalDeadlineMeanwhile(t *testing.T) {
	nc := must(openMem(t).Dial(context.Background()))(t)
	defer nc.Close()
	ended := make(chan error)
	go func() {
		_, err := nc.Read(make([]byte, 1))
		ended <- err
	}()
	must(0, nc.SetReadDeadline(time.Now().Add(time.Hour)))(t)
	must(0, nc.SetReadDeadline(time.Now()))(t)
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// Close ends a command, the wait for it, and the connection.
func TestLocalClose(t *testing.T) {
	eachPath(t, func(t *testing.T, cmd D) {
		s := openBlocking(t)
		before := s.Metrics().Connections
		nc := must(s.Dial(context.Background()))(t)
		ended := make(chan error)
		request := opMsg(t, 0, cmd)
		go func() {
			nc.Write(request) // ends with the command or before
			_, err := nc.Read(make([]byte, 1))
			ended <- err
		}()
		waitFor(t, testContext(t), func() bool { return s.FailPointHits() > 0 })
		must(0, nc.Close())(t)
		if err := <-ended; !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("read: %v", err)
		}
		if _, err := nc.Write(request); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("write: %v", err)
		}
		must(0, nc.Close())(t)
		waitFor(t, testContext(t), func() bool { return s.Metrics().Connections == before })
	})
}

// The end of the server ends its commands and connections.
func TestLocalServerClose(t *testing.T) {
	eachPath(t, func(t *testing.T, cmd D) {
		s := openBlocking(t)
		nc := must(s.Dial(context.Background()))(t)
		ended := make(chan error)
		request := opMsg(t, 0, cmd)
		go func() {
			nc.Write(request)
			_, err := nc.Read(make([]byte, 1))
			ended <- err
		}()
		waitFor(t, testContext(t), func() bool { return s.FailPointHits() > 0 })
		must(0, s.Close())(t)
		if err := <-ended; !errors.Is(err, io.EOF) {
			t.Errorf("read: %v", err)
		}
		if _, err := nc.Write(request); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("write: %v", err)
		}
		must(0, nc.Close())(t)
	})
}

// A server that hangs up answers with the end of the connection.
func TestLocalHangUp(t *testing.T) {
	eachPath(t, func(t *testing.T, cmd D) {
		s := openFailing(t, "closeConnection", true)
		before := s.Metrics().Connections
		nc := must(s.Dial(context.Background()))(t)
		must(nc.Write(opMsg(t, 0, cmd)))(t)
		if n, err := nc.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("%d bytes, %v", n, err)
		}
		waitFor(t, testContext(t), func() bool { return s.Metrics().Connections == before })
	})
}

// The driver's cancellation reaches commands of either kind, and the client goes on.
func TestLocalCancellation(t *testing.T) {
	s := openBlocking(t)
	client := must(mongo.Connect(s.ClientOptions().SetRetryReads(false).SetRetryWrites(false)))(t)
	defer func() { must(0, client.Disconnect(context.Background()))(t) }()
	coll := client.Database("d").Collection("c")
	for name, command := range map[string]func(ctx context.Context) error{
		"find":   func(ctx context.Context) error { return coll.FindOne(ctx, d()).Err() },
		"insert": func(ctx context.Context) error { _, err := coll.InsertOne(ctx, d("_id", 1)); return err },
	} {
		ctx, cancel := context.WithCancel(testContext(t))
		before := s.FailPointHits()
		ended := make(chan error)
		go func() { ended <- command(ctx) }()
		waitFor(t, testContext(t), func() bool { return s.FailPointHits() > before })
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("%s, cancelled: %v", name, err)
		}
		if err := coll.Database().RunCommand(testContext(t), d("count", "c")).Err(); err != nil {
			t.Errorf("after %s: %v", name, err)
		}
	}
}

// Many clients whose patience differs neither lose nor mix replies.
func TestLocalManyClients(t *testing.T) {
	s := openMem(t)
	client := must(mongo.Connect(s.ClientOptions().SetMaxPoolSize(4)))(t)
	defer func() { must(0, client.Disconnect(context.Background()))(t) }()
	coll := client.Database("d").Collection("c")
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 100 {
				id := fmt.Sprintf("%d-%d", worker, i)
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i*i)*time.Microsecond)
				coll.InsertOne(ctx, d("_id", id+"-lost")) // or done
				coll.FindOne(ctx, d("_id", id+"-lost")).Err()
				cancel()
				if _, err := coll.InsertOne(context.Background(), d("_id", id)); err != nil {
					t.Error(err)
				}
				var got struct {
					ID string `bson:"_id"`
				}
				err := coll.FindOne(context.Background(), d("_id", id)).Decode(&got)
				if err != nil || got.ID != id {
					t.Errorf("found %q for %q: %v", got.ID, id, err)
				}
			}
		})
	}
	wg.Wait()
}

// Nobody recovers from a panic that must end the process, though the command runs in the client's
// goroutine.
func TestLocalFatalPanic(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fatalVariable+"=1")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(string(out), "the process must end") {
		t.Errorf("the process ended with %v:\n%s", err, out)
	}
}

func recoverFromFatal() {
	s, err := docstore.Open(docstore.Options{Dir: "db", FS: vfs.NewMem()})
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := mongo.Connect(s.ClientOptions())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { fmt.Println("survived", recover()) }()
	err = client.Database("d").RunCommand(context.Background(), d("panicFatally", 1)).Err()
	fmt.Println("answered", err)
}
