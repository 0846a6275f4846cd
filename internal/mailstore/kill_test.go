package mailstore

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/dbtest"
	"gadwall/internal/mailkey"
	"gadwall/internal/uidset"
	"gadwall/quota"
)

// Operations that are killed work on a user with killMessages messages in INBOX, every second one
// with \Deleted.
const (
	killMessages = 12
	killBatch    = 5 // so that most take several transactions
)

// killScene is what an operation works on.
type killScene struct {
	*env           // the process that is killed
	u, other       *User
	inbox, archive mailkey.Mailbox // of u
}

var killed = []struct {
	name string
	run  func(ctx context.Context, e *killScene) error
}{
	{"deliver", func(ctx context.Context, e *killScene) error {
		w := e.contents.NewWriter(ctx)
		defer w.Abort(ctx)
		if _, err := w.Write([]byte(mail(7))); err != nil {
			return err
		}
		stored, err := w.Finish(ctx, 2)
		if err != nil {
			return err
		}
		got, err := e.Deliver(ctx, stored, []Delivery{
			{Mailbox: e.inbox, Magic: stored.Magics[0]}, {Mailbox: e.other.ID.Mailbox(1), Magic: stored.Magics[1]}})
		if err != nil {
			return err
		}
		return errors.Join(got[0].Err, got[1].Err)
	}},
	{"append", func(ctx context.Context, e *killScene) error {
		var items []AppendItem
		for i := range 3 {
			w := e.contents.NewWriter(ctx)
			defer w.Abort(ctx)
			if _, err := w.Write([]byte(mail(i))); err != nil {
				return err
			}
			stored, err := w.Finish(ctx, 1)
			if err != nil {
				return err
			}
			items = append(items, NewAppendItem(stored, Delivery{Mailbox: e.inbox, Magic: stored.Magics[0]}))
		}
		_, err := e.Append(ctx, items)
		return err
	}},
	{"copy", func(ctx context.Context, e *killScene) error {
		_, err := e.Copy(ctx, e.inbox, uidset.All(), e.archive)
		return err
	}},
	{"copy over quota", func(ctx context.Context, e *killScene) error {
		if err := e.SetLimits(ctx, e.u.ID, quota.Limits{Messages: killMessages + killBatch + 1}); err != nil {
			return err
		}
		if _, err := e.Copy(ctx, e.inbox, uidset.All(), e.archive); !errors.Is(err, quota.ErrOverQuota) {
			return fmt.Errorf("copied: %w", err)
		}
		return nil
	}},
	{"move", func(ctx context.Context, e *killScene) error {
		_, err := e.Move(ctx, e.inbox, uidset.All(), e.archive)
		return err
	}},
	{"store", func(ctx context.Context, e *killScene) error {
		_, err := e.StoreFlags(ctx, e.inbox, uidset.All(), FlagChange{Op: Set, Flags: Deleted,
			Keywords: []string{"Work"}})
		return err
	}},
	{"expunge", func(ctx context.Context, e *killScene) error {
		_, _, err := e.Expunge(ctx, e.inbox, nil)
		return err
	}},
	{"delete mailbox", func(ctx context.Context, e *killScene) error {
		if err := e.RenameMailbox(ctx, e.u.ID, Inbox, "Old"); err != nil {
			return err
		}
		return e.DeleteMailbox(ctx, e.u.ID, "Old")
	}},
	{"delete user", func(ctx context.Context, e *killScene) error {
		return e.DeleteUser(ctx, e.u.ID)
	}},
	{"recalculate", func(ctx context.Context, e *killScene) error {
		_, err := e.Recalculate(ctx, e.u.ID, true)
		return err
	}},
}

// A process that is killed at any of its database calls, before the call or after it took effect,
// and one that goes on when one of them has failed, leaves usage and counters as a recount finds
// them, no reference too few, and no deletion that another process cannot finish; and other users
// as they were.
func TestKilledAtEveryDatabaseCall(t *testing.T) {
	server := newFaultyServer(t)
	name := dbtest.Database(t).Name()
	client, _ := server.client(t)
	healthy := openEnvWith(t, client.Database(name), Options{batchSize: killBatch})
	for _, op := range killed {
		t.Run(op.name, func(t *testing.T) {
			kills := 0
			for _, mode := range []cutMode{killBefore, killAfter, failOnce} {
				for after := 0; ; after++ {
					finished := false
					if !t.Run("", func(t *testing.T) { finished = kill(t, server, healthy, op.run, after, mode) }) {
						t.Fatalf("killed after %d calls, mode %d", after, mode)
					}
					if finished {
						break
					}
					kills++
				}
			}
			t.Logf("%d kills", kills)
		})
	}
}

// kill runs an operation in a process of its own that is killed after so many calls, and verifies
// what is left. It reports whether the operation was through before.
func kill(t *testing.T, server *faultyServer, healthy *env,
	run func(context.Context, *killScene) error, after int, mode cutMode) (finished bool) {
	u, other := healthy.user(t), healthy.user(t)
	inbox, archive := healthy.box(t, u, Inbox).Key, healthy.box(t, u, "Archive").Key
	healthy.fill(t, inbox, killMessages, everySecondDeleted)
	healthy.fill(t, healthy.box(t, other, Inbox).Key, 2, nil)

	client, network := server.client(t)
	victim := openEnvWith(t, client.Database(healthy.db.Name()), Options{batchSize: killBatch})
	network.arm(after, mode)
	err := run(t.Context(), &killScene{victim, u, other, inbox, archive})
	victim.Close()
	finished = !network.wasCut()
	if finished && err != nil {
		t.Errorf("not killed: %v", err)
	}

	if err := healthy.FinishDeletions(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := healthy.nothingMarked(t); err != nil {
		t.Error(err)
	}
	users := []*User{other}
	switch _, err := healthy.UserByID(t.Context(), u.ID); {
	case err == nil:
		users = append(users, u)
	case !errors.Is(err, ErrNoSuchUser):
		t.Fatal(err)
	}
	held := healthy.checkCounters(t, users...)
	have := healthy.references(t)
	for id, want := range held {
		got := have[id]
		if got[0] < want[0] || finished && got != want {
			t.Errorf("content %v: references %v, messages hold %v", id, got, want)
		}
	}
	healthy.checkNothingElse(t, users...)
	for _, u := range users {
		if err := healthy.DeleteUser(t.Context(), u.ID); err != nil {
			t.Fatal(err)
		}
	}
	// Leaks, which an audit would find, must not add up.
	if _, err := healthy.db.Collection("contents").DeleteMany(t.Context(), bson.D{}); err != nil {
		t.Fatal(err)
	}
	return finished
}

// checkNothingElse verifies that there is nothing but what these users have.
func (e *env) checkNothingElse(t *testing.T, users ...*User) {
	t.Helper()
	var messages, boxes int64
	for _, u := range users {
		list, err := e.Mailboxes(t.Context(), u.ID)
		if err != nil {
			t.Fatal(err)
		}
		boxes += int64(len(list))
		for _, b := range list {
			messages += b.Messages
		}
	}
	for coll, want := range map[string]int64{
		collUsers: int64(len(users)), collAddresses: int64(len(users)), collMailboxes: boxes, collMessages: messages,
	} {
		if n, err := e.db.Collection(coll).CountDocuments(t.Context(), bson.D{}); err != nil || n != want {
			t.Errorf("%d documents in %s, want %d; %v", n, coll, want, err)
		}
	}
}
