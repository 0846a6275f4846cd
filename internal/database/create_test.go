package database_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/database"
	"gadwall/internal/dbtest"
)

// creates notes in which ways a client tried to create collections.
type creates struct {
	mu   sync.Mutex
	list []string
}

func (c *creates) started(_ context.Context, e *event.CommandStartedEvent) {
	if e.CommandName != "create" {
		return
	}
	way, _ := e.Command.Lookup("create").StringValueOK()
	if _, err := e.Command.LookupErr("clusteredIndex"); err == nil {
		way += " clustered"
	}
	if v, err := e.Command.LookupErr("storageEngine", "wiredTiger", "configString"); err == nil {
		way += " " + v.StringValue()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, way)
}

// A collection is created in the form that it is to have, or in the nearest one that the server
// accepts. No other failure leads to another form.
func TestCreateCollections(t *testing.T) {
	set := dbtest.OpenReplicaSet(t, 1)
	seen := new(creates)
	db := set.Database(t, options.Client().SetMonitor(&event.CommandMonitor{Started: seen.started}))
	forms := []database.Form{{Name: "plain"}, {Name: "chunks", Compressor: database.Uncompressed},
		{Name: "messages", Clustered: true, Compressor: database.Zstd}}
	for range 2 { // the second time there is nothing to do
		if err := database.CreateCollections(t.Context(), db, forms); err != nil {
			t.Fatal(err)
		}
	}
	// The embedded database knows clusters and no compressors.
	want := []string{"plain", "chunks block_compressor=none", "chunks",
		"messages clustered block_compressor=zstd", "messages clustered"}
	if !slices.Equal(seen.list, want) {
		t.Errorf("created %q, want %q", seen.list, want)
	}
	have, err := database.Compression(t.Context(), db)
	if err != nil || len(have) != 3 || have["messages"] != "" {
		t.Errorf("compressed as %v, %v", have, err)
	}

	// Servers before MongoDB 5.3 know no clusters, and compress.
	for _, tt := range []struct {
		name    string
		refused int // how many ways
		code    int
		want    []string
	}{
		{"old", 2, 40415, []string{"old clustered block_compressor=zstd", "old clustered", "old block_compressor=zstd",
			"old"}},
		{"denied", 1, 13, []string{"denied clustered block_compressor=zstd"}},
	} {
		seen.list = nil
		set.FailPoint(t, bson.D{{Key: "times", Value: tt.refused}},
			bson.D{{Key: "failCommands", Value: bson.A{"create"}}, {Key: "errorCode", Value: tt.code}})
		err := database.CreateCollections(t.Context(), db,
			[]database.Form{{Name: tt.name, Clustered: true, Compressor: database.Zstd}})
		if !slices.Equal(seen.list, tt.want) || (err != nil) != (tt.code == 13) {
			t.Errorf("created %q, want %q; %v", seen.list, tt.want, err)
		}
		set.FailPoint(t, "off", nil)
	}
}
