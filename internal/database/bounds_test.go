package database

import (
	"context"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/dbtest"
)

func TestBound(t *testing.T) {
	for uri, want := range map[string][4]time.Duration{
		"mongodb://db/": {operationTimeout, selectTimeout, connectTimeout, heartbeat},
		"mongodb://db/?timeoutMS=1000&serverSelectionTimeoutMS=2000&connectTimeoutMS=3000" +
			"&heartbeatFrequencyMS=4000": {
			time.Second, 2 * time.Second, 3 * time.Second, 4 * time.Second},
	} {
		o := Bound(options.Client().ApplyURI(uri))
		if got := [4]time.Duration{*o.Timeout, *o.ServerSelectionTimeout, *o.ConnectTimeout,
			*o.HeartbeatInterval}; got != want {
			t.Errorf("%s: %v, want %v", uri, got, want)
		}
	}
}

// A call ends when its time is over, and one that may take long does not.
func TestCallsAreBounded(t *testing.T) {
	set := dbtest.OpenReplicaSet(t, 1)
	o := set.ClientOptions().SetTimeout(50 * time.Millisecond)
	client, err := mongo.Connect(Bound(o))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Disconnect(context.WithoutCancel(t.Context()))
	c := client.Database("test").Collection("c")
	hang := func(ms int) {
		set.FailPoint(t, bson.D{{Key: "times", Value: 1}}, bson.D{{Key: "failCommands", Value: bson.A{"find"}},
			{Key: "blockConnection", Value: true}, {Key: "blockTimeMS", Value: ms}})
	}
	hang(3_600_000)
	if _, err := c.Find(t.Context(), bson.D{}); !IsUnavailable(err) {
		t.Errorf("a call that hangs: %v", err)
	}
	hang(200)
	ctx, cancel := Unbounded(t.Context())
	defer cancel()
	if _, err := c.Find(ctx, bson.D{}); err != nil {
		t.Errorf("a call that takes its time: %v", err)
	}
}
