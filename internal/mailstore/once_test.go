package mailstore

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/uidset"
	"gadwall/quota"
)

// onceItem is a message with a Message-ID, for a mailbox.
func (e *env) onceItem(t testing.TB, box *Mailbox, once Once, id, from, text string) AppendItem {
	t.Helper()
	stored := e.content(t, fmt.Sprintf("From: %s\r\nMessage-ID: <%s>\r\n\r\n%s\r\n", from, id, text), 1)
	flags := Flags(0)
	if once == Submitted {
		flags = Seen
	}
	return NewAppendItem(stored, Delivery{Mailbox: box.Key, Magic: stored.Magics[0], Once: once, Flags: flags})
}

func (e *env) once(t testing.TB, box *Mailbox, once Once, id, from string) Delivered {
	t.Helper()
	got, err := e.Append(t.Context(), []AppendItem{e.onceItem(t, box, once, id, from, "text")})
	if err != nil {
		t.Fatal(err)
	}
	return got[0]
}

// Of a submitted message and the client's own copy of it the mailbox has one, in either order: seen,
// marked, and counted once. Other messages stay apart.
func TestOnce(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	sent, drafts := e.box(t, u, "Sent"), e.box(t, u, "Drafts")
	const ada, bob = "ada@example.com", "bob@example.com"

	first := e.once(t, sent, Submitted, "1@x", ada)
	again := e.once(t, sent, UnlessSubmitted, "1@x", ada)
	if first.Existed || !again.Existed || again.UID != first.UID || again.UIDValidity != first.UIDValidity ||
		again.Number != first.Number {
		t.Errorf("submitted %+v, then saved by the client %+v", first, again)
	}
	if third := e.once(t, sent, Submitted, "1@x", ada); third.UID != first.UID {
		t.Errorf("submitted again: %+v", third)
	}

	own := e.once(t, sent, UnlessSubmitted, "2@x", ada)
	before := e.list(t, sent.Key, Query{UIDs: uidset.FromAscending([]uint32{own.UID})}, FieldAll)[0]
	if before.Submitted != 0 || before.Flags != 0 {
		t.Errorf("saved by the client: %+v", before)
	}
	later := e.once(t, sent, Submitted, "2@x", ada)
	after := e.list(t, sent.Key, Query{UIDs: uidset.FromAscending([]uint32{own.UID})}, FieldAll)[0]
	if !later.Existed || later.UID != own.UID || after.Flags != Seen || after.Submitted != after.ModSeq ||
		after.ModSeq <= before.ModSeq || later.ModSeq != after.ModSeq {
		t.Errorf("then submitted: %+v, %+v", later, after)
	}

	for name, other := range map[string]Delivered{
		"another sender":       e.once(t, sent, UnlessSubmitted, "1@x", bob),
		"another identifier":   e.once(t, sent, UnlessSubmitted, "3@x", ada),
		"another mailbox":      e.once(t, drafts, UnlessSubmitted, "1@x", ada),
		"whatever there is":    e.once(t, sent, Always, "1@x", ada),
		"twice by the client":  e.once(t, sent, UnlessSubmitted, "3@x", ada),
		"without identifier":   e.once(t, sent, Submitted, "", ada),
		"without, once more":   e.once(t, sent, UnlessSubmitted, "", ada),
		"copies are unmarked":  e.copied(t, sent, drafts, first.UID),
		"submitted to another": e.once(t, drafts, Submitted, "7@x", ada),
	} {
		if other.Existed {
			t.Errorf("%s: %+v", name, other)
		}
	}
	old := bson.D{{Key: "$set", Value: bson.D{{Key: DocSaveDate, Value: now().Add(-2 * onceWindow)}}}}
	if _, err := e.messages.UpdateByID(t.Context(), sent.Key.Message(first.UID).Binary(), old); err != nil {
		t.Fatal(err)
	}
	if late := e.once(t, sent, UnlessSubmitted, "1@x", ada); late.UID == first.UID {
		t.Errorf("after a long time: %+v", late)
	}
	e.checkConsistent(t, u)
}

// copied copies a message, and returns the copy if it has no DocSubmitted.
func (e *env) copied(t *testing.T, from, to *Mailbox, uid uint32) Delivered {
	t.Helper()
	res, err := e.Copy(t.Context(), from.Key, uidset.FromAscending([]uint32{uid}), to.Key)
	if err != nil {
		t.Fatal(err)
	}
	m := e.list(t, to.Key, Query{UIDs: uidset.FromAscending([]uint32{res.Dest[0]})}, FieldAll)[0]
	return Delivered{Existed: m.Submitted != 0}
}

// A message that the mailbox has already needs no room, and replaces another one as a new one does,
// but not itself.
func TestOnceQuotaAndReplace(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	sent, drafts := e.box(t, u, "Sent"), e.box(t, u, "Drafts")
	draft := e.deliver(t, drafts.Key, 1, Draft)
	first := e.once(t, sent, Submitted, "1@x", "a@x")
	if err := e.SetLimits(t.Context(), u.ID, quota.Limits{Messages: 1}); err != nil {
		t.Fatal(err)
	}
	again, err := e.Replace(t.Context(), e.onceItem(t, sent, UnlessSubmitted, "1@x", "a@x", "own"),
		drafts.Key, draft.UID)
	if err != nil || !again.Existed || again.UID != first.UID {
		t.Errorf("%+v, %v", again, err)
	}
	if left := e.list(t, drafts.Key, Query{}, FieldFlags); len(left) != 0 {
		t.Errorf("%d drafts are left", len(left))
	}
	if err := e.SetLimits(t.Context(), u.ID, quota.Limits{Messages: 5}); err != nil {
		t.Fatal(err)
	}
	other, err := e.Replace(t.Context(), e.onceItem(t, sent, UnlessSubmitted, "1@x", "a@x", "changed"),
		sent.Key, first.UID)
	if err != nil || other.Existed || other.UID == first.UID {
		t.Errorf("replaced by itself: %+v, %v", other, err)
	}
	e.checkConsistent(t, u)
}

// Clients that race on two instances, and within one, end with one message.
func TestOnceRaces(t *testing.T) {
	first := newEnv(t)
	second := openEnv(t, first.db)
	u := first.user(t)
	sent := first.box(t, u, "Sent")
	const rounds = 20
	for round := range rounds {
		id := fmt.Sprintf("%d@x", round)
		items := []AppendItem{
			first.onceItem(t, sent, Submitted, id, "a@x", "one"),
			second.onceItem(t, sent, UnlessSubmitted, id, "a@x", "two"),
			first.onceItem(t, sent, UnlessSubmitted, id, "a@x", "three"),
			second.onceItem(t, sent, Submitted, id, "a@x", "four"),
		}
		// Two copies of a client alone are two; so the third one comes after the race.
		last := items[2]
		var wg sync.WaitGroup
		for i, item := range []AppendItem{items[0], items[1], items[3]} {
			s := []*env{first, second, second}[i]
			wg.Go(func() {
				if _, err := s.Append(t.Context(), []AppendItem{item}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got, err := first.Append(t.Context(), []AppendItem{last}); err != nil || !got[0].Existed {
			t.Errorf("round %d: %+v, %v", round, got, err)
		}
	}
	list := first.list(t, sent.Key, Query{}, FieldAll)
	for _, m := range list {
		if m.Submitted == 0 || m.Flags != Seen {
			t.Errorf("UID %d: %+v", m.UID, m)
		}
	}
	if len(list) != rounds {
		t.Errorf("%d messages instead of %d", len(list), rounds)
	}
	first.checkConsistent(t, u)
}

// A group whose bundles have the same message stores it once.
func TestOnceWithinAGroup(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	sent := e.box(t, u, "Sent")
	unlock, err := e.locks.lock(t.Context(), u.ID) // so that all wait
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 4 {
		once := []Once{Submitted, UnlessSubmitted, Submitted, Submitted}[i]
		item := e.onceItem(t, sent, once, "1@x", "a@x", "text")
		wg.Go(func() {
			if _, err := e.Append(t.Context(), []AppendItem{item}); err != nil {
				t.Error(err)
			}
		})
	}
	unlock()
	wg.Wait()
	list := e.list(t, sent.Key, Query{}, FieldAll)
	if len(list) != 1 || list[0].Submitted == 0 || list[0].Flags != Seen {
		t.Errorf("%+v", list)
	}
	e.checkConsistent(t, u)
}

// An item that could not be stored is stored with a new reference.
func TestRenew(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	sent := e.box(t, u, "Sent")
	if err := e.SetLimits(t.Context(), u.ID, quota.Limits{Bytes: 1}); err != nil {
		t.Fatal(err)
	}
	item := e.onceItem(t, sent, Submitted, "1@x", "a@x", "text")
	if _, err := e.Append(t.Context(), []AppendItem{item}); err == nil {
		t.Fatal("stored beyond the quota")
	}
	if err := e.SetLimits(t.Context(), u.ID, quota.Limits{}); err != nil {
		t.Fatal(err)
	}
	item, err := e.Renew(t.Context(), item)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Append(t.Context(), []AppendItem{item}); err != nil {
		t.Fatal(err)
	}
	e.checkConsistent(t, u)
}

// All instances count together, and of many that race exactly as many get through as may.
func TestCountSending(t *testing.T) {
	first := newEnv(t)
	second := openEnv(t, first.db)
	u, other := first.user(t), first.user(t)
	limit := Sending{Messages: 7, Recipients: 30}
	var wg sync.WaitGroup
	results := make(chan error, 20)
	for i := range cap(results) {
		s := []*env{first, second}[i%2]
		wg.Go(func() {
			_, err := s.CountSending(t.Context(), u.ID, Sending{1, 2}, limit)
			results <- err
		})
	}
	wg.Wait()
	close(results)
	through := int64(0)
	for err := range results {
		if err == nil {
			through++
		}
	}
	// Those that are refused are in the count for a moment, so it may be fewer, and never more.
	if through == 0 || through > limit.Messages {
		t.Errorf("%d get through", through)
	}
	for through < limit.Messages {
		if _, err := first.CountSending(t.Context(), u.ID, Sending{1, 2}, limit); err != nil {
			t.Fatal(err)
		}
		through++
	}
	if _, err := second.CountSending(t.Context(), u.ID, Sending{1, 1}, limit); err != ErrRate {
		t.Errorf("beyond the limit: %v", err)
	}
	if sum, err := second.sentLately(t, u); err != nil || sum != (Sending{7, 14}) {
		t.Errorf("%+v, %v", sum, err)
	}
	at, err := first.CountSending(t.Context(), u.ID, Sending{1, 16}, Sending{Recipients: 30})
	if err != nil {
		t.Errorf("without a limit of messages: %v", err)
	}
	if err := second.UncountSending(t.Context(), at); err != nil {
		t.Error(err)
	}
	if sum, err := second.sentLately(t, u); err != nil || sum != (Sending{7, 14}) {
		t.Errorf("%+v, %v", sum, err)
	}
	// What was counted earlier than the window does not count.
	past := SendingSlot{other.ID, sendingNow() - sendingSlots - 1, Sending{}}
	if _, err := first.addSending(t.Context(), past, Sending{5, 5}); err != nil {
		t.Fatal(err)
	}
	past.slot++
	if _, err := first.addSending(t.Context(), past, Sending{1, 1}); err != nil {
		t.Fatal(err)
	}
	if sum, err := first.sentLately(t, other); err != nil || sum.Messages > 1 {
		t.Errorf("%+v, %v", sum, err)
	}
	var doc struct {
		E time.Time `bson:"e"`
	}
	err = first.sending.FindOne(t.Context(), byID(sendingKey(u.ID, sendingNow()))).Decode(&doc)
	if err == nil && doc.E.Before(time.Now().Add(sendingWindow)) {
		t.Errorf("expires %v", doc.E)
	}
}

func (e *env) sentLately(t *testing.T, u *User) (Sending, error) {
	last := sendingNow()
	return e.sentIn(t.Context(), u.ID, last-sendingSlots, last)
}
