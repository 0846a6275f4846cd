package docstore_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/internal/docstore"
)

// A panic in a command costs that command: its locks, cursors and transaction end, and the
// connection goes on.
func TestPanicCostsOneCommand(t *testing.T) {
	ctx := context.Background()
	s := must(docstore.Open(docstore.Options{Dir: "db", FS: vfs.NewMem(), Logger: slog.New(slog.DiscardHandler)}))(t)
	c := must(mongo.Connect(s.ClientOptions().SetMaxPoolSize(1)))(t)
	defer closeAll(t, s, c)
	db := c.Database("db")
	coll := db.Collection("c")
	must(coll.InsertOne(ctx, d("_id", 1)))(t)
	for _, command := range []bson.D{d("panicNow", 1), d("panicAfterWrite", 1), d("panicInCursor", 1)} {
		for range 2 {
			wantCode(t, db.RunCommand(ctx, command).Err(), 1)
		}
		must(coll.UpdateByID(ctx, 1, d("$inc", d("n", 1))))(t)
	}
	if n := must(coll.CountDocuments(ctx, d("_id", "locked")))(t); n != 0 {
		t.Error("the write of a command that panicked shows")
	}
	// The document that the command had locked is free.
	must(coll.InsertOne(ctx, d("_id", "locked")))(t)
	must(coll.DeleteOne(ctx, d("_id", "locked")))(t)

	// A later batch that panics ends the cursor.
	cur := must(db.RunCommandCursor(ctx, d("panicInCursor", 1, "later", true)))(t)
	if cur.Next(ctx) {
		t.Error("a stream that panics gives a document")
	}
	wantCode(t, cur.Err(), 1)
	wantCode(t, db.RunCommand(ctx, d("getMore", cur.ID(), "collection", "c")).Err(), 43)

	sess := must(c.StartSession())(t)
	defer sess.EndSession(ctx)
	if err := sess.StartTransaction(); err != nil {
		t.Fatal(err)
	}
	in := mongo.NewSessionContext(ctx, sess)
	must(coll.UpdateByID(in, 1, d("$inc", d("n", 100))))(t)
	wantCode(t, db.RunCommand(in, d("panicNow", 1)).Err(), 1)
	must(coll.UpdateByID(ctx, 1, d("$inc", d("n", 1))))(t) // not kept out by the transaction
	wantCode(t, sess.CommitTransaction(ctx), 251)
	if n := must(coll.CountDocuments(ctx, d("_id", 1, "n", 4)))(t); n != 1 {
		t.Error("the transaction of a command that panicked is not undone")
	}
	if n := s.Snapshots(); n != 0 {
		t.Errorf("%d snapshots are left open", n)
	}
}
