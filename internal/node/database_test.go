package node

import (
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/dbtest"
)

func TestClocksThatDiffer(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 30, 0, 0, time.UTC)
	for _, tt := range []struct {
		ahead time.Duration
		ok    bool
	}{
		{0, true}, {time.Hour, true}, {-time.Hour, true}, {time.Hour + time.Second, false},
		{-time.Hour - time.Second, false}, {12 * time.Hour, false},
	} {
		if err := checkClock(now.Add(tt.ahead), now); (err == nil) != tt.ok {
			t.Errorf("%v: %v", tt.ahead, err)
		}
	}
}

// Servers before MongoDB 5.0 know hello by its old name only.
func TestHelloOfOldServers(t *testing.T) {
	set := dbtest.OpenReplicaSet(t, 1)
	client := set.Database(t, options.Client().SetAppName("old")).Client()
	set.FailPoint(t, "alwaysOn", bson.D{{Key: "failCommands", Value: bson.A{"hello"}},
		{Key: "errorCode", Value: 59}, {Key: "appName", Value: "old"}})
	h, err := sayHello(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	if h.SetName == "" || h.check(time.Now()) != nil {
		t.Errorf("%+v: %v", h, h.check(time.Now()))
	}
}

func TestServersThatWillNotDo(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		hello hello
		want  string
	}{
		{hello{SetName: "rs", MaxWireVersion: 9, LocalTime: now}, ""},
		{hello{Msg: "isdbgrid", MaxWireVersion: 21, LocalTime: now}, ""},
		{hello{MaxWireVersion: 21, LocalTime: now}, "neither a replica set nor a sharded cluster"},
		{hello{SetName: "rs", MaxWireVersion: 8, LocalTime: now}, "older than 4.4"},
		{hello{SetName: "rs", MaxWireVersion: 9, LocalTime: now, Arbiters: []string{"c:1"}}, "arbiter (c:1)"},
	} {
		err := tt.hello.check(now)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%+v: %v, want %q", tt.hello, err, tt.want)
		}
	}
}
