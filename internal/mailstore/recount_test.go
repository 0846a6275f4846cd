package mailstore

import (
	"errors"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/mailkey"
	"gadwall/internal/uidset"
	"gadwall/quota"
)

func TestRecountRepairs(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	box := e.box(t, u, "INBOX")
	e.fill(t, box.Key, 10, everySecondDeleted)
	right := e.box(t, u, "INBOX").Counters()
	if right.Messages != 10 || right.Unseen != 5 || right.Deleted != 5 {
		t.Fatalf("counters %+v", right)
	}
	damage := bson.D{{Key: "$inc", Value: bson.D{{Key: boxMessages, Value: int64(3)},
		{Key: boxUnseen, Value: int64(-1)}, {Key: boxSize, Value: int64(7)}, {Key: boxDeletedSize, Value: int64(-9)}}}}
	if _, err := e.mailboxes.UpdateOne(t.Context(), byID(box.Key.Binary()), damage); err != nil {
		t.Fatal(err)
	}
	for _, repair := range []bool{false, true} {
		actual, recorded, err := e.Recount(t.Context(), box.Key, repair)
		if err != nil || actual != right || recorded.Messages != 13 || recorded.Unseen != 4 {
			t.Errorf("actual %+v, recorded %+v, %v", actual, recorded, err)
		}
	}
	e.checkConsistent(t, u)
	if _, _, err := e.Recount(t.Context(), u.ID.Mailbox(77), true); !errors.Is(err, ErrNoSuchMailbox) {
		t.Errorf("of nowhere: %v", err)
	}
}

func TestRecalculateQuota(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	if err := e.SetLimits(t.Context(), u.ID, quota.Limits{Bytes: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	e.fill(t, e.box(t, u, "INBOX").Key, 10, nil)
	e.fill(t, e.box(t, u, "Sent").Key, 5, nil)
	if err := e.quota.Release(t.Context(), u.ID, quota.Usage{Bytes: 100, Messages: 2}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []quota.Usage{{Bytes: 100, Messages: 2}, {}} {
		diff, err := e.RecalculateQuota(t.Context(), u.ID)
		if err != nil || diff != want {
			t.Errorf("off by %+v, %v; want %+v", diff, err, want)
		}
	}
	e.checkConsistent(t, u)
	if _, err := e.RecalculateQuota(t.Context(), mailkey.UserID{}); !errors.Is(err, ErrNoSuchUser) {
		t.Errorf("of nobody: %v", err)
	}
}

// Whatever is wrong is corrected by several at once, while mail comes and goes in other instances,
// and nothing is corrected twice.
func TestRecalculateBesideTraffic(t *testing.T) {
	e := newEnv(t)
	envs := []*env{e, openEnv(t, e.db), openEnv(t, e.db)}
	u := e.user(t)
	inbox, archive, doomed := e.box(t, u, Inbox).Key, e.box(t, u, "Archive").Key, e.box(t, u, "Trash").Key
	for _, key := range []mailkey.Mailbox{inbox, archive, doomed} {
		e.fill(t, key, 30, everySecondDeleted)
	}
	// Marked, and never purged: its messages still count.
	if err := e.markDeleting(t.Context(), doomed); err != nil {
		t.Fatal(err)
	}
	if r, err := e.Recalculate(t.Context(), u.ID, false); err != nil || !r.Clean() {
		t.Fatalf("%+v, %v", r, err)
	}
	damage := Counters{Messages: 4, Unseen: -3, Deleted: 2, Size: 100, DeletedSize: -5}
	for _, key := range []mailkey.Mailbox{inbox, doomed} {
		if _, err := e.mailboxes.UpdateOne(t.Context(), byID(key.Binary()),
			bson.D{{Key: "$inc", Value: damage.increments()}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.quota.Release(t.Context(), u.ID, quota.Usage{Bytes: 77, Messages: -1}); err != nil {
		t.Fatal(err)
	}
	off := quota.Usage{Bytes: 77, Messages: -1}
	r, err := e.Recalculate(t.Context(), u.ID, false)
	if err != nil || r.Usage != off || len(r.Mailboxes) != 2 ||
		r.Mailboxes[0].Recorded.sub(r.Mailboxes[0].Actual) != damage {
		t.Fatalf("%+v, %v", r, err)
	}

	var traffic, repairs sync.WaitGroup
	done := make(chan struct{})
	for i, own := range envs {
		traffic.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				own.deliver(t, inbox, n, Deleted)
				if _, err := own.Copy(t.Context(), inbox,
					uidset.Set{{First: uint32(i + 1), Last: uint32(i + 9)}}, archive); err != nil {
					t.Error(err)
				}
				if _, err := own.StoreFlags(t.Context(), archive, uidset.All(),
					FlagChange{Op: FlagOp(n%2) + Add, Flags: Deleted}); err != nil {
					t.Error(err)
				}
				if _, _, err := own.Expunge(t.Context(), archive, nil); err != nil {
					t.Error(err)
				}
			}
		})
		repairs.Go(func() {
			for range 3 {
				if _, err := own.Recalculate(t.Context(), u.ID, true); err != nil {
					t.Error(err)
				}
			}
		})
	}
	repairs.Wait()
	close(done)
	traffic.Wait()
	if r, err := e.Recalculate(t.Context(), u.ID, false); err != nil || !r.Clean() {
		t.Errorf("afterwards: %+v, %v", r, err)
	}
	if err := e.purgeMailbox(t.Context(), doomed); err != nil {
		t.Fatal(err)
	}
	e.checkConsistent(t, u)
}
