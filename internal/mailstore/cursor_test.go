package mailstore

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/dbtest"
	"gadwall/internal/uidset"
)

// A reader that takes its time finds its cursor closed by the server, and still gets every message
// once.
func TestMessagesOutliveTheirCursor(t *testing.T) {
	var open atomic.Int64 // id of the newest cursor
	monitor := &event.CommandMonitor{Succeeded: func(_ context.Context, e *event.CommandSucceededEvent) {
		if id, ok := e.Reply.Lookup("cursor", "id").AsInt64OK(); ok {
			open.Store(id)
		}
	}}
	client := dbtest.NewClient(t, options.Client().SetMonitor(monitor))
	e := openEnv(t, client.Database(dbtest.Database(t).Name()))
	box := e.box(t, e.user(t), "INBOX").Key
	const n = 2*batchLarge + 50
	e.fill(t, box, n, nil)
	var all []uint32
	for uid := range uint32(n) {
		all = append(all, uid+1)
	}
	for _, q := range []Query{
		{}, {Reverse: true}, {Limit: batchLarge + 10},
		{UIDs: uidset.Set{{First: 1, Last: 3}, {First: 100, Last: 900}}}, {Filter: FlagFilter(Seen, false)},
	} {
		t.Run(fmt.Sprintf("%+v", q), func(t *testing.T) {
			var want []uint32
			for _, uid := range all {
				if q.UIDs == nil || q.UIDs.Contains(uid) {
					want = append(want, uid)
				}
			}
			if q.Reverse {
				slices.Reverse(want)
			}
			if q.Limit > 0 {
				want = want[:q.Limit]
			}
			killed := 0
			var got []uint32
			for m, err := range e.Messages(t.Context(), box, q, FieldAll) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, m.UID)
				if id := open.Load(); id != 0 && len(got)%200 == 10 {
					res, err := e.db.RunCommand(t.Context(),
						bson.D{{Key: "killCursors", Value: collMessages}, {Key: "cursors", Value: bson.A{id}}}).Raw()
					if err != nil {
						t.Fatal(err)
					}
					if list, ok := res.Lookup("cursorsKilled").ArrayOK(); ok && len(list) > 5 {
						killed++
					}
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%d messages, want %d", len(got), len(want))
			}
			if killed == 0 {
				t.Error("no cursor was killed")
			}
		})
	}
}
