package node

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore"
	"gadwall/internal/mailstore"
	"gadwall/internal/schema"
)

// deliver stores a message for a new user.
func (n *Node) deliver(t *testing.T, username string) {
	t.Helper()
	u, err := n.Mail.CreateUser(t.Context(), mailstore.NewUser{Username: username, Password: "correct horse"})
	if err != nil {
		t.Fatal(err)
	}
	inbox, err := n.Mail.MailboxByPath(t.Context(), u.ID, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	w := n.Contents.NewWriter(t.Context())
	if _, err := w.Write([]byte("Subject: for " + username + "\r\n\r\nHello.\r\n")); err != nil {
		t.Fatal(err)
	}
	stored, err := w.Finish(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	done, err := n.Mail.Deliver(t.Context(), stored,
		[]mailstore.Delivery{{Mailbox: inbox.Key, Magic: stored.Magics[0]}})
	if err != nil || done[0].Err != nil {
		t.Fatal(err, done)
	}
}

// through returns the options of a process that uses the database of another one by its socket.
func through(dir string, access Access) Options {
	o := withDir(dir, access)
	o.Storage.MongoDBURI = SocketURI(filepath.Join(dir, docstore.SocketName))
	return o
}

// An instance of an earlier version and one of this version serve one database. When the earlier one
// has ended, the migrations can be done, and it does not come back.
func TestRollingUpgrade(t *testing.T) {
	dir := dataDir(t)
	base := open(t, withDir(dir, Serving))
	none := []schema.Migration{}
	if _, err := base.Database.Collection("state").DeleteMany(t.Context(),
		bson.D{{Key: "_id", Value: "schema"}}); err != nil {
		t.Fatal(err)
	}
	oldOptions := through(dir, Serving)
	oldOptions.Migrations = none
	older, err := Open(t.Context(), oldOptions)
	if err != nil {
		t.Fatal(err)
	}
	newOptions := through(dir, Serving)
	looks := 0
	newOptions.schemaWait = func(ctx context.Context, d time.Duration) error {
		if d < schema.DefaultHeartbeat { // between two looks at the progress
			<-ctx.Done()
		} else {
			looks++
		}
		return ctx.Err()
	}
	newer := open(t, newOptions)
	if len(newer.Schema.Pending()) != len(mailstore.Migrations(nil)) || newer.Schema.Applied(2) {
		t.Fatalf("pending %+v", newer.Schema.Pending())
	}
	older.deliver(t, "ada@example.com")
	newer.deliver(t, "bob@example.com")
	for _, n := range []*Node{older, newer} {
		for _, name := range []string{"ada@example.com", "bob@example.com"} {
			if _, err := n.Mail.UserByName(t.Context(), name); err != nil {
				t.Error(err)
			}
		}
	}
	if err := older.Close(); err != nil {
		t.Fatal(err)
	}
	if err := newer.Schema.Apply(t.Context(), schema.ApplyOptions{Progress: func(schema.Progress) {}}); err != nil {
		t.Fatal(err)
	}
	if looks > 0 {
		t.Errorf("waited %d times for an instance that said that it ends", looks)
	}
	if _, err := Open(t.Context(), oldOptions); !errors.Is(err, schema.ErrNewer) {
		t.Errorf("an earlier version opened the database: %v", err)
	}
	newer.deliver(t, "eve@example.com")
	if !newer.Schema.Applied(2) {
		t.Error("not applied")
	}
}

// A server waits for an index that is needed; another command says what is missing. Without one that
// only makes something faster both go on.
func TestMissingIndexes(t *testing.T) {
	dir := dataDir(t)
	n := open(t, withDir(dir, Serving))
	n.deliver(t, "ada@example.com")
	indexes := n.Database.Collection("messages").Indexes()
	if err := indexes.DropOne(t.Context(), "unseen"); err != nil {
		t.Fatal(err)
	}
	open(t, through(dir, Sharing))
	if missing, err := n.Schema.Missing(t.Context()); err != nil || len(missing) != 1 {
		t.Errorf("a start made an index in a collection with documents: %+v, %v", missing, err)
	}
	if err := indexes.DropOne(t.Context(), "modseq"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), through(dir, Sharing)); err == nil ||
		!strings.Contains(err.Error(), "messages.modseq") || !strings.Contains(err.Error(), "gadwall schema apply") {
		t.Errorf("without an index that is needed: %v", err)
	}
	type opened struct {
		n   *Node
		err error
	}
	serving := make(chan opened, 1)
	ctx := t.Context()
	go func() {
		other, err := Open(ctx, through(dir, Serving))
		serving <- opened{other, err}
	}()
	if err := n.Schema.Apply(t.Context(), schema.ApplyOptions{Progress: func(schema.Progress) {}}); err != nil {
		t.Fatal(err)
	}
	other := <-serving
	if other.err != nil {
		t.Fatal(other.err)
	}
	if err := other.n.Close(); err != nil {
		t.Error(err)
	}
	if missing, err := n.Schema.Missing(t.Context()); err != nil || len(missing) > 0 {
		t.Errorf("missing %+v, %v", missing, err)
	}
	stopped, stop := context.WithCancel(t.Context())
	if err := indexes.DropOne(t.Context(), "modseq"); err != nil {
		t.Fatal(err)
	}
	stop()
	if _, err := Open(stopped, through(dir, Serving)); !errors.Is(err, context.Canceled) {
		t.Errorf("told to stop: %v", err)
	}
}
