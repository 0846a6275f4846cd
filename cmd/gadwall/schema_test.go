package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/config"
	"gadwall/internal/docstore"
	"gadwall/internal/node"
	"gadwall/internal/schema"
)

// A database of an earlier version is brought to the present one beside a running server: what is to
// be done is said, then done, and a program that is too old is refused.
func TestSchema(t *testing.T) {
	dir := dataDir(t)
	env := []string{"GADWALL_DATA_DIR=" + dir, "GADWALL_PASSWORD=correct horse", "GADWALL_LOG_LEVEL=warn"}
	server := startServer(t, "--data-dir", dir)
	gadwall(t, "", env, "user", "add", "ada@example.com").want(t, 0)
	gadwall(t, "Subject: hello\r\n\r\nHello.\r\n", env, "deliver", "--lmtp", server.ports["LMTP"],
		"--to", "ada@example.com", "-").want(t, 0)
	gadwall(t, "", env, "schema", "status").want(t, 0, "nothing to apply", "running: process",
		"compressed as the server does by default, since it refuses otherwise", "messages (zstd)", "contents (none)")

	client, err := mongo.Connect(options.Client().ApplyURI(node.SocketURI(filepath.Join(dir, docstore.SocketName))))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Disconnect(context.Background())
	db := client.Database("gadwall")
	version := func(version, least int) {
		t.Helper()
		res, err := db.Collection("state").UpdateOne(t.Context(), bson.D{{Key: "_id", Value: "schema"}},
			bson.D{{Key: "$set", Value: bson.D{{Key: "version", Value: version}, {Key: "least", Value: least}}}})
		if err != nil || res.MatchedCount != 1 {
			t.Fatal(res, err)
		}
	}
	version(1, 1)
	messages := db.Collection("messages")
	if _, err := messages.UpdateMany(t.Context(), bson.D{},
		bson.D{{Key: "$unset", Value: bson.D{{Key: "h", Value: ""}}}}); err != nil {
		t.Fatal(err)
	}
	if err := messages.Indexes().DropOne(t.Context(), "unseen"); err != nil {
		t.Fatal(err)
	}
	gadwall(t, "", env, "schema", "status").want(t, 0, "schema 1; this program knows versions up to",
		"index messages.unseen missing; servers run without it", "migration to 2, texts: ")
	var status schema.Status
	out := gadwall(t, "", env, "schema", "status", "--json")
	if err := json.Unmarshal([]byte(out.out), &status); err != nil || status.Version != 1 || len(status.Indexes) != 1 ||
		len(status.Migrations) == 0 || len(status.Instances) != 1 {
		t.Errorf("%s: %v", out.out, err)
	}
	gadwall(t, "", env, "schema", "apply").want(t, 0, "nothing to apply")
	if n, err := messages.CountDocuments(t.Context(), bson.D{{Key: "h", Value: 1}}); err != nil || n != 1 {
		t.Errorf("%d messages were migrated, %v", n, err)
	}
	gadwall(t, "", env, "user", "list").want(t, 0, "ada@example.com")

	version(1000, 1000)
	for _, args := range [][]string{{"user", "list"}, {"schema", "status"}, {"check"}} {
		got := gadwall(t, "", env, args...)
		got.want(t, exitFailure)
		if !strings.Contains(got.err, "a newer version of Gadwall uses this database") {
			t.Errorf("%v: %s", args, got.err)
		}
	}
	version(status.Program, status.Program)
	server.stop(t)
	if n := instancesLeft(t, dir); n != 0 {
		t.Errorf("%d instances are noted after the end of all", n)
	}
}

func instancesLeft(t *testing.T, dir string) int64 {
	t.Helper()
	n, err := node.OpenDatabase(t.Context(), node.Options{
		Storage: config.Storage{DataDir: dir, MongoDBDatabase: "gadwall"}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	count, err := n.Database.Collection("instances").CountDocuments(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	return count
}
