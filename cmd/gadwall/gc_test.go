package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/docstore"
	"gadwall/internal/node"
)

// What nobody uses is planned, kept for the grace period, and deleted, beside a running server and
// without one; a check before and after finds nothing.
func TestGC(t *testing.T) {
	dir := dataDir(t)
	env := []string{"GADWALL_DATA_DIR=" + dir, "GADWALL_PASSWORD=correct horse", "GADWALL_LOG_LEVEL=warn"}
	gadwall(t, "", env, "gc").want(t, exitUsage, "no database in "+dir)
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("collecting nothing made something: %v", err)
	}
	server := startServer(t, "--data-dir", dir)
	for _, name := range []string{"ada@example.com", "bob@example.com"} {
		gadwall(t, "", env, "user", "add", name).want(t, 0)
	}
	body := strings.Repeat("0123456789abcdef\r\n", 600)
	for i, to := range [][]string{{"ada@example.com", "bob@example.com"}, {"bob@example.com"}} {
		text := fmt.Sprintf("Subject: %d\r\nContent-Type: application/octet-stream\r\n\r\n%d%s", i, i, body)
		args := []string{"deliver", "--lmtp", server.ports["LMTP"]}
		for _, name := range to {
			args = append(args, "--to", name)
		}
		gadwall(t, text, env, append(args, "-")...).want(t, 0)
	}
	gadwall(t, "", env, "check", "--deep").want(t, 0, "clean: 2 users, 12 mailboxes, 3 messages, 2 contents, 2 blobs")
	gadwall(t, "", env,
		"gc").want(t, 0, "deleted 0 contents (0 bytes), 0 blobs (0 bytes), 0 orphan chunks (0 bytes); "+
		"put in quarantine 0 contents")

	gadwall(t, "", env, "user", "delete", "--yes", "bob@example.com").want(t, 0)
	var plan gcReport
	dry := gadwall(t, "", env, "gc", "--dry-run", "--json")
	if err := json.Unmarshal([]byte(dry.out), &plan); err != nil || plan.Plan == nil {
		t.Fatalf("%q: %v", dry.out, err)
	}
	if p := plan.Plan.Contents; p.Waiting.Documents != 1 || p.Waiting.Bytes == 0 ||
		p.Ready.Documents+p.Fresh.Documents != 0 {
		t.Errorf("plan %+v", p)
	}
	gadwall(t, "", env, "gc", "--grace=-1s").want(t, exitUsage, "--grace")
	gadwall(t, "", env, "gc").want(t, 0, "put in quarantine 0 contents, 0 blobs")
	gadwall(t, "", env, "gc", "--dry-run").want(t, 0, "contents", "blobs", "orphan chunks")
	server.stop(t)

	var done gcReport
	out := gadwall(t, "", env, "gc", "--grace=0s", "--json")
	if err := json.Unmarshal([]byte(out.out), &done); err != nil || done.Collected == nil {
		t.Fatalf("%q: %v", out.out, err)
	}
	if c := done.Collected; c.Contents.Deleted.Documents != 1 || c.Blobs.Deleted.Documents != 1 ||
		c.Blobs.Deleted.Bytes == 0 {
		t.Errorf("collected %+v", c)
	}
	gadwall(t, "", env, "check", "--deep").want(t, 0, "clean: 1 user, 6 mailboxes, 1 message, 1 content, 1 blob")
}

// Exit statuses and output of a check, with damage done through the server's socket.
func TestCheckStore(t *testing.T) {
	dir := dataDir(t)
	env := []string{"GADWALL_DATA_DIR=" + dir, "GADWALL_PASSWORD=correct horse", "GADWALL_LOG_LEVEL=warn"}
	server := startServer(t, "--data-dir", dir)
	gadwall(t, "", env, "user", "add", "ada@example.com").want(t, 0)
	gadwall(t, "Subject: x\r\n\r\ny\r\n", env, "deliver", "--lmtp", server.ports["LMTP"], "--to",
		"ada@example.com", "-").want(t, 0)
	for _, flag := range []string{"--repair", "--deep", "--offline"} {
		gadwall(t, "", env, "check", "--database", flag).want(t, exitUsage, "--database")
	}

	damage(t, dir, "mailboxes", `{"cm": {"$gt": 0}}`, `{"$inc": {"cm": {"$numberLong": "2"}}}`)
	damage(t, dir, "contents", `{}`, `{"$inc": {"refs": {"$numberLong": "2"}, "magic": {"$numberLong": "77"}}}`)
	found := gadwall(t, "", env, "check")
	found.want(t, exitDamaged, "damaged: wrong counters user=", "messages: 3 recorded, 1 there\n",
		"damaged: 1 user,", "1 in use just now")
	if strings.Contains(found.out, "2/8") || !strings.Contains(found.err, "2/8 mailboxes and messages: about 1\n") {
		t.Errorf("progress belongs on standard error:\n%s%s", found.out, found.err)
	}
	gadwall(t, "", env, "check", "--repair").
		want(t, exitRepaired, "repaired: wrong counters", "repaired: 1 user,", "1 in use just now")
	gadwall(t, "", env, "check", "--offline", "--repair").want(t, 1, "another process has")
	server.stop(t)

	lines := strings.Split(strings.TrimSpace(gadwall(t, "", env, "check", "--offline", "--json").out), "\n")
	if len(lines) != 2 {
		t.Fatalf("%q: want a finding and a summary", lines)
	}
	var finding struct {
		Kind, Content string
		Repaired      bool
	}
	var summary struct {
		Result            string
		Damaged, Repaired int
		Found             map[string]int
	}
	if err := json.Unmarshal([]byte(lines[0]),
		&finding); err != nil || finding.Kind != "content leaked" || finding.Content == "" ||
		finding.Repaired {
		t.Errorf("finding %s: %v", lines[0], err)
	}
	if err := json.Unmarshal([]byte(lines[1]),
		&summary); err != nil || summary.Result != "damaged" || summary.Damaged != 1 ||
		summary.Found["content leaked"] != 1 {
		t.Errorf("summary %s: %v", lines[1], err)
	}
	gadwall(t, "", env, "check", "--offline", "--repair").
		want(t, exitRepaired, "repaired: content leaked", "3 references counted, 1 found")
	gadwall(t, "", env, "check", "--offline").want(t, 0, "clean: 1 user")
}

// damage changes a document through the socket of a running server.
func damage(t *testing.T, dir, collection, filter, update string) {
	t.Helper()
	var f, u bson.D
	for _, doc := range []struct {
		text string
		into *bson.D
	}{{filter, &f}, {update, &u}} {
		if err := bson.UnmarshalExtJSON([]byte(doc.text), false, doc.into); err != nil {
			t.Fatal(err)
		}
	}
	res, err := connect(t, dir).Collection(collection).UpdateOne(t.Context(), f, u)
	if err != nil || res.ModifiedCount != 1 {
		t.Fatalf("damage %s: %+v, %v", collection, res, err)
	}
}

// connect connects to the database behind a server's back.
func connect(t *testing.T, dir string) *mongo.Database {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(node.SocketURI(filepath.Join(dir, docstore.SocketName))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Disconnect(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return client.Database("gadwall")
}

// A missing index is told of, and made by nobody who is not to repair.
func TestCheckMissingIndex(t *testing.T) {
	dir := dataDir(t)
	env := []string{"GADWALL_DATA_DIR=" + dir, "GADWALL_PASSWORD=correct horse", "GADWALL_LOG_LEVEL=warn"}
	server := startServer(t, "--data-dir", dir)
	defer server.stop(t)
	if err := connect(t, dir).Collection("messages").Indexes().DropOne(t.Context(), "unseen"); err != nil {
		t.Fatal(err)
	}
	gadwall(t, "", env, "gc", "--dry-run").want(t, 0, "nothing was changed")
	for range 2 {
		gadwall(t, "", env, "check").want(t, exitDamaged, "damaged: missing index: messages unseen\n")
	}
	gadwall(t, "", env, "check", "--repair").want(t, exitRepaired, "repaired: missing index: messages unseen\n")
	gadwall(t, "", env, "check").want(t, 0, "clean: ")
}
