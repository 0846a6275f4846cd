package feed

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/mailstore"
	"gadwall/quota"
)

// shape returns the events as JSON, without what differs from run to run.
func shape(t *testing.T, list []Event) []string {
	t.Helper()
	var lines []string
	for _, e := range list {
		if e.Message != nil {
			e.Message = steady(t, *e.Message)
		}
		e.Messages = slices.Clone(e.Messages)
		for i, m := range e.Messages {
			e.Messages[i] = *steady(t, m)
		}
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(e); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, strings.ReplaceAll(strings.TrimSpace(b.String()), `"modseq":0,`, ""))
	}
	return lines
}

func steady(t *testing.T, m Message) *Message {
	t.Helper()
	if m.ModSeq == 0 || m.Subject != "" && (m.Date.IsZero() || m.Size == 0) {
		t.Errorf("without mod-sequence, date or size: %+v", m)
	}
	m.ModSeq, m.Date, m.Size = 0, time.Time{}, 0
	return &m
}

// Each thing that happens to mail is told, with what applications need to know of it.
func TestWhatIsTold(t *testing.T) {
	e := newEnv(t, quota.Policy{Limits: quota.Limits{Messages: 5}, Levels: quota.Levels{50, 100}})
	ctx := t.Context()
	inbox, junk, sent := e.box(t, e.user, "INBOX"), e.box(t, e.user, "Junk"), e.box(t, e.user, "Sent")
	since := e.now(t, e.user)
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	told := func(want ...string) {
		t.Helper()
		list, next := e.all(t, e.user, since, 0)
		since = next
		if diff := cmp.Diff(want, shape(t, list)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	const (
		atInbox = `"mailbox":{"id":"F1","path":"INBOX"}`
		atSent  = `"mailbox":{"id":"F2","path":"Sent","specialUse":"\\Sent"}`
		atJunk  = `"mailbox":{"id":"F4","path":"Junk","specialUse":"\\Junk"}`
	)
	message := func(uid, number int, flags string) string {
		return fmt.Sprintf(`{"uid":%d,"id":"M%d","thread":"T%d","flags":[%s],"subject":"Number %d",`+
			`"from":[{"name":"Ada","address":"ada@example.com"}],"messageId":"<%d@example.com>",`+
			`"preview":"This is number %d."}`, uid, number, number, flags, number, number, number)
	}
	told()

	e.deliver(t, inbox, 1)
	e.deliver(t, inbox, 2)
	told(`{"kind":"new",`+atInbox+`,"message":`+message(1, 1, "")+`}`,
		`{"kind":"new",`+atInbox+`,"message":`+message(2, 2, "")+`}`)

	must(e.StoreFlags(ctx, inbox, set(1), mailstore.FlagChange{Op: mailstore.Add, Flags: mailstore.Seen}))
	must(e.StoreFlags(ctx, inbox, set(1), mailstore.FlagChange{Op: mailstore.Add, Keywords: []string{"$Junk"}}))
	told(`{"kind":"flags",`+atInbox+`,"message":{"uid":1,"id":"M1","thread":"T1","flags":["\\Seen","$Junk"]}}`,
		`{"kind":"junk",`+atInbox+`,"uids":[1],"messages":[`+message(1, 1, `"\\Seen","$Junk"`)+`],"by":"keyword"}`)

	must(e.Move(ctx, inbox, set(1, 2), junk))
	told(`{"kind":"moved",`+atJunk+`,"from":{`+atInbox+`,"uids":[1,2]},"uids":[1,2],"messages":[`+
		message(1, 1, `"\\Seen","$Junk"`)+`,`+message(2, 2, "")+`]}`,
		`{"kind":"junk",`+atJunk+`,"uids":[1,2],"messages":[`+
			message(1, 1, `"\\Seen","$Junk"`)+`,`+message(2, 2, "")+`],"by":"move"}`)

	must(e.Copy(ctx, junk, set(2), inbox))
	told(`{"kind":"quota","quota":{"resource":"MESSAGE","level":50,"usage":3,"limit":5}}`,
		`{"kind":"new",`+atInbox+`,"message":`+message(3, 2, "")+`,"copied":true}`,
		`{"kind":"not-junk",`+atInbox+`,"uids":[3],"messages":[`+message(3, 2, "")+`],"by":"copy"}`)

	if got := e.store(t, 3, mailstore.Delivery{Mailbox: sent, Once: mailstore.Submitted}); got.Err != nil {
		t.Fatal(got.Err)
	}
	told(`{"kind":"new",`+atSent+`,"message":`+message(1, 3, "")+`}`,
		`{"kind":"sent",`+atSent+`,"uids":[1],"messages":[`+message(1, 3, "")+`]}`)
	e.deliver(t, inbox, 4)
	told(`{"kind":"quota","quota":{"resource":"MESSAGE","level":100,"usage":5,"limit":5}}`,
		`{"kind":"new",`+atInbox+`,"message":`+message(4, 4, "")+`}`)

	must(e.StoreFlags(ctx, inbox, set(3), mailstore.FlagChange{Op: mailstore.Add, Flags: mailstore.Deleted}))
	if _, _, err := e.Expunge(ctx, inbox, nil); err != nil {
		t.Fatal(err)
	}
	told(`{"kind":"expunged",` + atInbox + `,"uids":[3]}`)

	must(e.CreateMailbox(ctx, e.user, "a/b", mailstore.CreateOptions{}))
	for _, use := range []string{`\important`, `\Important`, ""} {
		must(e.SetMetadata(ctx, e.box(t, e.user, "a/b"), e.user,
			[]mailstore.MetadataEntry{{Name: mailstore.SpecialUseMetadata, Value: []byte(use)}}))
	}
	must(nil, e.Subscribe(ctx, e.user, "a/b", true))
	must(nil, e.Subscribe(ctx, e.user, "a/b", true)) // changes nothing
	must(nil, e.RenameMailbox(ctx, e.user, "a", "c"))
	must(nil, e.Subscribe(ctx, e.user, "c/b", false))
	must(nil, e.DeleteMailbox(ctx, e.user, "c/b"))
	told(`{"kind":"mailbox-created","mailbox":{"id":"F7","path":"a/b"}}`,
		`{"kind":"mailbox-changed","mailbox":{"id":"F7","path":"a/b","specialUse":"\\Important"}}`,
		`{"kind":"mailbox-changed","mailbox":{"id":"F7","path":"a/b"}}`,
		`{"kind":"mailbox-subscribed","mailbox":{"path":"a/b"}}`,
		`{"kind":"mailbox-renamed","mailbox":{"id":"F7","path":"c/b"},"before":"a/b"}`,
		`{"kind":"mailbox-unsubscribed","mailbox":{"path":"c/b"}}`,
		`{"kind":"mailbox-deleted","mailbox":{"id":"F7","path":"c/b"}}`)
	told()
}

// The flags of a moved message change after a reader heard of the move, and before it came to the
// mailbox where the message is now.
func TestFlagsBetweenTheTwoSidesOfAMove(t *testing.T) {
	e := newEnv(t, quota.Policy{})
	inbox, archive := e.box(t, e.user, "INBOX"), e.box(t, e.user, "Archive")
	since := e.now(t, e.user)
	e.deliver(t, inbox, 1)
	if _, err := e.Move(t.Context(), inbox, set(1), archive); err != nil {
		t.Fatal(err)
	}
	page, err := e.Read(t.Context(), e.user, since, 1)
	if err != nil || kinds(page.Events) != "moved" || !page.More {
		t.Fatalf("%+v, %v", page, err)
	}
	if _, err := e.StoreFlags(t.Context(), archive, set(1),
		mailstore.FlagChange{Op: mailstore.Add, Flags: mailstore.Flagged}); err != nil {
		t.Fatal(err)
	}
	rest, _ := e.all(t, e.user, page.Events[0].Position, 0)
	if kinds(rest) != "flags" || !slices.Equal(rest[0].Message.Flags, []string{`\Flagged`}) {
		t.Errorf("%+v", rest)
	}
}

// The client appends a message, and then sends it: submission does not store another one.
func TestSentAfterItWasAppended(t *testing.T) {
	e := newEnv(t, quota.Policy{})
	sent := e.box(t, e.user, "Sent")
	since := e.now(t, e.user)
	e.deliver(t, sent, 1)
	submitted := mailstore.Delivery{Mailbox: sent, Once: mailstore.Submitted}
	if got := e.store(t, 1, submitted); got.Err != nil || !got.Existed {
		t.Fatalf("%+v", got)
	}
	list, since := e.all(t, e.user, since, 1)
	if kinds(list) != "new sent" || !slices.Equal(list[1].UIDs, []uint32{1}) || len(list[1].Messages) != 1 {
		t.Errorf("%+v", list)
	}
	e.store(t, 2, submitted)
	if list, _ = e.all(t, e.user, since, 1); kinds(list) != "new sent" {
		t.Errorf("%+v", list)
	}
}

// One transaction marks a message that the client had appended as sent, and adds another one: both are
// told.
func TestSentTogetherWithANewMessage(t *testing.T) {
	e := newEnv(t, quota.Policy{})
	sent := e.box(t, e.user, "Sent")
	e.deliver(t, sent, 1)
	since := e.now(t, e.user)
	var items []mailstore.AppendItem
	for n, once := range map[int]mailstore.Once{1: mailstore.Submitted, 2: mailstore.Always} {
		w := e.Contents.NewWriter(t.Context())
		if _, err := w.Write([]byte(text(n))); err != nil {
			t.Fatal(err)
		}
		stored, err := w.Finish(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, mailstore.NewAppendItem(stored, mailstore.Delivery{Mailbox: sent,
			Magic: stored.Magics[0], Once: once}))
	}
	if _, err := e.Append(t.Context(), items); err != nil {
		t.Fatal(err)
	}
	list, _ := e.all(t, e.user, since, 1)
	if kinds(list) != "new flags sent" {
		t.Fatalf("%s", kinds(list))
	}
	if m := list[1].Message; m.UID != 1 || !slices.Contains(m.Flags, `\Seen`) {
		t.Errorf("%+v", m)
	}
}

// A page that ends within one move goes on with the rest of it.
func TestManyMessagesMoved(t *testing.T) {
	e := newEnv(t, quota.Policy{})
	inbox, junk := e.box(t, e.user, "INBOX"), e.box(t, e.user, "Junk")
	var uids []uint32
	for n := range 2*maxMoved + 10 {
		uids = append(uids, e.deliver(t, inbox, n))
	}
	since := e.now(t, e.user)
	if _, err := e.Move(t.Context(), inbox, set(uids...), junk); err != nil {
		t.Fatal(err)
	}
	moved, junked, loaded := 0, 0, 0
	list, _ := e.all(t, e.user, since, 1)
	for _, ev := range list {
		switch ev.Kind {
		case Moved:
			moved += len(ev.UIDs)
		case Junk:
			junked += len(ev.UIDs)
		}
		loaded += len(ev.Messages)
	}
	if moved != len(uids) || junked != len(uids) || loaded != 2*len(uids) || len(list) != 6 {
		t.Errorf("%d moved, %d junk, %d loaded in %d events", moved, junked, loaded, len(list))
	}
}

// What is not in the journal any more is not passed over in silence.
func TestResync(t *testing.T) {
	e := newEnv(t, quota.Policy{})
	ctx := t.Context()
	inbox := e.box(t, e.user, "INBOX")
	journal := e.Database.Collection("journal")
	expire := func() {
		t.Helper()
		if _, err := journal.DeleteMany(ctx, bson.D{}); err != nil {
			t.Fatal(err)
		}
	}
	resynced := func(what, since string) {
		t.Helper()
		if _, err := e.Read(ctx, e.user, since, 0); !errors.Is(err, ErrResync) {
			t.Errorf("%s: %v", what, err)
		}
	}
	first := e.now(t, e.user)
	e.deliver(t, inbox, 1)
	expire()
	if list, _ := e.all(t, e.user, first, 0); kinds(list) != "new" {
		t.Errorf("nothing was lost: %s", kinds(list))
	}
	if _, err := e.Move(ctx, inbox, set(1), e.box(t, e.user, "Archive")); err != nil {
		t.Fatal(err)
	}
	moved := e.now(t, e.user)
	expire()
	resynced("a move has expired", first)
	e.deliver(t, inbox, 2)
	if list, _ := e.all(t, e.user, moved, 0); kinds(list) != "new" {
		t.Errorf("after the move: %s", kinds(list))
	}
	if _, err := e.CreateMailbox(ctx, e.user, "new", mailstore.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	created := e.now(t, e.user)
	expire()
	resynced("the creation of a mailbox has expired", moved)
	if _, err := e.Advance(ctx, mailstore.AdvanceOptions{}); err != nil {
		t.Fatal(err)
	}
	resynced("the database was restored", created)
}

// Positions of users with very many mailboxes stay short.
func TestManyMailboxes(t *testing.T) {
	e := newEnv(t, quota.Policy{})
	ctx := t.Context()
	const n = 3*maxMarks + 5
	for i := range n {
		if _, err := e.CreateMailbox(ctx, e.user, fmt.Sprint("box", i), mailstore.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	since := e.now(t, e.user)
	if len(since) > 100 {
		t.Errorf("a position of %d octets", len(since))
	}
	for i := range n {
		e.deliver(t, e.box(t, e.user, fmt.Sprint("box", i)), i)
	}
	e.deliver(t, e.box(t, e.user, "box0"), n)
	var list []Event
	for { // one by one, from the position of each event
		page, err := e.Read(ctx, e.user, since, 7)
		if err != nil {
			t.Fatal(err)
		}
		for _, ev := range page.Events {
			list, since = append(list, ev), ev.Position
			if len(since) > MaxPosition/2 {
				t.Fatalf("a position of %d octets", len(since))
			}
		}
		if !page.More {
			break
		}
	}
	if len(list) != n+1 {
		t.Errorf("%d events", len(list))
	}
	if _, err := e.Database.Collection("journal").DeleteMany(ctx, bson.D{}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Read(ctx, e.user, since, 0); !errors.Is(err, ErrResync) {
		t.Errorf("without its base: %v", err)
	}
}

// bases returns when the bases of the user expire, in the order of their ids.
func (e *env) bases(t *testing.T) (list []time.Time) {
	t.Helper()
	cursor, err := e.Database.Collection("journal").Find(t.Context(), bson.D{{Key: "d",
		Value: bson.D{{Key: "$exists", Value: true}}}}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		t.Fatal(err)
	}
	var docs []struct {
		Expires time.Time `bson:"e"`
	}
	if err := cursor.All(t.Context(), &docs); err != nil {
		t.Fatal(err)
	}
	for _, d := range docs {
		list = append(list, d.Expires)
	}
	return list
}

// Readers that begin again and again share a base, which is kept as long as somebody uses it.
func TestBasesAreShared(t *testing.T) {
	e := newEnv(t, quota.Policy{})
	ctx := t.Context()
	for i := range 2 * maxMarks {
		if _, err := e.CreateMailbox(ctx, e.user, fmt.Sprint("box", i), mailstore.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	var first string
	for i := range maxMarks {
		at := e.now(t, e.user)
		if i == 0 {
			first = at
		}
		e.deliver(t, e.box(t, e.user, fmt.Sprint("box", i)), i)
	}
	last := e.now(t, e.user)
	if n := len(e.bases(t)); n != 1 {
		t.Errorf("%d bases after %d mailboxes have changed", n, maxMarks)
	}
	e.deliver(t, e.box(t, e.user, fmt.Sprint("box", maxMarks)), maxMarks)
	later := e.now(t, e.user)
	if n := len(e.bases(t)); n != 2 {
		t.Errorf("%d bases after another one has changed", n)
	}
	for since, want := range map[string]int{first: maxMarks + 1, last: 1, later: 0} {
		if list, _ := e.all(t, e.user, since, 0); len(list) != want {
			t.Errorf("%d events, want %d", len(list), want)
		}
	}

	// Both are used shortly before they expire.
	soon := time.Now().Add(time.Hour)
	if _, err := e.Database.Collection("journal").UpdateMany(ctx, bson.D{},
		bson.D{{Key: "$set", Value: bson.D{{Key: "e", Value: soon}}}}); err != nil {
		t.Fatal(err)
	}
	e.now(t, e.user)
	if list := e.bases(t); list[0].After(soon) || !list[1].After(soon.AddDate(0, 0, 80)) {
		t.Errorf("a reader that begins uses the second: they expire %v", list)
	}
	if page, err := e.Read(ctx, e.user, last, 1); err != nil || len(page.Events) != 1 {
		t.Fatal(len(page.Events), err)
	}
	if list := e.bases(t); !list[0].After(soon.AddDate(0, 0, 80)) {
		t.Errorf("a reader that goes on uses the first: they expire %v", list)
	}
}

// Readers at different places that read the same again and again make no more bases: so they take none
// from a reader that is away.
func TestReadingAgainMakesNoBases(t *testing.T) {
	e := newEnv(t, quota.Policy{})
	ctx := t.Context()
	const n = 3*maxMarks + 5
	for i := range n {
		if _, err := e.CreateMailbox(ctx, e.user, fmt.Sprint("box", i), mailstore.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	since := e.now(t, e.user)
	for i := range n {
		e.deliver(t, e.box(t, e.user, fmt.Sprint("box", i)), i)
	}
	want := 0
	for round := range 5 {
		if page, err := e.Read(ctx, e.user, since, maxMarks+2); err != nil || len(page.Events) != maxMarks+2 {
			t.Fatal(len(page.Events), err)
		}
		e.now(t, e.user)
		if got := len(e.bases(t)); round == 0 {
			want = got
		} else if got != want {
			t.Fatalf("%d bases after round %d, want %d", got, round, want)
		}
	}
}

func TestDeletedUser(t *testing.T) {
	e := newEnv(t, quota.Policy{})
	since := e.now(t, e.user)
	inbox := e.box(t, e.user, "INBOX")
	if _, err := e.Move(t.Context(), inbox, set(e.deliver(t, inbox, 1)), e.box(t, e.user, "Archive")); err != nil {
		t.Fatal(err)
	}
	if err := e.DeleteMailbox(t.Context(), e.user, "Archive"); err != nil {
		t.Fatal(err)
	}
	if err := e.DeleteUser(t.Context(), e.user); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Read(t.Context(), e.user, since, 0); !errors.Is(err, mailstore.ErrNoSuchUser) {
		t.Error(err)
	}
	if n, err := e.Database.Collection("journal").CountDocuments(t.Context(), bson.D{}); n != 0 || err != nil {
		t.Errorf("%d entries stay, %v", n, err)
	}
}

// A position is one user's.
func TestPositionsOfOthers(t *testing.T) {
	e := newEnv(t, quota.Policy{})
	other := e.newUser(t)
	for _, since := range []string{"", "x", e.now(t, other), strings.Repeat("A", MaxPosition+1),
		e.now(t, e.user) + "AA"} {
		if _, err := e.Read(t.Context(), e.user, since, 0); !errors.Is(err, ErrPosition) {
			t.Errorf("%.20q: %v", since, err)
		}
	}
}
