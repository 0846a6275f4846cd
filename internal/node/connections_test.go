package node

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/config"
	"gadwall/internal/contents"
	"gadwall/internal/dbtest"
	"gadwall/internal/mailgen"
	"gadwall/internal/mailstore"
	"gadwall/internal/storetest"
)

// Reads of attachments that the database answers slowly, as many as have connections and more that
// wait for one, hold up no delivery.
func TestLargeReadsLeaveRoomForWrites(t *testing.T) {
	set := dbtest.OpenReplicaSet(t, 1)
	path := t.TempDir() + "/set.sock"
	if err := set.Server().ListenUnix(path); err != nil {
		t.Fatal(err)
	}
	n := open(t, Options{Storage: config.Storage{MongoDBURI: SocketURI(path), MongoDBDatabase: "gadwall",
		Connections: 3, ReadConnections: 2}, Access: Serving, Logger: slog.New(slog.DiscardHandler)})
	ctx := t.Context()
	user, err := n.Mail.CreateUser(ctx, mailstore.NewUser{Username: "ada@example.com", Password: storetest.Password})
	if err != nil {
		t.Fatal(err)
	}
	inbox, err := n.Mail.MailboxByPath(ctx, user.ID, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	deliver := func(text []byte) *contents.Stored {
		t.Helper()
		w := n.Contents.NewWriter(ctx)
		if _, err := w.Write(text); err != nil {
			t.Fatal(err)
		}
		stored, err := w.Finish(ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		results, err := n.Mail.Deliver(ctx, stored, []mailstore.Delivery{
			{Mailbox: inbox.Key, Magic: stored.Magics[0]}})
		if err != nil || results[0].Err != nil {
			t.Fatalf("%+v, %v", results, err)
		}
		return stored
	}
	raw := mailgen.Simple("large", mailgen.Random(1, 1<<20))
	large := deliver(raw)
	read := func(ctx context.Context, to io.Writer) error {
		loaded, err := n.Contents.Load(ctx, []contents.ID{large.ID}, contents.Want{All: true})
		if err != nil {
			return err
		}
		c := loaded[large.ID]
		return c.WriteRange(ctx, to, 0, c.Size)
	}
	var whole bytes.Buffer
	if err := read(ctx, &whole); err != nil || !bytes.Equal(whole.Bytes(), raw) {
		t.Fatalf("%d of %d bytes, %v", whole.Len(), len(raw), err)
	}

	set.FailPoint(t, "alwaysOn", bson.D{{Key: "failCommands", Value: bson.A{"find"}},
		{Key: "namespace", Value: "gadwall.blobs.chunks"}, {Key: "blockConnection", Value: true},
		{Key: "blockTimeMS", Value: 3_600_000}})
	slow, end := context.WithCancel(ctx)
	var readers sync.WaitGroup
	var ended atomic.Int32
	for range 12 {
		readers.Go(func() {
			_ = read(slow, io.Discard)
			ended.Add(1)
		})
	}
	for n := range 20 {
		deliver(mailgen.Simple(string(rune('a' + n))))
	}
	if n := ended.Load(); n > 0 {
		t.Errorf("%d reads have ended, which the database has not answered", n)
	}
	set.FailPoint(t, "off", nil)
	end()
	readers.Wait()
	if err := read(ctx, io.Discard); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
