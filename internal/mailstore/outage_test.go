package mailstore

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/internal/database"
	"gadwall/internal/dbtest"
	"gadwall/internal/faultnet"
)

// outageEnv is a Store on a replica set that fails on command, with times that a test can wait for.
func outageEnv(t *testing.T, o Options) (*env, *dbtest.ReplicaSet) {
	t.Helper()
	set := dbtest.OpenReplicaSet(t, 2)
	return openEnvWith(t, set.Database(t), o), set
}

// tryDeliver delivers a message and returns what becomes of it, and of its reference.
func (e *env) tryDeliver(t *testing.T, inbox *Mailbox, n int) (err error, referenced bool) {
	t.Helper()
	stored := e.content(t, mail(n), 1)
	got, err := e.Deliver(t.Context(), stored, []Delivery{{Mailbox: inbox.Key, Magic: stored.Magics[0]}})
	if err != nil {
		t.Fatal(err)
	}
	return got[0].Err, e.references(t)[stored.ID][0] > 0
}

func failing(commands ...string) bson.D {
	return bson.D{{Key: "failCommands", Value: commands}}
}

func hanging(command string) bson.D {
	return append(failing(command), bson.E{Key: "blockConnection", Value: true},
		bson.E{Key: "blockTimeMS", Value: int64(time.Hour / time.Millisecond)})
}

// The answer to a COMMIT that hangs is that nobody knows; the references stay, and the user's next
// message does not wait for it.
func TestCommitIsBounded(t *testing.T) {
	e, set := outageEnv(t, Options{})
	inbox := e.box(t, e.user(t), "INBOX")
	set.FailPoint(t, "alwaysOn", hanging("commitTransaction"))
	e.commitTimeout = 100 * time.Millisecond // all others may take their time
	err, referenced := e.tryDeliver(t, inbox, 1)
	e.commitTimeout = commitTimeout
	if !mayHaveCommitted(err) || !database.IsUnknown(err) || !database.IsUnavailable(err) || !referenced {
		t.Errorf("a commit that hangs: %v, referenced %v", err, referenced)
	}
	set.FailPoint(t, "off", nil)
	if err, _ := e.tryDeliver(t, inbox, 2); err != nil {
		t.Errorf("the next message: %v", err)
	}
	if list := e.list(t, inbox.Key, Query{}, 0); len(list) != 1 {
		t.Errorf("%d messages", len(list))
	}
}

// A statement that hangs ends its transaction, of which nothing is left.
func TestStatementsAreBounded(t *testing.T) {
	e, set := outageEnv(t, Options{outagePatience: time.Nanosecond})
	inbox := e.box(t, e.user(t), "INBOX")
	set.FailPoint(t, "alwaysOn", append(hanging("insert"), bson.E{Key: "namespace", Value: "test.messages"}))
	e.attemptTimeout = 100 * time.Millisecond // all others may take their time
	err, referenced := e.tryDeliver(t, inbox, 1)
	e.attemptTimeout = attemptTimeout
	if err == nil || mayHaveCommitted(err) || !database.IsUnavailable(err) || referenced {
		t.Errorf("an insert that hangs: %v, referenced %v", err, referenced)
	}
	set.FailPoint(t, "off", nil)
	if err, _ := e.tryDeliver(t, inbox, 2); err != nil {
		t.Errorf("the next message: %v", err)
	}
}

// Behind a user's transaction that hangs, callers do not wait for ever.
func TestDeliveriesDoNotWaitForEver(t *testing.T) {
	set := dbtest.OpenReplicaSet(t, 1)
	opts := set.ClientOptions()
	var hung atomic.Bool
	network := faultnet.Use(opts, func(c faultnet.Command) faultnet.Verdict {
		if c.Name == "insert" && hung.Load() {
			return faultnet.Hang
		}
		return faultnet.Pass
	})
	e := openEnvWith(t, set.Database(t, opts), Options{deliveryWait: 100 * time.Millisecond})
	inbox := e.box(t, e.user(t), "INBOX")
	stored := e.content(t, mail(1), 3)
	hung.Store(true)
	var wg sync.WaitGroup
	for n := range 3 {
		wg.Go(func() {
			got, err := e.Deliver(t.Context(), stored,
				[]Delivery{{Mailbox: inbox.Key, Magic: stored.Magics[n]}})
			if err != nil || !database.IsUnavailable(got[0].Err) {
				t.Errorf("delivery %d: %v, %v", n, err, got[0].Err)
			}
		})
	}
	wg.Wait()
	hung.Store(false)
	network.SetDown(true) // ends the statement that hangs
	network.SetDown(false)
	eventually(t, func() error {
		_, err := e.MailboxByKey(t.Context(), inbox.Key)
		return err
	})
}

// Errors that a driver's labels call transient or retryable do no harm, wherever they meet a
// delivery. Without the labels the codes alone decide nothing.
func TestTransientErrorsAreRepeated(t *testing.T) {
	e, set := outageEnv(t, Options{})
	u := e.user(t)
	inbox := e.box(t, u, "INBOX")
	n := 0
	for _, command := range []string{"findAndModify", "insert", "commitTransaction"} {
		for _, code := range []database.Code{
			database.WriteConflict, database.LockTimeout, database.SnapshotUnavailable,
			database.NoSuchTransaction, database.PreparedTransactionInProgress,
			database.NotWritablePrimary, database.PrimarySteppedDown,
			database.InterruptedDueToReplStateChange, database.ShutdownInProgress,
		} {
			n++
			stored := e.content(t, mail(n), 1)
			set.FailPoint(t, bson.D{{Key: "times", Value: 1}},
				append(failing(command), bson.E{Key: "errorCode", Value: int(code)}))
			got, err := e.Deliver(t.Context(), stored, []Delivery{{Mailbox: inbox.Key, Magic: stored.Magics[0]}})
			if err != nil || got[0].Err != nil {
				t.Errorf("%s fails once with %d: %v, %v", command, code, err, got[0].Err)
			}
			set.FailPoint(t, "off", nil)
		}
		n++
		stored := e.content(t, mail(n), 1)
		set.FailPoint(t, bson.D{{Key: "times", Value: 1}},
			append(failing(command), bson.E{Key: "closeConnection", Value: true}))
		got, err := e.Deliver(t.Context(), stored, []Delivery{{Mailbox: inbox.Key, Magic: stored.Magics[0]}})
		if err != nil || got[0].Err != nil {
			t.Errorf("the connection breaks at %s: %v, %v", command, err, got[0].Err)
		}
		set.FailPoint(t, "off", nil)
	}
	if list := e.list(t, inbox.Key, Query{}, 0); len(list) != n {
		t.Errorf("%d messages of %d", len(list), n)
	}
	e.checkConsistent(t, u)
}

// While one primary follows another, deliveries wait and lose nothing: what was acknowledged is
// there once, and no UID is given out twice.
func TestDeliveriesAcrossFailovers(t *testing.T) {
	e, set := outageEnv(t, Options{})
	u := e.user(t)
	inbox := e.box(t, u, "INBOX")
	var next atomic.Int64
	var wg sync.WaitGroup
	stop := make(chan struct{})
	delivered := make(chan Delivered, 1000)
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				n := int(next.Add(1))
				stored := e.content(t, mail(n), 1)
				got, err := e.Deliver(t.Context(), stored, []Delivery{{Mailbox: inbox.Key, Magic: stored.Magics[0]}})
				if err != nil || got[0].Err != nil {
					t.Errorf("message %d: %v, %v", n, err, got[0].Err)
					return
				}
				select {
				case delivered <- got[0]:
				case <-stop:
					return
				}
			}
		})
	}
	uids := make(map[uint32]bool)
	take := func() {
		d, ok := <-delivered
		if !ok {
			return
		}
		if uids[d.UID] {
			t.Errorf("UID %d was given out twice", d.UID)
		}
		uids[d.UID] = true
	}
	for term := range 3 {
		for range 5 {
			take()
		}
		set.StepDown(t)
		set.StepUp(t, (term+1)%2)
	}
	for range 5 {
		take()
	}
	close(stop)
	wg.Wait()
	close(delivered)
	for range len(delivered) {
		take()
	}
	there := make(map[uint32]bool)
	for _, m := range e.list(t, inbox.Key, Query{}, 0) {
		there[m.UID] = true
	}
	for uid := range uids {
		if !there[uid] {
			t.Errorf("UID %d is gone", uid)
		}
	}
	e.checkConsistent(t, u)
}

// A server that gives no sign of life any more, neither to calls nor to the driver's own questions,
// holds up no call for longer than the driver's time-outs say. These are so short here that also a
// server that is busy may miss them.
func TestServerThatHangs(t *testing.T) {
	set := dbtest.OpenReplicaSet(t, 1)
	patient := openEnvWith(t, set.Database(t), Options{})
	inbox := patient.box(t, patient.user(t), "INBOX")
	opts := set.ClientOptions()
	var hung atomic.Bool
	faultnet.Use(opts, func(faultnet.Command) faultnet.Verdict {
		if hung.Load() {
			return faultnet.Hang
		}
		return faultnet.Pass
	})
	opts.SetConnectTimeout(100 * time.Millisecond).SetHeartbeatInterval(500 * time.Millisecond).
		SetServerSelectionTimeout(100 * time.Millisecond)
	client, err := mongo.Connect(database.Bound(opts))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Disconnect(t.Context())
	var s *Store
	eventually(t, func() error {
		s, err = Open(t.Context(), Options{Database: client.Database("test"), Contents: patient.contents,
			Bus: patient.bus, outagePatience: time.Millisecond})
		return err
	})
	defer s.Close()
	reads := func() error { _, err := s.MailboxByKey(t.Context(), inbox.Key); return err }
	delivers := func(n int) error {
		stored := patient.content(t, mail(n), 1)
		got, err := s.Deliver(t.Context(), stored, []Delivery{{Mailbox: inbox.Key, Magic: stored.Magics[0]}})
		if err != nil {
			t.Fatal(err)
		}
		return got[0].Err
	}
	eventually(t, reads)
	hung.Store(true)
	if err := reads(); !database.IsUnavailable(err) {
		t.Errorf("a read: %v", err)
	}
	if err := delivers(1); !database.IsUnavailable(err) {
		t.Errorf("a delivery: %v", err)
	}
	hung.Store(false)
	eventually(t, reads)
	eventually(t, func() error { return delivers(2) })
}
