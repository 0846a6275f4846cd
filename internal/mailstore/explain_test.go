package mailstore

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/dbtest"
	"gadwall/internal/mailkey"
	"gadwall/internal/uidset"
)

// explain sums up how the database answers a query of Messages.
func (e *env) explain(t *testing.T, box mailkey.Mailbox, q Query,
	fields Fields) (plans []dbtest.Plan, docs, returned int) {
	t.Helper()
	filters, err := e.filters(t.Context(), box, q)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range filters {
		find := bson.D{{Key: "find", Value: collMessages}, {Key: "filter", Value: f},
			{Key: "sort", Value: bson.D{{Key: DocID, Value: 1}}}, {Key: "projection", Value: projection(fields)}}
		if q.Limit > 0 {
			find = append(find, bson.E{Key: "limit", Value: q.Limit})
		}
		p := dbtest.ExplainCommand(t, e.db, find)
		plans = append(plans, p)
		docs += p.DocsExamined
		returned += p.NReturned
	}
	return plans, docs, returned
}

// The queries of SELECT, FETCH and SEARCH examine what they return, or at worst what the mailbox
// has in the range asked for; never a message of another mailbox, and they never sort.
func TestQueriesStayWithinTheMailbox(t *testing.T) {
	e := newEnv(t)
	u, neighbour := e.user(t), e.user(t)
	box := e.box(t, u, "INBOX").Key
	const n, unseen, deleted = 300, 5, 3
	flags := func(i int) Flags {
		f := Seen
		if i >= n-unseen {
			f = 0
		}
		if i < deleted {
			f |= Deleted
		}
		return f
	}
	e.fill(t, box, n, flags)
	// Mail on all sides, much of it unseen and deleted.
	for _, k := range []mailkey.Mailbox{e.box(t, u, "Sent").Key, e.box(t, u, "Trash").Key,
		e.box(t, neighbour, "INBOX").Key} {
		e.fill(t, k, n, func(int) Flags { return Deleted })
	}
	state, err := e.MailboxByKey(t.Context(), box)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.StoreFlags(t.Context(), box, uidset.Set{{First: 40, Last: 43}},
		FlagChange{Op: Add, Flags: Flagged}); err != nil {
		t.Fatal(err)
	}
	day := time.Now().Add(-24 * time.Hour)
	for _, tt := range []struct {
		name     string
		query    Query
		fields   Fields
		returned int
		docs     int // at most
	}{
		{"all flags", Query{}, FieldFlags, n, n},
		{"one UID", Query{UIDs: uidset.Set{{First: 7, Last: 7}}}, FieldAll, 1, 1},
		{"a range", Query{UIDs: uidset.Set{{First: 100, Last: 199}}}, FieldAll, 100, 100},
		{"scattered UIDs", Query{UIDs: uidset.Set{{First: 1, Last: 1}, {First: 50, Last: 52},
			{First: 299, Last: 299}}}, FieldAll, 5, 299},
		{"past the end", Query{UIDs: uidset.Set{{First: n + 1, Last: maxUID}}}, FieldFlags, 0, 0},
		{"changed since", Query{ModSince: state.HighestModSeq}, FieldFlags, 4, 4},
		{"unseen", Query{Filter: FlagFilter(Seen, false)}, 0, unseen, unseen},
		{"first unseen", Query{Filter: FlagFilter(Seen, false), Limit: 1}, 0, 1, 1},
		{"deleted", Query{Filter: FlagFilter(Deleted, true)}, 0, deleted, deleted},
		{"unseen in a range", Query{UIDs: uidset.Set{{First: 1, Last: 100}},
			Filter: FlagFilter(Seen, false)}, 0, 0, 100},
		{"flagged", Query{Filter: FlagFilter(Flagged, true)}, 0, 4, n},
		{"since a day", Query{Filter: bson.D{{Key: DocInternalDate,
			Value: bson.D{{Key: "$gte", Value: day}}}}}, 0, n, n},
		{"before a day", Query{Filter: bson.D{{Key: DocInternalDate,
			Value: bson.D{{Key: "$lt", Value: day}}}}}, 0, 0, n},
		{"a date in a range", Query{UIDs: uidset.Set{{First: 1, Last: 100}},
			Filter: bson.D{{Key: DocSentDay, Value: day}}}, 0, 0, 100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			plans, docs, returned := e.explain(t, box, tt.query, tt.fields)
			if returned != tt.returned || docs > tt.docs {
				t.Errorf("%d documents examined for %d, want at most %d for %d: %v", docs, returned,
					tt.docs, tt.returned, plans)
			}
			for _, p := range plans {
				if p.Stage == "COLLSCAN" || p.Sorts() {
					t.Errorf("plan %v", p)
				}
			}
		})
	}
	t.Run("index on mod-sequences", func(t *testing.T) {
		p := dbtest.ExplainCommand(t, e.db, bson.D{{Key: "find", Value: collMessages},
			{Key: "hint", Value: indexModSeq},
			{Key: "filter", Value: changedFilter(box, state.HighestModSeq)}, {Key: "projection", Value: projection(0)}})
		if p.Index != indexModSeq || p.NReturned != 4 || p.DocsExamined > 4 {
			t.Errorf("plan %v", p)
		}
	})
	t.Run("mailbox by path", func(t *testing.T) {
		p := dbtest.Explain(t, e.db.Collection(collMailboxes), append(atPath(u.ID, Inbox),
			notSet(boxDeleting)), nil, nil)
		if p.Index != "path" || p.DocsExamined != 1 {
			t.Errorf("plan %v", p)
		}
	})
	t.Run("list of mailboxes", func(t *testing.T) {
		p := dbtest.Explain(t, e.db.Collection(collMailboxes),
			bson.D{{Key: boxUser, Value: u.ID.Binary()}, notSet(boxDeleting)},
			bson.D{{Key: boxUser, Value: 1}, {Key: boxPath, Value: 1}}, nil)
		if p.Index != "path" || p.DocsExamined != len(standardMailboxes) || p.Sorts() {
			t.Errorf("plan %v", p)
		}
	})
	t.Run("subscriptions", func(t *testing.T) {
		p := dbtest.Explain(t, e.db.Collection(collSubscriptions),
			bson.D{{Key: subscriptionUser, Value: u.ID.Binary()}}, nil, nil)
		if p.Index != "user" {
			t.Errorf("plan %v", p)
		}
	})
	t.Run("users by name", func(t *testing.T) {
		p := dbtest.Explain(t, e.db.Collection(collUsers),
			bson.D{{Key: userName, Value: bson.D{{Key: "$gt", Value: u.Username}}}, notSet(userDeleting)},
			bson.D{{Key: userName, Value: 1}}, nil)
		if p.Index != "names" || p.DocsExamined > 1 || p.Sorts() {
			t.Errorf("plan %v", p)
		}
	})
}

func TestMessagesWithLimitAndReverse(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	box := e.box(t, u, "INBOX").Key
	e.fill(t, box, 200, nil)
	sets := uidset.Set{{First: 1, Last: 2}, {First: 5, Last: 5}, {First: 90, Last: 190}}
	var all []uint32
	for uid := uint32(1); uid <= 200; uid++ {
		if sets.Contains(uid) {
			all = append(all, uid)
		}
	}
	for _, limit := range []int{0, 1, 3, 50, len(all), 500} {
		for _, reverse := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d %t", limit, reverse), func(t *testing.T) {
				want := slices.Clone(all)
				if reverse {
					slices.Reverse(want)
				}
				if limit > 0 {
					want = want[:min(limit, len(want))]
				}
				got, err := e.UIDs(t.Context(), box, Query{UIDs: sets, Limit: limit, Reverse: reverse})
				if err != nil || !slices.Equal(got, want) {
					t.Errorf("got %v, %v; want %v", got, err, want)
				}
			})
		}
	}
}

func TestMessagesEndsEarlyAndWithItsContext(t *testing.T) {
	e := newEnv(t)
	u := e.user(t)
	box := e.box(t, u, "INBOX").Key
	e.fill(t, box, 10, nil)
	n := 0
	for range e.Messages(t.Context(), box, Query{}, FieldAll) {
		if n++; n == 3 {
			break
		}
	}
	if n != 3 {
		t.Errorf("%d messages", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var failed error
	for m, err := range e.Messages(ctx, box, Query{}, FieldAll) {
		if m != nil {
			t.Error("a message although the context has ended")
		}
		failed = err
	}
	if failed == nil {
		t.Error("no error")
	}
	if uid, err := e.FirstUnseen(t.Context(), box); err != nil || uid != 1 {
		t.Errorf("first unseen %d, %v", uid, err)
	}
	if uid, err := e.FirstUnseen(t.Context(), e.box(t, u, "Sent").Key); err != nil || uid != 0 {
		t.Errorf("first unseen of nothing %d, %v", uid, err)
	}
}
