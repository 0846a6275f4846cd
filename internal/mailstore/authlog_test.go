package mailstore

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Attempts of one kind are one entry, whichever instance and however often; others are others. Pages
// have all of them once, the latest first.
func TestAuthenticationLog(t *testing.T) {
	e := newEnv(t)
	other := openEnv(t, e.db)
	ada, bob := e.userNamed(t, "ada@example.com").ID, e.userNamed(t, "bob@example.com").ID
	start := time.Now().UTC().Truncate(time.Hour) // what is old would go
	ok := LoginKind{User: ada, Username: "ada@example.com", Protocol: "imap", Mechanism: "PLAIN",
		Remote: "192.0.2.1", By: ByPassword, Result: LoginOK, Period: start}
	var list []LoginEvent
	for i := range 5 {
		failed := ok
		failed.Remote, failed.Result, failed.By = fmt.Sprintf("198.51.100.%d", i), LoginWrongPassword, ""
		at := start.Add(time.Duration(i) * time.Minute)
		list = append(list, LoginEvent{failed, 1, at, at})
	}
	list = append(list, LoginEvent{LoginKind{Username: "nobody@example.com", Protocol: "smtp", Mechanism: "LOGIN",
		Result: LoginNoSuchUser, Period: start}, 3, start, start.Add(time.Hour)})
	list = append(list, LoginEvent{ok, 2, start.Add(time.Second), start.Add(time.Minute)})
	if err := e.WriteLogins(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	again := []LoginEvent{{ok, 40, start, start.Add(30 * time.Minute)}}
	if err := other.WriteLogins(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	pages := func(q LoginQuery) (all []LoginEvent) {
		t.Helper()
		for n := 0; n == 0 || q.After != ""; n++ {
			page, next, err := e.LoginPage(t.Context(), q)
			if err != nil || len(page) > q.Limit || n > 10 {
				t.Fatalf("%d entries, %v", len(page), err)
			}
			all, q.After = append(all, page...), next
		}
		return all
	}
	got := pages(LoginQuery{User: &ada, Limit: 2})
	if len(got) != 6 {
		t.Fatalf("%d entries of ada: %+v", len(got), got)
	}
	want := LoginEvent{ok, 42, start, start.Add(30 * time.Minute)}
	want.Period = time.Time{}
	if got[0] != want {
		t.Errorf("the latest is %+v, want %+v", got[0], want)
	}
	for i, l := range got[1:] {
		want := fmt.Sprintf("198.51.100.%d", 4-i)
		if l.Remote != want || l.Result != LoginWrongPassword || l.Count != 1 {
			t.Errorf("then %+v, want one of %s", l, want)
		}
	}
	if got := pages(LoginQuery{User: &ada, Failed: true, Limit: 2}); len(got) != 5 {
		t.Errorf("%d failures of ada", len(got))
	}
	if got := pages(LoginQuery{User: &bob, Limit: 2}); len(got) != 0 {
		t.Errorf("bob has %+v", got)
	}
	failed := pages(LoginQuery{Limit: 4})
	if len(failed) != 6 || failed[0].Username != "nobody@example.com" || failed[0].Known() || failed[0].Count != 3 {
		t.Errorf("failures: %+v", failed)
	}
	for _, after := range []string{"x", "1-", "1-00", "x-" + fmt.Sprintf("%048d", 0)} {
		if _, _, err := e.LoginPage(t.Context(), LoginQuery{After: after}); !errors.Is(err, ErrInvalidPage) {
			t.Errorf("after %q: %v", after, err)
		}
	}
}

// Entries go some time after their latest attempt, and with their user.
func TestAuthenticationLogForgets(t *testing.T) {
	e := openEnvWith(t, newEnv(t).db, Options{AuthlogKept: 2 * time.Hour})
	ada := e.userNamed(t, "ada@example.com").ID
	start := time.Now().UTC().Truncate(time.Hour)
	kind := LoginKind{User: ada, Username: "ada@example.com", Protocol: "imap", Result: LoginOK}
	unknown := LoginKind{Username: "eve@example.com", Protocol: "imap", Result: LoginNoSuchUser}
	list := []LoginEvent{{kind, 1, start, start.Add(time.Hour)}, {unknown, 1, start, start}}
	if err := e.WriteLogins(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Expires time.Time `bson:"e"`
	}
	if err := e.authlog.FindOne(t.Context(), byID(kind.key())).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	if !doc.Expires.Equal(start.Add(3 * time.Hour)) {
		t.Errorf("it expires %v", doc.Expires)
	}
	specs, err := e.authlog.Indexes().ListSpecifications(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	expiring := 0
	for _, spec := range specs {
		if spec.ExpireAfterSeconds != nil && *spec.ExpireAfterSeconds == 0 {
			expiring++
		}
	}
	if expiring != 1 {
		t.Errorf("%d indexes remove entries", expiring)
	}
	if err := e.DeleteUser(t.Context(), ada); err != nil {
		t.Fatal(err)
	}
	if n, err := e.authlog.CountDocuments(t.Context(), bson.D{}); err != nil || n != 1 {
		t.Errorf("%d entries are left without the user, %v", n, err)
	}
}

// Each page is read along an index, however much there is.
func TestAuthenticationLogPlans(t *testing.T) {
	e := newEnv(t)
	ada := e.userNamed(t, "ada@example.com").ID
	start := time.Now().UTC().Truncate(time.Hour)
	var list []LoginEvent
	for i := range 400 {
		at := start.Add(time.Duration(i) * time.Second)
		list = append(list, LoginEvent{LoginKind{User: ada, Remote: fmt.Sprint(i), Protocol: "imap",
			Result: LoginWrongPassword}, 1, at, at})
	}
	if err := e.WriteLogins(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	for _, q := range []LoginQuery{{User: &ada, Limit: 10}, {Limit: 10}} {
		_, next, err := e.LoginPage(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, after := range []string{"", next} {
			q.After = after
			filter, index, err := q.filter()
			if err != nil {
				t.Fatal(err)
			}
			explained, err := e.db.RunCommand(t.Context(), bson.D{{Key: "explain", Value: bson.D{
				{Key: "find", Value: collAuthlog}, {Key: "filter", Value: filter}, {Key: "hint", Value: index},
				{Key: "sort", Value: latestLogins}, {Key: "limit", Value: 11}}},
				{Key: "verbosity", Value: "executionStats"}}).Raw()
			if err != nil {
				t.Fatal(err)
			}
			n, ok := explained.Lookup("executionStats", "totalDocsExamined").AsInt64OK()
			if !ok || n > 13 {
				t.Errorf("%d documents are examined for a page of 10, after %q", n, after)
			}
		}
	}
}
