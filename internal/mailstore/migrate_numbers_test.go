package mailstore

import (
	"fmt"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Messages of before there were numbers get numbers that nothing else has, and the threads and links
// of a delivery. What has a number keeps it.
func TestMigrateNumbers(t *testing.T) {
	e := newEnv(t)
	a, b := e.user(t), e.user(t)
	for i := range 6 {
		for _, u := range []*User{a, b} {
			e.put(t, fmt.Sprintf("Message-ID: <%d@x>\r\nIn-Reply-To: <%d@x>\r\nSubject: s%d", i, i-2, i%2),
				e.box(t, u, []string{"INBOX", "Sent"}[i%2]))
		}
	}
	before := e.documents(t)
	// The INBOX is old.
	if _, err := e.messages.UpdateMany(t.Context(), bson.D{{Key: DocBaseSubject, Value: notSet(DocBaseSubject).Value},
		{Key: DocSubject, Value: "s0"}}, bson.D{{Key: "$unset", Value: bson.D{
		{Key: DocNumber, Value: ""}, {Key: DocThread, Value: ""}, {Key: DocLinks, Value: ""}}}}); err != nil {
		t.Fatal(err)
	}
	e.migrate(t)
	for _, u := range []*User{a, b} {
		last, err := e.LastNumber(t.Context(), u.ID)
		if err != nil || last != 9 {
			t.Errorf("%d numbers, %v", last, err)
		}
		seen := make(map[Number]bool)
		for _, path := range []string{"INBOX", "Sent"} {
			threads := make(map[Number]bool)
			for _, m := range e.numbered(t, e.box(t, u, path).Key) {
				if m.Number == 0 || seen[m.Number] || (m.Number > 6) != (path == "INBOX") {
					t.Errorf("%s: number %d", path, m.Number)
				}
				seen[m.Number], threads[m.Thread] = true, true
			}
			if len(threads) != 1 {
				t.Errorf("%s: threads %v", path, threads)
			}
		}
	}
	for i, doc := range e.documents(t) {
		if fmt.Sprint(doc[DocLinks]) != fmt.Sprint(before[i][DocLinks]) {
			t.Errorf("message %d: links %v, delivered with %v", i, doc[DocLinks], before[i][DocLinks])
		}
	}
}
