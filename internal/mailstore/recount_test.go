package mailstore

import (
	"errors"
	"testing"

	"gadwall/quota"

	"go.mongodb.org/mongo-driver/v2/bson"
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
	damage := bson.D{{Key: "$inc", Value: bson.D{{Key: boxMessages, Value: int64(3)}, {Key: boxUnseen, Value: int64(-1)}, {Key: boxSize, Value: int64(7)}}}}
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
	if _, err := e.RecalculateQuota(t.Context(), UserID{}); !errors.Is(err, ErrNoSuchUser) {
		t.Errorf("of nobody: %v", err)
	}
}
