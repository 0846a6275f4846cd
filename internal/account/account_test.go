package account

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"pgregory.net/rapid"

	"gadwall/internal/contents"
	"gadwall/internal/events"
	"gadwall/internal/mailgen"
	"gadwall/internal/mailstore"
	"gadwall/internal/storetest"
	"gadwall/internal/uidset"
	"gadwall/quota"
)

// env is Accounts on a fresh database, with one user.
type env struct {
	*Accounts
	t    *testing.T
	db   *mongo.Database
	user *mailstore.User
}

func newEnv(t *testing.T, limits quota.Limits) *env {
	t.Helper()
	st := storetest.Open(t, storetest.Options{Quota: quota.Policy{Limits: limits}})
	accounts, err := New(Options{Store: st.Store, Bus: st.Bus})
	if err != nil {
		t.Fatal(err)
	}
	return &env{Accounts: accounts, t: t, db: st.Database, user: st.User(t, "alice@example.com")}
}

// with opens INBOX by an account that has these rights.
func (e *env) with(rights string, access Access) *Mailbox {
	e.t.Helper()
	r, err := ParseRights(rights)
	if err != nil {
		e.t.Fatal(err)
	}
	inbox, _, err := e.For("bob@example.com", e.user, r).Open(e.t.Context(), "INBOX", access)
	if err != nil {
		e.t.Fatal(err)
	}
	return inbox
}

func (e *env) fill(n int) {
	e.t.Helper()
	i, err := e.with("ri", ReadWrite).Import()
	if err != nil {
		e.t.Fatal(err)
	}
	for k := range n {
		if err := i.Add(e.t.Context(), Entry{}, bytes.NewReader(mailgen.Simple(fmt.Sprint(k)))); err != nil {
			e.t.Fatal(err)
		}
	}
	if _, err := i.Commit(e.t.Context()); err != nil {
		e.t.Fatal(err)
	}
}

// references is the sum of all references on contents.
func (e *env) references() (refs int64) {
	e.t.Helper()
	cursor, err := e.db.Collection(contents.Collection).Find(e.t.Context(), bson.D{})
	if err != nil {
		e.t.Fatal(err)
	}
	var docs []struct {
		Refs int64 `bson:"refs"`
	}
	if err := cursor.All(e.t.Context(), &docs); err != nil {
		e.t.Fatal(err)
	}
	for _, d := range docs {
		refs += d.Refs
	}
	return refs
}

func (e *env) uids(q mailstore.Query) []uint32 {
	e.t.Helper()
	uids, err := e.with("lr", ReadOnly).UIDs(e.t.Context(), q)
	if err != nil {
		e.t.Fatal(err)
	}
	return uids
}

var all = uidset.All()

func seen(op mailstore.FlagOp) mailstore.FlagChange {
	return mailstore.FlagChange{Op: op, Flags: mailstore.Seen}
}

func TestRightsAreLetters(t *testing.T) {
	if s := Rights(AllRights).String(); s != rightLetters {
		t.Errorf("all rights are %s", s)
	}
	rapid.Check(t, func(t *rapid.T) {
		want := Rights(rapid.Uint16Range(0, uint16(AllRights)).Draw(t, "rights"))
		if got, err := ParseRights(want.String()); err != nil || got != want {
			t.Fatalf("%s became %s, %v", want, got, err)
		}
	})
	if r, err := ParseRights("lrcd"); err != nil || r.String() != "lrkxte" {
		t.Errorf("rights of RFC 2086 are %s, %v", r, err)
	}
	if _, err := ParseRights("lrq"); !errors.Is(err, ErrInvalidRights) {
		t.Errorf("q is a right: %v", err)
	}
}

// Each operation works with exactly the rights it needs, and fails if any of them is missing.
func TestOperationsNeedTheirRights(t *testing.T) {
	e := newEnv(t, quota.Limits{})
	e.fill(3)
	ctx := t.Context()
	into := func() *Mailbox { return e.with("ri", ReadWrite) }
	flags := func(f mailstore.Flags, keywords ...string) func(*Mailbox) error {
		return func(m *Mailbox) error {
			_, err := m.StoreFlags(ctx, all, mailstore.FlagChange{Op: mailstore.Add, Flags: f, Keywords: keywords})
			return err
		}
	}
	for _, op := range []struct {
		name   string
		rights string
		run    func(*Mailbox) error
	}{
		{"set Seen", "rs", flags(mailstore.Seen)},
		{"set Deleted", "rt", flags(mailstore.Deleted)},
		{"set Flagged", "rw", flags(mailstore.Flagged)},
		{"set a keyword", "rw", flags(0, "todo")},
		{"copy", "r", func(m *Mailbox) error { _, err := m.Copy(ctx, all, into(), nil); return err }},
		{"copy into", "ri", func(m *Mailbox) error { _, err := into().Copy(ctx, all, m, nil); return err }},
		{"move", "rte", func(m *Mailbox) error { _, err := m.Move(ctx, all, into(), nil); return err }},
		{"expunge", "re", func(m *Mailbox) error {
			return m.Expunge(ctx, nil, func([]uint32, uint64) error { return nil })
		}},
		{"import", "ri", func(m *Mailbox) error { _, err := m.Import(); return err }},
		{"changes", "r", func(m *Mailbox) error { _, err := m.Changes(ctx, 1); return err }},
		{"create", "rk", func(m *Mailbox) error {
			_, err := m.account.Create(ctx, "new", mailstore.CreateOptions{})
			return err
		}},
		{"rename", "rkx", func(m *Mailbox) error { return m.account.Rename(ctx, "new", "old") }},
		{"delete", "rx", func(m *Mailbox) error { return m.account.Delete(ctx, "old") }},
	} {
		needed, err := ParseRights(op.rights)
		if err != nil {
			t.Fatal(err)
		}
		for i := range len(rightLetters) {
			if missing := Rights(1) << i; needed.Has(missing) && missing != Read {
				err := op.run(e.with((AllRights &^ missing).String(), ReadWrite))
				var right *RightError
				if !errors.As(err, &right) || !right.Missing.Has(missing) || !errors.Is(err, ErrNoRight) {
					t.Errorf("%s without %s: %v", op.name, missing, err)
				}
			}
		}
		if err := op.run(e.with(op.rights, ReadWrite)); err != nil {
			t.Errorf("%s with %s: %v", op.name, op.rights, err)
		}
	}
}

func TestReadOnlyMailboxDoesNotChange(t *testing.T) {
	e := newEnv(t, quota.Limits{})
	e.fill(2)
	ctx := t.Context()
	m := e.with(rightLetters, ReadOnly)
	before, err := m.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	other := e.with(rightLetters, ReadWrite)
	for name, run := range map[string]func() error{
		"flags": func() error { _, err := m.StoreFlags(ctx, all, seen(mailstore.Add)); return err },
		"no flags": func() error {
			_, err := m.StoreFlags(ctx, all,
				mailstore.FlagChange{Op: mailstore.Set})
			return err
		},
		"move":      func() error { _, err := m.Move(ctx, all, other, nil); return err },
		"copy into": func() error { _, err := other.Copy(ctx, all, m, nil); return err },
		"import":    func() error { _, err := m.Import(); return err },
		"expunge": func() error {
			return m.Expunge(ctx, nil, func([]uint32, uint64) error { return nil })
		},
	} {
		if err := run(); !errors.Is(err, ErrReadOnly) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if m.Rights().String() != "lrpkxa" {
		t.Errorf("rights of a read-only opening are %s", m.Rights())
	}
	after, err := m.Status(ctx)
	if err != nil || after.HighestModSeq != before.HighestModSeq {
		t.Errorf("the mailbox changed from %d to %d, %v", before.HighestModSeq, after.HighestModSeq, err)
	}
}

// Who may neither look up nor read a mailbox learns nothing of it: not even whether it exists.
func TestHiddenMailboxIsNotThere(t *testing.T) {
	e := newEnv(t, quota.Limits{})
	ctx := t.Context()
	stranger := e.For("eve@example.com", e.user, 0)
	for _, path := range []string{"INBOX", "nothing"} {
		_, _, opened := stranger.Open(ctx, path, ReadOnly)
		_, status := stranger.Status(ctx, path)
		_, dest := stranger.Destination(ctx, path)
		for what, err := range map[string]error{
			"open": opened, "status": status, "destination": dest,
			"delete": stranger.Delete(ctx, path), "rename": stranger.Rename(ctx, path, "x"),
		} {
			if !errors.Is(err, mailstore.ErrNoSuchMailbox) || errors.Is(err, ErrNoRight) {
				t.Errorf("%s of %s: %v", what, path, err)
			}
		}
	}
	if list, err := stranger.Mailboxes(ctx); len(list) > 0 || err != nil {
		t.Errorf("%d mailboxes are listed, %v", len(list), err)
	}
	// Who sees the mailbox but may not read it is told so.
	lookup := e.For("eve@example.com", e.user, Lookup)
	if _, _, err := lookup.Open(ctx, "INBOX", ReadOnly); !errors.Is(err, ErrNoRight) {
		t.Errorf("open with l: %v", err)
	}
	// A mailbox that only takes can be filled without being read.
	if _, err := e.For("eve@example.com", e.user, Insert).Destination(ctx, "INBOX"); err != nil {
		t.Errorf("destination with i: %v", err)
	}
}

func TestKeysOfOtherUsersDoNotOpen(t *testing.T) {
	e := newEnv(t, quota.Limits{})
	ctx := t.Context()
	bob, err := e.store.CreateUser(ctx, mailstore.NewUser{Username: "bob@example.com", Password: "correct horse"})
	if err != nil {
		t.Fatal(err)
	}
	own := e.with("lr", ReadOnly).Key()
	if _, box, err := e.Of(e.user).OpenKey(ctx, own, ReadOnly); err != nil || box.Path != "INBOX" {
		t.Errorf("own mailbox: %v", err)
	}
	if _, _, err := e.Of(bob).OpenKey(ctx, own, ReadOnly); !errors.Is(err, mailstore.ErrNoSuchMailbox) {
		t.Errorf("mailbox of another user: %v", err)
	}
}

// STORE changes the flags that the actor may change and leaves the others (RFC 4314 section 4).
func TestFlagsWithoutRightStay(t *testing.T) {
	e := newEnv(t, quota.Limits{})
	e.fill(1)
	ctx := t.Context()
	if _, err := e.with("rstw", ReadWrite).StoreFlags(ctx, all, mailstore.FlagChange{
		Op: mailstore.Set, Flags: mailstore.Deleted | mailstore.Flagged, Keywords: []string{"todo"}}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		rights   string
		change   mailstore.FlagChange
		flags    mailstore.Flags
		keywords []string
	}{
		{"rs", mailstore.FlagChange{Op: mailstore.Set, Flags: mailstore.Seen | mailstore.Draft},
			mailstore.Seen | mailstore.Deleted | mailstore.Flagged, []string{"todo"}},
		{"rw", mailstore.FlagChange{Op: mailstore.Set, Keywords: []string{"later"}},
			mailstore.Seen | mailstore.Deleted, []string{"later"}},
		{"rs", mailstore.FlagChange{Op: mailstore.Remove, Flags: mailstore.AllFlags, Keywords: []string{"later"}},
			mailstore.Deleted, []string{"later"}},
		{"rt", mailstore.FlagChange{Op: mailstore.Set}, 0, []string{"later"}},
	} {
		result, err := e.with(step.rights, ReadWrite).StoreFlags(ctx, all, step.change)
		if err != nil {
			t.Fatal(err)
		}
		if got := result.Changed; len(got) != 1 || got[0].Flags != step.flags ||
			!slices.Equal(got[0].Keywords, step.keywords) {
			t.Errorf("%+v with %s: %+v", step.change, step.rights, got)
		}
	}
}

func TestLogin(t *testing.T) {
	e := newEnv(t, quota.Limits{})
	a, err := e.Login(t.Context(), nil, Attempt{Username: "Alice@example.com", Scope: mailstore.ScopeIMAP},
		e.ByPassword("correct horse"))
	if err != nil || a.UserID() != e.user.ID || a.Actor() != e.user.Username || a.rights != AllRights {
		t.Errorf("login: %+v, %v", a, err)
	}
	_, err = e.Login(t.Context(), nil, Attempt{Username: "alice@example.com", Scope: mailstore.ScopeIMAP},
		e.ByPassword("wrong horse"))
	if !errors.Is(err, mailstore.ErrAuthFailed) {
		t.Errorf("wrong password: %v", err)
	}
}

func TestEventsTellOfImports(t *testing.T) {
	e := newEnv(t, quota.Limits{})
	sub := e.Of(e.user).Events()
	defer sub.Close()
	e.fill(2)
	ev := <-sub.C()
	if ev.Kind != events.New || !slices.Equal(ev.UIDs, []uint32{1, 2}) {
		t.Errorf("event %+v", ev)
	}
}

func TestImportIsWholeOrNothing(t *testing.T) {
	e := newEnv(t, quota.Limits{Messages: 3})
	ctx := t.Context()
	begin := func(n int) *Import {
		t.Helper()
		i, err := e.with("rwi", ReadWrite).Import()
		if err != nil {
			t.Fatal(err)
		}
		for k := range n {
			entry := Entry{Flags: mailstore.Seen | mailstore.Flagged, Keywords: []string{"todo"}}
			if err := i.Add(ctx, entry, bytes.NewReader(mailgen.Simple(fmt.Sprint(k)))); err != nil {
				t.Fatal(err)
			}
		}
		return i
	}
	i := begin(2)
	if refs := e.references(); refs != 2 {
		t.Errorf("%d references are held for 2 messages", refs)
	}
	got, err := i.Commit(ctx)
	if err != nil || !slices.Equal(got.UIDs, []uint32{1, 2}) || got.UIDValidity == 0 || got.ModSeq != 2 {
		t.Errorf("imported %+v, %v", got, err)
	}
	i.Discard(ctx) // nothing is left to discard
	// The right s was missing.
	for m, err := range e.with("r", ReadOnly).Messages(ctx, mailstore.Query{}, mailstore.FieldFlags) {
		if err != nil || m.Flags != mailstore.Flagged || !slices.Equal(m.Keywords, []string{"todo"}) {
			t.Errorf("message %+v, %v", m, err)
		}
	}

	i = begin(2)
	if _, err := i.Commit(ctx); !errors.Is(err, quota.ErrOverQuota) {
		t.Errorf("over quota: %v", err)
	}
	if refs := e.references(); refs != 2 {
		t.Errorf("%d references after a commit that failed", refs)
	}

	i = begin(2)
	gone, cancel := context.WithCancel(ctx)
	cancel()
	i.Discard(gone)
	i.Discard(gone)
	if refs, uids := e.references(), e.uids(mailstore.Query{}); refs != 2 || len(uids) != 2 {
		t.Errorf("%d references and %d messages after Discard", refs, len(uids))
	}
}

func TestImportAdmitsWhatFits(t *testing.T) {
	e := newEnv(t, quota.Limits{Bytes: 1000, Messages: 2})
	ctx := t.Context()
	i, err := e.with("ri", ReadWrite).Import()
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Admit(ctx, 600); err != nil {
		t.Errorf("600 of 1000 octets: %v", err)
	}
	if err := i.Admit(ctx, 500); !errors.Is(err, quota.ErrOverQuota) {
		t.Errorf("1100 of 1000 octets: %v", err)
	}
	e.fill(2)
	if i, err = e.with("ri", ReadWrite).Import(); err != nil {
		t.Fatal(err)
	}
	if err := i.Admit(ctx, 1); !errors.Is(err, quota.ErrOverQuota) {
		t.Errorf("third of 2 messages: %v", err)
	}
}

func TestImportKeepsNothingOfBrokenReads(t *testing.T) {
	e := newEnv(t, quota.Limits{})
	i, err := e.with("ri", ReadWrite).Import()
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	err = i.Add(t.Context(), Entry{}, io.MultiReader(bytes.NewReader(mailgen.Simple("x")), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) || i.Len() != 0 {
		t.Errorf("Add: %v, %d messages", err, i.Len())
	}
	if got, err := i.Commit(t.Context()); err != nil || len(got.UIDs) != 0 {
		t.Errorf("Commit of nothing: %+v, %v", got, err)
	}
	if refs := e.references(); refs != 0 {
		t.Errorf("%d references", refs)
	}
}

func TestImportIsBounded(t *testing.T) {
	e := newEnv(t, quota.Limits{})
	i, err := e.with("ri", ReadWrite).Import()
	if err != nil {
		t.Fatal(err)
	}
	defer i.Discard(t.Context())
	i.items = make([]mailstore.AppendItem, MaxImport)
	if err := i.Add(t.Context(), Entry{}, bytes.NewReader(mailgen.Simple("x"))); !errors.Is(err, mailstore.ErrTooMany) {
		t.Errorf("one message too many: %v", err)
	}
	i.items, i.held = nil, mailstore.MaxAppendBytes
	if err := i.Add(t.Context(), Entry{}, bytes.NewReader(mailgen.Simple("x"))); !errors.Is(err, mailstore.ErrTooMany) {
		t.Errorf("too many bytes: %v", err)
	}
}

// A damaged content is left out; the others are read.
func TestContentsLeaveOutWhatIsDamaged(t *testing.T) {
	e := newEnv(t, quota.Limits{})
	e.fill(2)
	ctx := t.Context()
	m := e.with("r", ReadOnly)
	var ids []contents.ID
	for msg, err := range m.Messages(ctx, mailstore.Query{}, mailstore.FieldContent) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, msg.Content)
	}
	_, err := e.db.Collection(contents.Collection).UpdateOne(ctx,
		bson.D{{Key: "_id", Value: bson.Binary{Data: ids[0][:]}}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "segs", Value: bson.Binary{Data: []byte{0xff}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := m.Contents().Load(ctx, ids, contents.Want{All: true})
	if err != nil || loaded[ids[0]] != nil || loaded[ids[1]] == nil {
		t.Fatalf("loaded %v, %v", loaded, err)
	}
	var b strings.Builder
	if err := loaded[ids[1]].WriteRange(ctx, &b, 0, loaded[ids[1]].Size); err != nil ||
		b.String() != string(mailgen.Simple("1")) {
		t.Errorf("read %q, %v", b.String(), err)
	}
}
