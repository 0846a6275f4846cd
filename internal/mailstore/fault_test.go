package mailstore

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/dbtest"
	"gadwall/internal/docstore"
	"gadwall/internal/faultnet"
	"gadwall/internal/uidset"
)

// network stands between a client and its server, and can fail.
type network struct {
	*faultnet.Network

	mu    sync.Mutex
	fault faultnet.Verdict // of the next commitTransaction
	// cut, if armed, keeps a client from doing anything more, from some command on.
	cut cut
}

// cut says how many commands still pass, and what becomes of the next. It is refused, with an error
// that nobody tries again after.
type cut struct {
	mode  cutMode
	after int
	begun bool // one was refused
}

type cutMode int

const (
	unarmed cutMode = iota
	// the server gets neither it nor any that follows, as if the process had ended
	killBefore
	killAfter // the server does it, and gets none that follows
	failOnce  // the server does not get it; those that follow pass
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

// set decides about the next commitTransaction, and whether the network is down.
func (n *network) set(fault faultnet.Verdict, down bool) {
	n.mu.Lock()
	n.fault = fault
	n.mu.Unlock()
	n.SetDown(down)
}

func (n *network) decide(c faultnet.Command) faultnet.Verdict {
	n.mu.Lock()
	defer n.mu.Unlock()
	if v := n.cut.take(c); v != faultnet.Pass {
		return v
	}
	if c.Name != "commitTransaction" {
		return faultnet.Pass
	}
	v := n.fault
	n.fault = faultnet.Pass
	return v
}

// take decides about a command. A transaction that nobody goes on with the server aborts by itself,
// after a minute; that the client aborts it is therefore no harm.
func (c *cut) take(command faultnet.Command) faultnet.Verdict {
	if c.mode == unarmed || c.mode == failOnce && c.begun || !command.InSession() ||
		command.Name == "abortTransaction" {
		return faultnet.Pass
	}
	if c.after > 0 {
		c.after--
		return faultnet.Pass
	}
	first := !c.begun
	c.begun = true
	if c.mode == killAfter && first {
		return faultnet.DoAndRefuse
	}
	return faultnet.Refuse
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

// client connects through a network of its own.
func (s *faultyServer) client(t *testing.T) (*mongo.Client, *network) {
	t.Helper()
	return s.impatientClient(t, time.Minute)
}

// impatientClient gives up on a server it cannot reach after patience. It has reached it once.
func (s *faultyServer) impatientClient(t *testing.T, patience time.Duration) (*mongo.Client, *network) {
	t.Helper()
	n := &network{}
	var opts *options.ClientOptions
	if s.embedded != nil {
		opts = s.embedded.ClientOptions()
	} else {
		opts = options.Client().ApplyURI(os.Getenv(dbtest.URIVariable))
	}
	n.Network = faultnet.Use(opts, n.decide)
	opts.SetServerSelectionTimeout(patience)
	client, err := mongo.Connect(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Disconnect(context.Background()); err != nil {
			t.Error(err)
		}
	})
	eventually(t, func() error { return client.Ping(t.Context(), nil) })
	return client, n
}

// A commit whose connection breaks is sent again, and takes place once.
func TestCommitIsRepeated(t *testing.T) {
	client, network := newFaultyServer(t).client(t)
	e := openEnv(t, client.Database(dbtest.Database(t).Name()))
	u := e.user(t)
	inbox, archive := e.box(t, u, "INBOX").Key, e.box(t, u, "Archive").Key
	for i, f := range []faultnet.Verdict{faultnet.LoseRequest, faultnet.LoseAnswer} {
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
	client, network := newFaultyServer(t).impatientClient(t, 500*time.Millisecond)
	e := openEnv(t, client.Database(dbtest.Database(t).Name()))
	u := e.user(t)
	inbox := e.box(t, u, "INBOX").Key
	stored := e.content(t, mail(1), 1)
	network.set(faultnet.LosePartner, false)
	got, err := e.Deliver(t.Context(), stored, []Delivery{{Mailbox: inbox, Magic: stored.Magics[0]}})
	if err != nil || !mayHaveCommitted(got[0].Err) {
		t.Fatalf("delivery %+v, %v", got, err)
	}
	network.set(faultnet.Pass, false)
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
		if time.Since(start) > 2*time.Minute {
			t.Fatal(err)
		}
	}
}

// Deliveries that fail together, because nobody answers, give up their references together: each
// try takes its time.
func TestReferencesAreReleasedTogether(t *testing.T) {
	client, network := newFaultyServer(t).impatientClient(t, 500*time.Millisecond)
	var log bytes.Buffer
	e := openEnvWith(t, client.Database(dbtest.Database(t).Name()), Options{
		Logger: slog.New(slog.NewTextHandler(&log, nil)), transactionTimeout: 3 * time.Second})
	u := e.user(t)
	inbox := e.box(t, u, "INBOX").Key
	const n = 10
	bundles := make([]*bundle, n)
	results := make([]Delivered, n)
	for i := range bundles {
		stored := e.content(t, mail(i), 1)
		p, err := newTemplate(stored).message(&Delivery{Mailbox: inbox, Magic: stored.Magics[0]})
		if err != nil {
			t.Fatal(err)
		}
		bundles[i] = newBundle(t.Context(), u.ID, []*pending{p}, []*Delivered{&results[i]})
	}
	network.set(faultnet.Pass, true)
	if err := e.store(t.Context(), bundles); err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if r.Err == nil {
			t.Errorf("delivery %d: no error", i)
		}
	}
	if got := strings.Count(log.String(), "were not released"); got != 1 ||
		!strings.Contains(log.String(), "count=10") {
		t.Errorf("%d tries:\n%s", got, &log)
	}
	network.set(faultnet.Pass, false)
}
