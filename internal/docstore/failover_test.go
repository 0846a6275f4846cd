package docstore_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"

	"gadwall/internal/dbtest"
)

// A fail point does what the driver's specifications say, as often as it says.
func TestFailPoint(t *testing.T) {
	ctx := testContext(t)
	set := dbtest.OpenReplicaSet(t, 1)
	// Without the driver's own second attempt.
	opts := set.ClientOptions().SetRetryReads(false).SetRetryWrites(false).SetAppName("tested")
	client, err := mongo.Connect(opts)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Disconnect(context.WithoutCancel(ctx))
	c := client.Database("test").Collection("c")
	find := func() error { _, err := c.Find(ctx, d()); return err }
	insert := func() error { _, err := c.InsertOne(ctx, d("a", 1)); return err }

	set.FailPoint(t, d("times", 2), d("failCommands", A{"find"}, "errorCode", 91))
	for range 2 {
		wantCode(t, find(), 91)
	}
	if err := errors.Join(find(), insert()); err != nil {
		t.Errorf("after it happened twice: %v", err)
	}
	set.FailPoint(t, "alwaysOn", d("failCommands", A{"find"}, "errorCode", 91, "appName", "other"))
	if err := find(); err != nil {
		t.Errorf("another client's fail point: %v", err)
	}
	set.FailPoint(t, d("times", 1), d("failCommands", A{"insert"}, "errorCode", 112,
		"errorLabels", A{"TransientTransactionError", "x"}))
	if err := insert(); !hasLabel(err, "x") || !hasLabel(err, "TransientTransactionError") {
		t.Errorf("labels of %v", err)
	}
	set.FailPoint(t, d("times", 1), d("failCommands", A{"find"}, "closeConnection", true))
	if err := find(); !mongo.IsNetworkError(err) {
		t.Errorf("a closed connection: %v", err)
	}
	set.FailPoint(t, d("times", 1), d("failCommands", A{"insert"},
		"writeConcernError", d("code", 64, "errmsg", "waiting")))
	var refused mongo.WriteException
	if err := insert(); !errors.As(err, &refused) || refused.WriteConcernError == nil ||
		refused.WriteConcernError.Code != 64 {
		t.Errorf("a write concern that fails: %v", err)
	}
	if n, err := c.CountDocuments(ctx, d()); err != nil || n != 2 {
		t.Errorf("%d documents, %v; of three inserts one was refused", n, err)
	}
	set.FailPoint(t, d("times", 1), d("failCommands", A{"find"}, "blockConnection", true, "blockTimeMS", 60_000))
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := c.Find(short, d()); !mongo.IsTimeout(err) {
		t.Errorf("a blocked command: %v", err)
	}
	set.FailPoint(t, "off", nil)
	if err := find(); err != nil {
		t.Errorf("without a fail point: %v", err)
	}
}

// The driver tries again what it may.
func TestFailPointAndRetries(t *testing.T) {
	ctx := testContext(t)
	set := dbtest.OpenReplicaSet(t, 1)
	c := set.Database(t).Collection("c")
	set.FailPoint(t, d("times", 1), d("failCommands", A{"insert"}, "errorCode", 10107))
	if _, err := c.InsertOne(ctx, d("_id", 1)); err != nil {
		t.Errorf("a retryable write: %v", err)
	}
	tries := 0
	for _, failing := range []string{"update", "commitTransaction"} {
		set.FailPoint(t, d("times", 1), d("failCommands", A{failing}, "errorCode", 91))
		err := c.Database().Client().UseSession(ctx, func(ctx context.Context) error {
			_, err := mongo.SessionFromContext(ctx).WithTransaction(ctx, func(ctx context.Context) (any, error) {
				tries++
				return c.UpdateOne(ctx, d("_id", 1), d("$inc", d("n", 1)))
			})
			return err
		})
		if err != nil {
			t.Errorf("%s fails once: %v", failing, err)
		}
	}
	if tries != 3 {
		t.Errorf("%d tries; the statement that failed ran twice, and the commit was sent again", tries)
	}
	var doc struct{ N int }
	if err := c.FindOne(ctx, d("_id", 1)).Decode(&doc); err != nil || doc.N != 2 {
		t.Errorf("two transactions counted to %d, %v", doc.N, err)
	}
}

// Who does not say that it is tested has neither fail points nor a second member.
func TestTestCommandsAreOff(t *testing.T) {
	db := dbtest.OnFS(t, vfs.NewMem())
	for _, command := range []bson.D{d("configureFailPoint", "failCommand", "mode", "off"),
		d("replSetStepDown", 1), d("replSetStepUp", 1)} {
		wantCode(t, db.Client().Database("admin").RunCommand(t.Context(), command).Err(), 59)
	}
}

// Another member takes over with the same data: what was acknowledged is there, open transactions
// are lost, and the driver finds its way.
func TestFailover(t *testing.T) {
	ctx := testContext(t)
	set := dbtest.OpenReplicaSet(t, 2)
	db := set.Database(t)
	c := db.Collection("c")
	insertAll(t, c, d("_id", 1))
	open := begin(t, db)
	if _, err := c.InsertOne(open.ctx, d("_id", 2)); err != nil {
		t.Fatal(err)
	}
	set.StepDown(t)
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := c.FindOne(short, d("_id", 1)).Err(); err == nil {
		t.Error("a read without a primary succeeded")
	}
	secondary := c.Clone(options.Collection().SetReadPreference(readpref.Secondary()))
	if err := secondary.FindOne(ctx, d("_id", 1)).Err(); err != nil {
		t.Errorf("a read of a secondary: %v", err)
	}
	set.StepUp(t, 1)
	insertAll(t, c, d("_id", 3))
	wantIDs(t, ids(t, c, ctx, d()), 1, 3)
	if err := open.CommitTransaction(open.ctx); !hasLabel(err, "TransientTransactionError") {
		t.Errorf("the commit of a transaction that was open: %v", err)
	}
}

// A command that runs when the primary steps down ends, and the driver sends it again.
func TestStepDownInterrupts(t *testing.T) {
	ctx := testContext(t)
	set := dbtest.OpenReplicaSet(t, 2)
	started := make(chan struct{})
	once := sync.OnceFunc(func() { close(started) })
	monitor := &event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
		if e.CommandName == "insert" {
			once()
		}
	}}
	db := set.Database(t, options.Client().SetMonitor(monitor))
	other := begin(t, set.Database(t))
	held := other.Client().Database(db.Name()).Collection("c")
	if _, err := held.InsertOne(other.ctx, d("_id", 1)); err != nil {
		t.Fatal(err)
	}
	inserted := make(chan error, 1)
	go func() {
		_, err := db.Collection("c").InsertOne(ctx, d("_id", 1)) // waits for the transaction
		inserted <- err
	}()
	<-started
	set.StepDown(t)
	set.StepUp(t, 1)
	if err := <-inserted; err != nil {
		t.Errorf("an insert across the failover: %v", err)
	}
}
