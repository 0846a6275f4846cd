package costs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/dedupe"
	"gadwall/internal/dbtest"
	"gadwall/internal/feed"
	"gadwall/internal/imapconn"
	"gadwall/internal/mailgen"
	"gadwall/internal/mailstore"
	"gadwall/internal/maintenance"
	"gadwall/internal/storetest"
	"gadwall/internal/uidset"
	"gadwall/quota"
)

// walks are the queries that read a whole collection on purpose: those of checks and migrations.
var walks = []string{"addresses find {} sort _id limited", "contents find {} sort _id limited",
	"mailboxes find {} sort _id limited", "subscriptions find {} sort _id limited",
	"metadata find {} sort _id limited", "rolls find {} sort _id limited",
	"users find {} sort _id limited"}

// sorts are the queries whose few documents the database sorts: a user's addresses, and what is being
// deleted.
var sorts = []string{"addresses find {user:?} sort _id",
	"mailboxes find {del:? dt:{$not:{$gte:?}} _id:{$gt:?}} sort _id limited hint deleting",
	"users find {deleting:? purged:{$not:{$gte:?}} _id:{$gt:?}} sort _id limited hint deleting"}

// searches are the queries that examine a range of a mailbox for conditions without an index, or the
// mailboxes of a user for a special use.
var searches = []string{"mailboxes find {u:? s:? del:{$exists}} limited",
	"messages find {_id:{$gte:? $lte:? $in} $and:[",
	"messages aggregate {_id:{$gte:? $lte:?} $and:[{f:"}

// Every query of the program uses an index whose bounds leave little else than what it is about: it
// examines about as many documents as it finds. testdata/plans.txt has the index of each. Where a
// server could choose another index of which it would read more, the program names the index.
func TestPlans(t *testing.T) {
	db, survey := dbtest.Surveying(t)
	exercise(t, db, survey)
	queries := survey.Queries()
	if len(queries) < 80 {
		t.Errorf("only %d queries were seen", len(queries))
	}
	var table bytes.Buffer
	for _, q := range queries {
		index := ""
		for _, p := range q.Plans {
			if p.Stage == "EOF" { // there is no such collection yet
				continue
			}
			used := indexOf(p)
			if index != "" && used != index {
				t.Errorf("%s: %s, and %s", q.Shape, index, used)
			}
			index = used
			if p.Stage == "COLLSCAN" && !slices.Contains(walks, q.Shape) {
				t.Errorf("%s: %v", q.Shape, p)
			}
			if p.Sorts() && !slices.Contains(sorts, q.Shape) {
				t.Errorf("%s: %v", q.Shape, p)
			}
			if _, hint, ok := strings.Cut(q.Shape, " hint "); ok && used != hint && used != hintedNames[hint] {
				t.Errorf("%s: %v", q.Shape, p)
			}
			searches := slices.ContainsFunc(searches, func(s string) bool { return strings.HasPrefix(q.Shape, s) })
			// A document may be found by its key and not meet the condition. Lists of keys cost a
			// key on each side.
			if few := max(p.NReturned, 1); !searches && (p.DocsExamined > few || p.KeysExamined > 3*few+1) {
				t.Errorf("%s: %v", q.Shape, p)
			}
		}
		if index != "" {
			fmt.Fprintf(&table, "%-16s %s\n", index, q.Shape)
		}
	}
	if dbtest.Embedded() {
		compare(t, "plans.txt", table.String())
		return
	}
	// Other servers may make for other queries, but a query has the same index on all.
	golden, err := os.ReadFile(filepath.Join("testdata", "plans.txt"))
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[string]string)
	for line := range strings.Lines(string(golden)) {
		index, shape, _ := strings.Cut(strings.TrimSpace(line), " ")
		want[strings.TrimSpace(shape)] = index
	}
	for line := range strings.Lines(table.String()) {
		index, shape, _ := strings.Cut(strings.TrimSpace(line), " ")
		if known := want[strings.TrimSpace(shape)]; known != "" && known != index {
			t.Errorf("%s: %s, not %s", shape, index, known)
		}
	}
}

// hintedNames are the names of the indexes that the program names by their keys.
var hintedNames = map[string]string{"metadata.hash": "hash"}

// indexOf names the index of a plan, in the same way whether the collection is clustered or not.
func indexOf(p dbtest.Plan) string {
	switch {
	case p.Stage == "IDHACK", p.Stage == "CLUSTERED_IXSCAN", p.Index == "_id_", p.Stage == "COLLSCAN":
		return "_id" // a walk sorted by _id goes along it
	default:
		return p.Index
	}
}

// crowd fills a store with users other than those of exercise, so that a query that leaves its user or
// mailbox examines much.
func crowd(t *testing.T, st *storetest.Store, deliver func(raw []byte, to ...string)) {
	for n := range 4 {
		name := fmt.Sprintf("crowd%d@example.com", n)
		u := st.User(t, name)
		inbox := st.Mailbox(t, u, "INBOX")
		for m := range 40 {
			deliver(mailgen.Simple(fmt.Sprint("crowd ", m%7)), name)
		}
		deliver(mailgen.Simple("large", mailgen.Random(uint64(50+n), 40<<10)), name)
		flag := func(set uidset.Set, flags mailstore.Flags) {
			if _, err := st.StoreFlags(t.Context(), inbox.Key, set,
				mailstore.FlagChange{Op: mailstore.Add, Flags: flags}); err != nil {
				t.Fatal(err)
			}
		}
		flag(uidset.Set{{First: 1, Last: 10}}, mailstore.Deleted)
		if _, _, err := st.Expunge(t.Context(), inbox.Key, nil); err != nil {
			t.Fatal(err)
		}
		flag(uidset.Set{{First: 11, Last: 15}}, mailstore.Deleted)
		flag(uidset.Set{{First: 21, Last: 30}}, mailstore.Seen)
		if _, err := st.UIDsOf(t.Context(), st.Mailbox(t, u, "INBOX")); err != nil { // writes a roll
			t.Fatal(err)
		}
		for _, path := range []string{"Nowhere", "Nowhere/Else"} {
			if err := st.Subscribe(t.Context(), u.ID, path, true); err != nil {
				t.Fatal(err)
			}
		}
		if err := st.AddAlias(t.Context(), u.ID, fmt.Sprintf("alias%d@example.com", n)); err != nil {
			t.Fatal(err)
		}
	}
}

// exercise does everything that the program does with the database, and surveys it.
func exercise(t *testing.T, db *mongo.Database, survey *dbtest.Survey) {
	ctx := t.Context()
	var later time.Duration // what the clock is ahead; no delivery is under way when it changes
	st := storetest.Open(t, storetest.Options{Database: db, RememberPasswords: time.Hour, MinRoll: 10,
		Clock: func() time.Time { return time.Now().Add(later) }})
	lmtp := newLMTP(t, serveLMTP(t, st))
	imapAddr := serveIMAP(t, st)
	crowd(t, st, lmtp.deliver)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	survey.Start()

	// Users.
	ada, bob := st.User(t, user), st.User(t, peer)
	must(st.AddAlias(ctx, ada.ID, "countess@example.com"))
	_, err := st.Addresses(ctx, ada.ID)
	must(err)
	_, _, err = st.UserPage(ctx, mailstore.UserQuery{Domain: "example.com", Limit: 3})
	must(err)
	_, _, err = st.UserPage(ctx, mailstore.UserQuery{Prefix: "ad", After: "ab"})
	must(err)
	for _, err := range st.Users(ctx) {
		must(err)
	}
	must(st.SetLimits(ctx, ada.ID, quota.Limits{Messages: 100_000}))
	_, _, err = st.Quota(ctx, ada.ID)
	must(err)

	// Mail in.
	for n := range 30 {
		lmtp.deliver(mailgen.Simple(fmt.Sprint("mail ", n)), user)
	}
	for range 2 {
		lmtp.deliver(mailgen.Simple("small"), user, peer)
		lmtp.deliver(mailgen.Simple("attached", mailgen.Random(2, 20<<10), mailgen.Random(3, 300<<10)), user)
	}

	updates := feed.New(feed.Options{Store: st.Store, Bus: st.Bus})
	since, err := updates.Now(ctx, ada.ID)
	must(err)
	tell := func(limit int) {
		t.Helper()
		for more := true; more; {
			page, err := updates.Read(ctx, ada.ID, since, limit)
			must(err)
			since, more = page.Next, page.More
		}
	}

	// Sessions.
	c, err := imapconn.Dial(imapAddr, wait)
	must(err)
	defer c.Close()
	do := func(format string, args ...any) {
		t.Helper()
		if _, err := c.Must(format, args...); err != nil {
			t.Fatal(err)
		}
	}
	do("LOGIN %s %q", user, storetest.Password)
	do("ENABLE QRESYNC")
	do("LIST (SUBSCRIBED) \"\" * RETURN (STATUS (MESSAGES UNSEEN SIZE))")
	do("CREATE Work")
	do("CREATE Work/Old")
	do("RENAME Work Play")
	do("SUBSCRIBE Nowhere")
	do("UNSUBSCRIBE Nowhere")
	do("SELECT INBOX")
	do("FETCH 1:* (UID FLAGS)")
	do("UID FETCH 3,9,11:20 (ENVELOPE BODYSTRUCTURE)")
	do("FETCH 5:7 (BODY.PEEK[])")
	do("FETCH 32 (BODY.PEEK[2])")
	do("FETCH 1:10 (BODY.PEEK[HEADER.FIELDS (SUBJECT FROM)])")
	do(`STORE 1:9 +FLAGS (\Seen)`)
	do(`STORE 4 +FLAGS ($Label)`)
	do("COPY 1:12 Play")
	do("UID MOVE 2:4 Play/Old")
	do("UID SEARCH RETURN (ALL) UNSEEN")
	do("UID SEARCH RETURN (MIN) UNSEEN")
	do("UID SEARCH SUBJECT mail SINCE 1-Jan-2020 NOT FLAGGED")
	do("UID SEARCH TEXT nothing")
	do("UID SORT (SUBJECT) UTF-8 ALL")
	do("UID THREAD REFERENCES UTF-8 ALL")
	do(`UID STORE 7:9 +FLAGS (\Deleted)`)
	do("UID SEARCH DELETED")
	do("UID EXPUNGE 8")
	do("EXPUNGE")
	do("UID FETCH 1:* (FLAGS) (CHANGEDSINCE 3 VANISHED)")
	do("GETQUOTAROOT INBOX")
	do("ENABLE METADATA")
	do(`SETMETADATA INBOX (/private/a "1" /shared/b "2")`)
	do(`SETMETADATA Play (/private/a "3" /private/specialuse "\\Flagged")`)
	do("SETMETADATA Play (/private/a NIL)")
	do("GETMETADATA INBOX (/private/a /shared/b)")
	do("GETMETADATA (DEPTH 1) INBOX /private")
	do("NOOP")
	do("UNSELECT")
	do("SELECT INBOX (QRESYNC (1 3))")
	_, err = c.Append("Sent", "", mailgen.Simple("sent"))
	must(err)
	tell(2)
	do(`STORE 1:5 +FLAGS ($Junk)`)
	tell(1)
	do("DELETE Play/Old")
	do("RENAME INBOX Earlier")

	tell(0)
	base, err := st.KeepBase(ctx, ada.ID, 0, []byte("base"))
	must(err)
	_, err = st.Base(ctx, ada.ID, base.ID)
	must(err)
	_, err = st.LatestBases(ctx, ada.ID, 0, 8)
	must(err)
	_, err = st.RenewBase(ctx, ada.ID, base.ID)
	must(err)

	// Everything else.
	_, err = st.LastNumber(ctx, ada.ID)
	must(err)
	sent := st.Mailbox(t, ada, "Sent").Key
	for _, flag := range []bson.D{mailstore.FlagFilter(mailstore.Seen, false),
		mailstore.FlagFilter(mailstore.Deleted, true), mailstore.FlagFilter(mailstore.Flagged, true)} {
		_, err = st.Count(ctx, sent, mailstore.Query{Filter: flag})
		must(err)
	}
	_, err = st.MessagesByID(ctx, ada.ID, "nothing@example.net")
	must(err)
	_, err = st.Recalculate(ctx, ada.ID, true)
	must(err)
	_, err = st.Space(ctx, ada.ID)
	must(err)
	_, err = maintenance.Check(ctx, st.Store, maintenance.CheckOptions{Offline: true, Deep: true,
		Found: func(f maintenance.Finding) { t.Errorf("found %+v", f) }})
	must(err)
	must(st.RenameUser(ctx, bob.ID, "robert@example.com", true))
	must(st.RemoveAlias(ctx, bob.ID, peer))
	must(st.DeleteUserAfter(ctx, bob.ID, time.Now().Add(-time.Hour)))
	_, err = st.DeleteDue(ctx)
	must(err)
	_, err = maintenance.Collect(ctx, st.Store, maintenance.CollectOptions{Deletions: true, Orphans: true})
	must(err)
	_, err = st.Advance(ctx, mailstore.AdvanceOptions{})
	must(err)
	must(st.DeleteUser(ctx, ada.ID))
	// What is unused is quarantined and deleted, then the blobs that only that needed.
	for range 3 {
		later += 2 * dedupe.DefaultGrace
		_, err = maintenance.Collect(ctx, st.Store, maintenance.CollectOptions{Grace: dedupe.DefaultGrace})
		must(err)
	}
}
