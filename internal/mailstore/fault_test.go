package mailstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/dbtest"
	"gadwall/internal/docstore"
	"gadwall/internal/uidset"
)

// network stands between a client and its server, and can fail.
type network struct {
	dialer options.ContextDialer

	mu    sync.Mutex
	fault fault
	down  bool
	conns map[net.Conn]bool
	// cut, if armed, keeps a client from doing anything more, from some command on.
	cut cut
}

// cut says how many commands still pass, and what becomes of the next. It is refused, with an error that nobody tries again
// after.
type cut struct {
	mode  cutMode
	after int
	begun bool // one was refused
}

type cutMode int

const (
	unarmed    cutMode = iota
	killBefore         // the server does not get it, nor any that follows, as if the process had ended
	killAfter          // the server does what it says, and gets none that follows
	failOnce           // the server does not get it; those that follow pass
)

// arm sets the cut.
func (n *network) arm(after int, mode cutMode) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = cut{mode: mode, after: after}
}

// wasCut reports whether a command was refused.
func (n *network) wasCut() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cut.begun
}

// take decides about a command.
func (c *cut) take(command []byte) (refuse, do bool) {
	// Every command of an application has a session; the driver's own have none. That a transaction is aborted which
	// nobody goes on with, the server sees to itself, after a minute.
	if c.mode == unarmed || c.mode == failOnce && c.begun || !bytes.Contains(command, []byte("lsid")) || bytes.Contains(command, []byte("abortTransaction")) {
		return false, true
	}
	if c.after > 0 {
		c.after--
		return false, true
	}
	do = c.mode == killAfter && !c.begun
	c.begun = true
	return true, do
}

// fault is what happens to the next commitTransaction.
type fault int

const (
	none        fault = iota
	loseRequest       // the connection breaks before the request is sent
	loseReply         // the connection breaks after it
	losePartner       // as loseReply, and the network stays down
)

var errDown = errors.New("the network is down")

func (n *network) DialContext(ctx context.Context, kind, address string) (net.Conn, error) {
	n.mu.Lock()
	down := n.down
	n.mu.Unlock()
	if down {
		return nil, errDown
	}
	c, err := n.dialer.DialContext(ctx, kind, address)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns[c] = true
	return &faultyConn{Conn: c, network: n}, nil
}

type faultyConn struct {
	net.Conn
	network *network
	reply   []byte // that the client gets before anything from the server
}

// refuse answers a command with an error.
func (c *faultyConn) refuse(command []byte, do bool) error {
	if !do && bytes.Contains(command, []byte("commitTransaction")) {
		var err error
		if command, err = abortInstead(command); err != nil {
			return err
		}
		do = true
	}
	if do {
		if _, err := c.Conn.Write(command); err != nil {
			return err
		}
		var size [4]byte
		if _, err := io.ReadFull(c.Conn, size[:]); err != nil {
			return err
		}
		if _, err := io.CopyN(io.Discard, c.Conn, int64(binary.LittleEndian.Uint32(size[:]))-4); err != nil {
			return err
		}
	}
	doc, err := bson.Marshal(bson.D{{Key: "ok", Value: 0.0}, {Key: "code", Value: int32(13)}, {Key: "errmsg", Value: "killed"}})
	if err != nil {
		return err
	}
	const opMsg = 2013
	reply := make([]byte, 21, 21+len(doc))
	binary.LittleEndian.PutUint32(reply, uint32(21+len(doc)))
	copy(reply[8:12], command[4:8]) // responseTo
	binary.LittleEndian.PutUint32(reply[12:], opMsg)
	c.reply = append(reply, doc...)
	return nil
}

// abortInstead makes of a commit the abort which the server would come to by itself.
func abortInstead(command []byte) ([]byte, error) {
	const header = 21 // of a message with one section
	var body bson.D
	if err := bson.Unmarshal(command[header:], &body); err != nil {
		return nil, err
	}
	body[0].Key = "abortTransaction"
	doc, err := bson.Marshal(body)
	if err != nil {
		return nil, err
	}
	abort := append(bytes.Clone(command[:header]), doc...)
	binary.LittleEndian.PutUint32(abort, uint32(len(abort)))
	return abort, nil
}

func (c *faultyConn) Read(b []byte) (int, error) {
	if len(c.reply) > 0 {
		n := copy(b, c.reply)
		c.reply = c.reply[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}

func (c *faultyConn) Write(b []byte) (int, error) {
	n := c.network
	n.mu.Lock()
	if refuse, do := n.cut.take(b); refuse {
		n.mu.Unlock()
		return len(b), c.refuse(b, do)
	}
	f := n.fault
	if f == none || !bytes.Contains(b, []byte("commitTransaction")) {
		n.mu.Unlock()
		return c.Conn.Write(b)
	}
	n.fault = none
	n.down = f == losePartner
	n.mu.Unlock()
	if f != loseRequest {
		if _, err := c.Conn.Write(b); err != nil {
			return 0, err
		}
		// The server has it; its reply says that it is done.
		if _, err := c.Conn.Read(make([]byte, 1)); err != nil {
			return 0, err
		}
	}
	if f == losePartner {
		n.closeAll()
	}
	c.Conn.Close()
	return 0, errDown
}

func (n *network) closeAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		c.Close()
	}
}

func (n *network) set(f fault, down bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fault, n.down = f, down
}

// faultyServer is a server whose clients have networks of their own that can fail.
type faultyServer struct{ embedded *docstore.Server }

func newFaultyServer(t *testing.T) *faultyServer {
	t.Helper()
	if !dbtest.Embedded() {
		return &faultyServer{}
	}
	server, err := docstore.Open(docstore.Options{Dir: "fault", FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return &faultyServer{server}
}

// client connects through a network of its own. It gives up on a server it cannot reach after patience.
func (s *faultyServer) client(t *testing.T, patience time.Duration) (*mongo.Client, *network) {
	t.Helper()
	n := &network{conns: make(map[net.Conn]bool)}
	var opts *options.ClientOptions
	if s.embedded != nil {
		opts = s.embedded.ClientOptions()
		n.dialer = opts.Dialer
	} else {
		opts = options.Client().ApplyURI(os.Getenv(dbtest.URIVariable))
		n.dialer = &net.Dialer{}
	}
	opts.SetDialer(n).SetServerSelectionTimeout(patience)
	client, err := mongo.Connect(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Disconnect(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return client, n
}

// faultyClient is a client of the test's database whose network can fail.
func faultyClient(t *testing.T) (*mongo.Client, *network) {
	t.Helper()
	return newFaultyServer(t).client(t, 500*time.Millisecond)
}

// A commit whose connection breaks is sent again, and takes place once.
func TestCommitIsRepeated(t *testing.T) {
	client, network := faultyClient(t)
	e := openEnv(t, client.Database(dbtest.Database(t).Name()))
	u := e.user(t)
	inbox, archive := e.box(t, u, "INBOX").Key, e.box(t, u, "Archive").Key
	for i, f := range []fault{loseRequest, loseReply} {
		network.set(f, false)
		if got := e.deliver(t, inbox, i, Deleted); got.UID != uint32(2*i+1) {
			t.Errorf("fault %d: UID %d", f, got.UID)
		}
		network.set(f, false)
		if got, err := e.Copy(t.Context(), inbox, uidset.All(), archive); err != nil || len(got.Dest) != 1 {
			t.Errorf("fault %d: copy %+v, %v", f, got, err)
		}
		network.set(f, false)
		if got, _, err := e.Expunge(t.Context(), inbox, nil); err != nil || len(got) != 1 {
			t.Errorf("fault %d: expunge %v, %v", f, got, err)
		}
		e.deliver(t, inbox, i, Deleted)
		if _, _, err := e.Expunge(t.Context(), inbox, nil); err != nil {
			t.Fatal(err)
		}
		e.checkConsistent(t, u)
	}
}

// When nobody can say whether a message was stored, its content is not given up.
func TestReferencesStayWhenTheOutcomeIsUnknown(t *testing.T) {
	client, network := faultyClient(t)
	e := openEnv(t, client.Database(dbtest.Database(t).Name()))
	u := e.user(t)
	inbox := e.box(t, u, "INBOX").Key
	stored := e.content(t, mail(1), 1)
	network.set(losePartner, false)
	got, err := e.Deliver(t.Context(), stored, []Delivery{{Mailbox: inbox, Magic: stored.Magics[0]}})
	if err != nil || !mayHaveCommitted(got[0].Err) {
		t.Fatalf("delivery %+v, %v", got, err)
	}
	network.set(none, false)
	eventually(t, func() error { return client.Ping(t.Context(), nil) })
	if list := e.list(t, inbox, Query{}, 0); len(list) != 1 {
		t.Errorf("%d messages", len(list))
	}
	e.checkConsistent(t, u)
}

// eventually tries f until it succeeds or the test ends.
func eventually(t *testing.T, f func() error) {
	t.Helper()
	for start := time.Now(); ; {
		err := f()
		if err == nil {
			return
		}
		if time.Since(start) > 20*time.Second {
			t.Fatal(err)
		}
	}
}

// Deliveries that fail together, because nobody answers, give up their references together: each try takes its time.
func TestReferencesAreReleasedTogether(t *testing.T) {
	client, network := faultyClient(t)
	var log bytes.Buffer
	e := openEnvWith(t, client.Database(dbtest.Database(t).Name()), Options{
		Logger: slog.New(slog.NewTextHandler(&log, nil)), transactionTimeout: 3 * time.Second})
	u := e.user(t)
	inbox := e.box(t, u, "INBOX").Key
	const n = 10
	units := make([]*unit, n)
	results := make([]Delivered, n)
	for i := range units {
		stored := e.content(t, mail(i), 1)
		p, err := newTemplate(stored).message(&Delivery{Mailbox: inbox, Magic: stored.Magics[0]})
		if err != nil {
			t.Fatal(err)
		}
		units[i] = newUnit(t.Context(), u.ID, []*pending{p}, []*Delivered{&results[i]})
	}
	network.set(none, true)
	network.closeAll()
	if err := e.store(t.Context(), units); err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if r.Err == nil {
			t.Errorf("delivery %d: no error", i)
		}
	}
	if got := strings.Count(log.String(), "were not released"); got != 1 || !strings.Contains(log.String(), "count=10") {
		t.Errorf("%d tries:\n%s", got, &log)
	}
	network.set(none, false)
}
