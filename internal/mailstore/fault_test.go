package mailstore

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"gadwall/internal/dbtest"
	"gadwall/internal/docstore"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// network stands between a client and its server, and can fail.
type network struct {
	dialer options.ContextDialer

	mu    sync.Mutex
	fault fault
	down  bool
	conns map[net.Conn]bool
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
}

func (c *faultyConn) Write(b []byte) (int, error) {
	n := c.network
	n.mu.Lock()
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

// faultyClient is a client of the test's database whose network can fail.
func faultyClient(t *testing.T) (*mongo.Client, *network) {
	t.Helper()
	n := &network{conns: make(map[net.Conn]bool)}
	var opts *options.ClientOptions
	if dbtest.Embedded() {
		server, err := docstore.Open(docstore.Options{Dir: "fault", FS: vfs.NewMem()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := server.Close(); err != nil {
				t.Error(err)
			}
		})
		opts = server.ClientOptions()
		n.dialer = opts.Dialer
	} else {
		opts = options.Client().ApplyURI(os.Getenv(dbtest.URIVariable))
		n.dialer = &net.Dialer{}
	}
	opts.SetDialer(n).SetServerSelectionTimeout(500 * time.Millisecond)
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
		if got, err := e.Copy(t.Context(), inbox, AllUIDs, archive); err != nil || len(got.Dest) != 1 {
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
