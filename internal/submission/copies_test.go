package submission

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/internal/account"
	"gadwall/internal/dbtest"
	"gadwall/internal/faultnet"
	"gadwall/internal/logtest"
	"gadwall/internal/mailstore"
	"gadwall/internal/smarthost"
	"gadwall/internal/smarthosttest"
	"gadwall/internal/storetest"
)

// faultyEnv is a Service whose database refuses commands as a test says.
type faultyEnv struct {
	*Service
	store *storetest.Store
	user  *mailstore.User
	who   *account.Account
	host  *smarthosttest.Server
	log   *logtest.Buffer

	mu     sync.Mutex
	faults map[string]faultnet.Verdict // by the name of a command
	seen   func()                      // called for each command, unless it is nil
}

func newFaultyEnv(t *testing.T) *faultyEnv {
	t.Helper()
	e := &faultyEnv{log: new(logtest.Buffer)}
	opts := dbtest.ClientOptions(t)
	faultnet.Use(opts, e.decide)
	client, err := mongo.Connect(opts)
	if err != nil {
		t.Fatal(err)
	}
	db := client.Database("copies_" + strings.ToLower(bson.NewObjectID().Hex()))
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if err := errors.Join(db.Drop(ctx), client.Disconnect(ctx)); err != nil {
			t.Error(err)
		}
	})
	e.store = storetest.Open(t, storetest.Options{Database: db})
	e.user = e.store.User(t, "ada@example.com")
	accounts, err := account.New(account.Options{Store: e.store.Store, Bus: e.store.Bus})
	if err != nil {
		t.Fatal(err)
	}
	e.who = accounts.Of(e.user)
	e.host = smarthosttest.New(t, smarthosttest.Options{})
	e.Service, err = New(Options{
		Smarthost: smarthost.New(smarthost.Options{Address: e.host.Addr, Hostname: "mail.example.com",
			Mode: smarthost.Plain}),
		Hostname: "mail.example.com", MaxMessageSize: 1 << 20, Logger: e.log.Logger()})
	if err != nil {
		t.Fatal(err)
	}
	e.copies.pause = time.Millisecond
	t.Cleanup(func() { e.Close(t.Context()) })
	return e
}

func (e *faultyEnv) decide(c faultnet.Command) faultnet.Verdict {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.seen != nil && c.InSession() {
		e.seen()
	}
	return e.faults[c.Name]
}

func (e *faultyEnv) fail(faults map[string]faultnet.Verdict) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.faults = faults
}

// submit sends a message; fault sets what fails after its header.
func (e *faultyEnv) submit(t *testing.T, faults map[string]faultnet.Verdict) (*Sent, error) {
	t.Helper()
	m, err := e.Begin(t.Context(), e.who, Envelope{From: "ada@example.com",
		Received: func([]string) string { return "Received: here\r\n" }})
	if err == nil {
		err = m.Rcpt(Recipient{Address: "bob@example.net"})
	}
	if err == nil {
		err = m.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer m.Abort()
	if _, err := m.Write([]byte("From: ada@example.com\r\nMessage-ID: <1@x>\r\n\r\ntext\r\n")); err != nil {
		t.Fatal(err)
	}
	e.fail(faults)
	return m.Finish()
}

// sent counts the messages in Sent.
func (e *faultyEnv) sent(t *testing.T) int64 {
	t.Helper()
	return e.store.Mailbox(t, e.user, "Sent").Messages
}

// A message that the smarthost took is taken, whatever the database does; its copy is there once the
// database works again, once, also if nobody knows whether it was stored.
func TestCopyWaits(t *testing.T) {
	for name, fault := range map[string]faultnet.Verdict{
		"refused": faultnet.Refuse, "stored, and refused": faultnet.DoAndRefuse,
	} {
		e := newFaultyEnv(t)
		got, err := e.submit(t, map[string]faultnet.Verdict{"commitTransaction": fault})
		if err != nil || got.Copy != nil || len(e.host.Messages()) != 1 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		e.fail(nil)
		e.Close(t.Context())
		if n := e.sent(t); n != 1 {
			t.Errorf("%s: %d copies", name, n)
		}
		if strings.Contains(e.log.String(), "given up") {
			t.Errorf("%s: %s", name, e.log)
		}
	}
}

// A copy that nobody can save is logged with its Message-ID.
func TestCopyIsLost(t *testing.T) {
	e := newFaultyEnv(t)
	if _, err := e.submit(t, map[string]faultnet.Verdict{"commitTransaction": faultnet.Refuse}); err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	e.Close(over)
	log := e.log.String()
	if !strings.Contains(log, "its copy is given up") || !strings.Contains(log, "message_id=<1@x>") {
		t.Errorf("log: %s", log)
	}
	e.fail(nil)
	// After Close nothing waits.
	if _, err := e.submit(t, map[string]faultnet.Verdict{"commitTransaction": faultnet.Refuse}); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(e.log.String(), "its copy is given up"); n != 2 {
		t.Errorf("%d copies are given up", n)
	}
	e.fail(nil)
}

// If the bytes of the copy cannot be made durable, the smarthost does not get the message.
func TestCopyNotDurable(t *testing.T) {
	e := newFaultyEnv(t)
	got, err := e.submit(t, map[string]faultnet.Verdict{"insert": faultnet.Refuse})
	e.fail(nil)
	var r *Refusal
	if !errors.As(err, &r) || r.Code != 451 || got != nil || len(e.host.Messages()) != 0 {
		t.Errorf("%+v, %v, %d messages", got, err, len(e.host.Messages()))
	}
	if n := e.sent(t); n != 0 {
		t.Errorf("%d copies", n)
	}
}
