package docstore_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/dbtest"
)

// replyTime is the operationTime of a reply.
func replyTime(t *testing.T, reply bson.Raw) bson.Timestamp {
	t.Helper()
	sec, inc, ok := reply.Lookup("operationTime").TimestampOK()
	if !ok {
		t.Fatalf("no operationTime in %v", reply)
	}
	return bson.Timestamp{T: sec, I: inc}
}

// Each write moves the time on; reads and the statements of a transaction do not.
func TestOperationTime(t *testing.T) {
	ctx := t.Context()
	db := dbtest.OnFS(t, vfs.NewMem())
	run := func(cmd bson.D) bson.Timestamp {
		t.Helper()
		reply, err := db.RunCommand(ctx, cmd).Raw()
		if err != nil {
			t.Fatal(err)
		}
		return replyTime(t, reply)
	}
	insert := func(id int) bson.Timestamp {
		return run(d("insert", "c", "documents", A{d("_id", id)}))
	}
	find := bson.D{{Key: "find", Value: "c"}}
	first := insert(1)
	if at := run(find); at != first {
		t.Errorf("a read after the write at %v says %v", first, at)
	}
	second := insert(2)
	if !second.After(first) {
		t.Errorf("writes at %v, then %v", first, second)
	}
	if now := time.Now().Unix(); int64(second.T) < now-60 || int64(second.T) > now+60 {
		t.Errorf("the time is %d, that of the clock on the wall %d", second.T, now)
	}

	session, err := db.Client().StartSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.EndSession(ctx)
	_, err = session.WithTransaction(ctx, func(ctx context.Context) (any, error) {
		_, err := db.Collection("c").InsertOne(ctx, bson.D{{Key: "_id", Value: 3}})
		if at := *session.OperationTime(); at != second {
			t.Errorf("a statement of a transaction after the write at %v says %v", second, at)
		}
		return nil, err
	})
	if err != nil {
		t.Fatal(err)
	}
	if at := *session.OperationTime(); !at.After(second) {
		t.Errorf("the commit after the write at %v says %v", second, at)
	}
}

// A read waits for no time that the server has not heard of; one that a client has from elsewhere
// comes with its $clusterTime.
func TestAfterClusterTime(t *testing.T) {
	ctx := t.Context()
	db := dbtest.OnFS(t, vfs.NewMem())
	reply, err := db.RunCommand(ctx, bson.D{{Key: "ping", Value: 1}}).Raw()
	if err != nil {
		t.Fatal(err)
	}
	find := func(after any) bson.D {
		return bson.D{{Key: "find", Value: "c"}, {Key: "readConcern", Value: bson.D{
			{Key: "level", Value: "majority"}, {Key: "afterClusterTime", Value: after}}}}
	}
	now := replyTime(t, reply)
	later := bson.Timestamp{T: now.T + 100, I: 7}
	for _, tt := range []struct {
		name  string
		after any
		code  int32
	}{
		{"now", now, 0},
		{"later than the server", later, 72},
		{"never", bson.Timestamp{}, 72},
		{"no time", "now", 14},
	} {
		err := db.RunCommand(ctx, find(tt.after)).Err()
		var refused mongo.CommandError
		if errors.As(err, &refused); refused.Code != tt.code || err != nil && refused.Code == 0 {
			t.Errorf("%s: %v, want code %d", tt.name, err, tt.code)
		}
	}
	session, err := db.Client().StartSession(options.Session().SetCausalConsistency(true))
	if err != nil {
		t.Fatal(err)
	}
	defer session.EndSession(ctx)
	cluster, err := bson.Marshal(bson.D{{Key: "$clusterTime", Value: bson.D{{Key: "clusterTime", Value: later}}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(session.AdvanceClusterTime(cluster), session.AdvanceOperationTime(&later)); err != nil {
		t.Fatal(err)
	}
	if err := db.Collection("c").FindOne(mongo.NewSessionContext(ctx, session), bson.D{}).Err(); err !=
		mongo.ErrNoDocuments {
		t.Errorf("a read at a time from elsewhere: %v", err)
	}
	insert := bson.D{{Key: "insert", Value: "c"}, {Key: "documents", Value: bson.A{bson.D{}}}}
	if reply, err = db.RunCommand(ctx, insert).Raw(); err != nil || !replyTime(t, reply).After(later) {
		t.Errorf("a write after %v was at %v, %v", later, replyTime(t, reply), err)
	}
	far := bson.D{{Key: "ping", Value: 1}, {Key: "$clusterTime", Value: bson.D{
		{Key: "clusterTime", Value: bson.Timestamp{T: now.T + 2*365*24*3600}}}}}
	if err := db.RunCommand(ctx, far).Err(); err == nil {
		t.Error("a time in two years was taken")
	} else {
		wantCode(t, err, 206)
	}
}
