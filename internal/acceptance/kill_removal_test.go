package acceptance

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/imapconn"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/quota"
)

// removalMessages is the number of messages that the server is removing when it is killed: more
// than two transactions take.
const removalMessages = 2_500

// removalWait bounds how long the server may take for what it does on its own.
const removalWait = 2 * time.Minute

// TestKillRemoval ends the server with SIGKILL in the middle of removing many messages. After the
// restart counters and usage are right, and what is left can be removed; a mailbox or user that was
// being deleted is gone, its name is free, and the server finishes the deletion when the lease of
// the dead one is over.
func TestKillRemoval(t *testing.T) {
	t.Run("EXPUNGE", func(t *testing.T) { killedExpunge(t, "EXPUNGE") })
	t.Run("UID EXPUNGE", func(t *testing.T) { killedExpunge(t, "UID EXPUNGE 1:*") })
	t.Run("CLOSE", func(t *testing.T) { killedExpunge(t, "CLOSE") })
	t.Run("DELETE", killedDelete)
	t.Run("user delete", killedUserDelete)
}

func killedExpunge(t *testing.T, command string) {
	s := startServer(t)
	box := s.fill(t, "Archive", removalMessages)
	c := s.session(t)
	s.mustIMAP(t, c, "SELECT Archive")
	left := s.killDuring(t, func(context.Context) { _, _, _ = c.Do("%s", command) })
	s.start(t)
	t.Logf("killed with %d of %d messages left", left, removalMessages)
	s.checkAccounts(t)
	if account := s.account(t); account.Messages != left {
		t.Errorf("usage of %d messages, there are %d", account.Messages, left)
	}
	c = s.session(t)
	if got := s.mustIMAP(t, c,
		"STATUS Archive (MESSAGES DELETED)"); got != fmt.Sprintf("* STATUS Archive (MESSAGES %d "+
		"DELETED %d)", left, left) {
		t.Error(got)
	}
	// The journal has what was removed: whoever was away learns it.
	changes, err := openStore(t, s.database(t)).Changes(t.Context(), box, 1)
	if err != nil || !changes.Complete || int64(len(changes.Vanished)) != removalMessages-left {
		t.Errorf("%d messages vanished, complete: %t, want %d (%v)", len(changes.Vanished),
			changes.Complete, removalMessages-left, err)
	}
	s.mustIMAP(t, c, "SELECT Archive")
	s.mustIMAP(t, c, "EXPUNGE")
	s.checkAccounts(t)
	s.nothingLeft(t)
}

func killedDelete(t *testing.T) {
	s := startServer(t)
	s.fill(t, "Archive", removalMessages)
	c := s.session(t)
	left := s.killDuring(t, func(context.Context) { _, _, _ = c.Do("DELETE Archive") })
	s.start(t)
	t.Logf("killed with %d of %d messages left", left, removalMessages)
	if account := s.account(t); account.Messages != left {
		t.Errorf("usage of %d messages, there are %d", account.Messages, left)
	}
	c = s.session(t)
	if got := s.mustIMAP(t, c, `LIST "" Archive`); got != "" {
		t.Errorf("deleted, and listed: %s", got)
	}
	s.mustIMAP(t, c, "CREATE Archive")
	s.finishes(t, "mailboxes", "dt", "del")
	s.checkAccounts(t)
	s.nothingLeft(t)
}

func killedUserDelete(t *testing.T) {
	s := startServer(t)
	s.fill(t, "Archive", removalMessages)
	left := s.killDuring(t, func(ctx context.Context) {
		_ = exec.CommandContext(ctx, binary, "user", "delete", "--yes", testUser, "--data-dir", s.dir).Run()
	})
	s.start(t)
	t.Logf("killed with %d of %d messages left", left, removalMessages)
	if c, err := imapconn.Login(s.imap, testUser, testPassword, ioTimeout); err == nil {
		c.Close()
		t.Error("a user who is being deleted can log in")
	}
	s.finishes(t, "users", "purged", "deleting")
	s.createUser(t, testUser, testPassword) // the name is free
	s.nothingLeft(t)
}

// killDuring runs remove, which has messages removed and ends with its context at the latest. It
// kills the server, and that, when it sees some gone, and returns how many there are after a
// restart, which it ends by killing the server again. A transaction that has the last message keeps
// the removal from its end until then.
func (s *server) killDuring(t *testing.T, remove func(ctx context.Context)) (left int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	messages := s.database(t).Collection("messages")
	session, err := messages.Database().Client().StartSession()
	if err != nil {
		t.Fatal(err)
	}
	// It ends with the server.
	defer session.EndSession(context.WithoutCancel(ctx))
	if err := session.StartTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := messages.FindOneAndUpdate(mongo.NewSessionContext(ctx, session), bson.D{},
		bson.D{{Key: "$set", Value: bson.D{{Key: "held", Value: true}}}},
		options.FindOneAndUpdate().SetSort(bson.D{{Key: "_id", Value: -1}})).Err(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		remove(ctx)
	}()
	for deadline := time.Now().Add(removalWait); ; {
		n, err := messages.CountDocuments(t.Context(), bson.D{})
		if err != nil {
			t.Fatal(err)
		}
		if n < removalMessages {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing is removed")
		}
	}
	s.kill()
	cancel()
	<-done
	s.start(t)
	left, err = s.database(t).Collection("messages").CountDocuments(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	if left == 0 {
		t.Error("killed too late: nothing was left")
	}
	s.kill()
	return left
}

// finishes makes the lease of the dead server as old as it would be two minutes later, and waits
// until the server, started again, has finished the deletion.
func (s *server) finishes(t *testing.T, collection, lease, mark string) {
	t.Helper()
	coll := s.database(t).Collection(collection)
	marked := bson.D{{Key: mark, Value: true}}
	res, err := coll.UpdateMany(t.Context(), marked,
		bson.D{{Key: "$set", Value: bson.D{{Key: lease, Value: time.Now().Add(-5 * time.Minute)}}}})
	if err != nil || res.MatchedCount != 1 {
		t.Fatalf("%+v deletions that nobody is at, %v", res, err)
	}
	s.kill()
	s.start(t)
	coll = s.database(t).Collection(collection)
	for deadline := time.Now().Add(removalWait); ; {
		n, err := coll.CountDocuments(t.Context(), marked)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody finishes the deletion")
		}
		time.Sleep(50 * time.Millisecond) // polling another process, there is nothing to wait on
	}
	if log := s.logTail(1 << 20); !strings.Contains(log, "finishing an interrupted deletion") {
		t.Errorf("the server did not finish it:\n%s", log)
	}
}

// nothingLeft checks that no message is left: in the database, in the usage, and by gadwall check.
func (s *server) nothingLeft(t *testing.T) {
	t.Helper()
	if n, err := s.database(t).Collection("messages").CountDocuments(t.Context(), bson.D{}); err != nil || n != 0 {
		t.Errorf("%d messages, %v", n, err)
	}
	if account := s.account(t); account != (quota.Usage{}) {
		t.Errorf("usage of %+v, and nothing is there", account)
	}
	out := command(t, nil, nil, binary, "check", "--data-dir", s.dir)
	if !strings.Contains(out, "clean: 1 user") {
		t.Errorf("gadwall check: %s", out)
	}
	out = command(t, nil, nil, binary, "quota", "show", testUser, "--json", "--data-dir", s.dir)
	if !strings.Contains(out, `"storage":{"usage":0,`) || !strings.Contains(out, `"message":{"usage":0,`) {
		t.Errorf("gadwall quota show: %s", out)
	}
}

// account returns the recorded usage.
func (s *server) account(t *testing.T) quota.Usage {
	t.Helper()
	user, err := openStore(t, s.database(t)).UserByName(t.Context(), testUser)
	if err != nil {
		t.Fatal(err)
	}
	return user.Usage
}

// fill makes a mailbox with n messages that have \Deleted.
func (s *server) fill(t *testing.T, path string, n int) mailkey.Mailbox {
	t.Helper()
	ctx := t.Context()
	store := openStore(t, s.database(t))
	user, err := store.UserByName(ctx, testUser)
	if err != nil {
		t.Fatal(err)
	}
	box, err := store.MailboxByPath(ctx, user.ID, path)
	if err != nil {
		t.Fatal(err)
	}
	for left := n; left > 0; left -= mailstore.MaxRecipients {
		w := store.Contents().NewWriter(ctx)
		if _, err := io.WriteString(w, fmt.Sprintf("Subject: %d\r\n\r\nText\r\n", left)); err != nil {
			t.Fatal(err)
		}
		stored, err := w.Finish(ctx, min(left, mailstore.MaxRecipients))
		if err != nil {
			t.Fatal(err)
		}
		list := make([]mailstore.Delivery, len(stored.Magics))
		for i := range list {
			list[i] = mailstore.Delivery{Mailbox: box.Key, Magic: stored.Magics[i], Flags: mailstore.Deleted}
		}
		results, err := store.Deliver(ctx, stored, list)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
	}
	return box.Key
}

func (s *server) session(t *testing.T) *imapconn.Conn {
	t.Helper()
	c, err := imapconn.Login(s.imap, testUser, testPassword, ioTimeout)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// mustIMAP runs a command and returns its untagged lines.
func (s *server) mustIMAP(t *testing.T, c *imapconn.Conn, command string) string {
	t.Helper()
	untagged, err := c.Must("%s", command)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(untagged, "\n")
}
