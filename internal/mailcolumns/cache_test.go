package mailcolumns

import (
	"context"
	"fmt"
	"iter"
	"math"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/internal/uidset"
)

// model is a mail store with one mailbox.
type model struct {
	mu      sync.Mutex
	box     mailstore.Mailbox
	rows    []mailstore.FlagState // ascending
	journal []vanished
	// expunged is the mod-sequence of the last removal; the journal may have forgotten it.
	expunged uint64
	deleted  bool

	reads, loads int // of the mailbox's document, and of all messages
	// during, if set, runs once while messages are being read, as other sessions do.
	during func()
}

func newModel() *model {
	return &model{box: mailstore.Mailbox{Key: mailkey.UserID{1}.Mailbox(1), UIDNext: 1, HighestModSeq: 1}}
}

func (m *model) document() (*mailstore.Mailbox, error) {
	m.reads++
	if m.deleted {
		return nil, mailstore.ErrNoSuchMailbox
	}
	box := m.box
	box.Messages = int64(len(m.rows))
	return &box, nil
}

func (m *model) MailboxByKey(context.Context, mailkey.Mailbox) (*mailstore.Mailbox, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.document()
}

func (m *model) Changes(_ context.Context, _ mailkey.Mailbox, since uint64) (*mailstore.Changes, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	box, err := m.document()
	if err != nil {
		return nil, err
	}
	c := &mailstore.Changes{Mailbox: box, Complete: true}
	for _, r := range m.rows {
		if r.ModSeq > since {
			c.Changed = append(c.Changed, r)
		}
	}
	reached := since
	for _, v := range m.journal {
		if v.to > since {
			c.Complete = c.Complete && v.from <= reached
			c.Vanished = append(c.Vanished, v.uids...)
			reached = v.to
		}
	}
	c.Complete = c.Complete && (m.expunged <= since || reached == m.expunged)
	slices.Sort(c.Vanished)
	return c, nil
}

func (m *model) Messages(_ context.Context, _ mailkey.Mailbox, q mailstore.Query, _ mailstore.Fields,
) iter.Seq2[*mailstore.Message, error] {
	return func(yield func(*mailstore.Message, error) bool) {
		m.mu.Lock()
		m.loads++
		rows, during := slices.Clone(m.rows), m.during
		m.during = nil
		m.mu.Unlock()
		for i, r := range rows {
			if during != nil && i == len(rows)/2 {
				during() // the second half is read after it
				m.mu.Lock()
				rest := slices.Clone(m.rows)
				m.mu.Unlock()
				rest = slices.DeleteFunc(rest, func(x mailstore.FlagState) bool { return x.UID < r.UID })
				for _, x := range rest {
					if !yield(message(x), nil) {
						return
					}
				}
				return
			}
			if q.UIDs != nil && !q.UIDs.Contains(r.UID) || r.ModSeq <= q.ModSince {
				continue
			}
			if !yield(message(r), nil) {
				return
			}
		}
	}
}

func message(r mailstore.FlagState) *mailstore.Message {
	return &mailstore.Message{UID: r.UID, ModSeq: r.ModSeq, Flags: r.Flags, Keywords: r.Keywords,
		Size: r.Size, InternalDate: r.InternalDate, Number: r.Number}
}

func (m *model) deliver(n int, flags mailstore.Flags, keywords []string, size int64, date time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.box.HighestModSeq++
	for range n {
		m.rows = append(m.rows, mailstore.FlagState{UID: m.box.UIDNext, ModSeq: m.box.HighestModSeq, Flags: flags,
			Keywords: keywords, Size: size, InternalDate: date,
			Number: mailstore.Number(m.box.UIDNext) * mailstore.Number(size)})
		m.box.UIDNext++
	}
}

func (m *model) flag(uids uidset.Set, flags mailstore.Flags, keywords []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.box.HighestModSeq++
	for i := range m.rows {
		if r := &m.rows[i]; uids.Contains(r.UID) {
			r.ModSeq, r.Flags, r.Keywords = m.box.HighestModSeq, flags, keywords
		}
	}
}

func (m *model) expunge(uids uidset.Set) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.box.HighestModSeq++
	// as the store's journal chains its entries
	v := vanished{from: m.expunged, to: m.box.HighestModSeq}
	m.expunged = v.to
	m.rows = slices.DeleteFunc(m.rows, func(r mailstore.FlagState) bool {
		if uids.Contains(r.UID) {
			v.uids = append(v.uids, r.UID)
			return true
		}
		return false
	})
	m.journal = append(m.journal, v)
}

// want is what a query must find.
func (m *model) want(q mailstore.Query) (list []*mailstore.Message) {
	for _, r := range m.rows {
		if (q.UIDs == nil || q.UIDs.Contains(r.UID)) && r.ModSeq > q.ModSince {
			list = append(list, message(r))
		}
	}
	return list
}

type tester interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	Context() context.Context
}

func collect(t tester, messages iter.Seq2[*mailstore.Message, error]) (list []*mailstore.Message) {
	t.Helper()
	for m, err := range messages {
		if err != nil {
			t.Fatalf("%v", err)
		}
		list = append(list, m)
	}
	return list
}

// ask compares the cache's answer with what is there.
func ask(t tester, c *Cache, m *model, q mailstore.Query) (fromColumns bool) {
	t.Helper()
	messages, ok, err := c.Messages(t.Context(), m.box.Key, q, Fields)
	if err != nil {
		t.Fatalf("%v", err)
	}
	if ok {
		got, want := collect(t, messages), m.want(q)
		same := func(a, b *mailstore.Message) bool { return reflect.DeepEqual(a, b) }
		if !slices.EqualFunc(got, want, same) {
			t.Errorf("%+v: %s", q, cmp.Diff(want, got, cmpopts.EquateEmpty()))
		}
	}
	return ok
}

var day = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestAnswersCostOneRead(t *testing.T) {
	m := newModel()
	m.deliver(3000, mailstore.Seen, nil, 1000, day)
	c := New(m, 0)
	if !ask(t, c, m, mailstore.Query{}) || m.loads != 1 {
		t.Fatalf("first: %d loads", m.loads)
	}
	m.reads = 0
	for _, q := range []mailstore.Query{{}, {UIDs: uidset.Of(uidset.Range{First: 5, Last: 7})},
		{ModSince: 1}, {UIDs: uidset.Set{}}} {
		if !ask(t, c, m, q) {
			t.Errorf("%+v was left to the database", q)
		}
	}
	if m.reads != 4 || m.loads != 1 {
		t.Errorf("four answers: %d reads of the document, %d loads", m.reads, m.loads)
	}
	m.flag(uidset.Of(uidset.Range{First: 1500, Last: 1500}), mailstore.Flagged, []string{"$Work"})
	// neither fits its column
	m.deliver(1, 0, nil, 5<<32, time.Date(1890, 1, 1, 0, 0, 0, 0, time.UTC))
	m.expunge(uidset.Of(uidset.Range{First: 1, Last: 1100}))
	ask(t, c, m, mailstore.Query{})
	if st := c.Stats(); st.Loads != 1 || st.Updates != 1 || st.Mailboxes != 1 {
		t.Errorf("%+v", st)
	}
}

func TestFewOfManyAreLeftToTheDatabase(t *testing.T) {
	m := newModel()
	m.deliver(smallMailbox+1, 0, nil, 1, day)
	c := New(m, 0)
	few := mailstore.Query{UIDs: uidset.Of(uidset.Range{First: 1, Last: 10})}
	if ask(t, c, m, few) || m.loads != 0 {
		t.Errorf("ten messages of a large mailbox loaded all")
	}
	for name, q := range map[string]mailstore.Query{
		"filter": {Filter: mailstore.FlagFilter(mailstore.Seen, true)}, "limit": {Limit: 1}, "reverse": {Reverse: true},
	} {
		if ask(t, c, m, q) {
			t.Errorf("columns cannot answer a query with %s", name)
		}
	}
	if _, ok, _ := c.Messages(t.Context(), m.box.Key, mailstore.Query{}, mailstore.FieldEnvelope); ok {
		t.Error("columns have no envelopes")
	}
	if !ask(t, c, m, mailstore.Query{}) || !ask(t, c, m, few) {
		t.Error("not from columns that are there")
	}
	if ask(t, New(m, -1), m, mailstore.Query{}) {
		t.Error("a cache that keeps nothing answers")
	}
}

// The first search is left to the database, the second loads the columns, later ones cost one read.
func TestSearchesLoadTheSecondTime(t *testing.T) {
	m := newModel()
	m.deliver(10, 0, nil, 1, day)
	c := New(m, 0)
	ctx := t.Context()
	for n, want := range []struct {
		ok           bool
		loads, reads int
	}{{false, 0, 0}, {true, 1, 1}, {true, 1, 2}} {
		messages, ok, err := c.Loaded(ctx, m.box.Key, mailstore.Query{})
		if err != nil || ok != want.ok || m.loads != want.loads || m.reads != want.reads {
			t.Fatalf("search %d: ok %t, %d loads, %d reads, %v; want %+v", n, ok, m.loads, m.reads, err, want)
		}
		if !ok {
			continue
		}
		var uids []uint32
		for msg, err := range messages {
			if err != nil {
				t.Fatal(err)
			}
			uids = append(uids, msg.UID)
		}
		if len(uids) != 10 || !slices.IsSorted(uids) {
			t.Errorf("search %d: %v", n, uids)
		}
	}
	few := uidset.Of(uidset.Range{First: 1, Last: 3})
	other := m.box.Key
	other[len(other)-1]++
	for range 3 {
		if _, ok, err := c.Loaded(ctx, other, mailstore.Query{UIDs: few}); ok || err != nil {
			t.Errorf("a search among few messages: %t, %v", ok, err)
		}
	}
}

func TestBoundAndAge(t *testing.T) {
	now := day
	stores := make(map[mailkey.Mailbox]*model)
	var many manyModels = stores
	c := New(many, 20_000)
	c.now = func() time.Time { return now }
	box := func(n int) *model {
		m := newModel()
		m.box.Key = mailkey.UserID{1}.Mailbox(uint32(n))
		m.deliver(200, 0, nil, 1, day)
		stores[m.box.Key] = m
		return m
	}
	for n := range 10 {
		if !ask(t, c, box(n), mailstore.Query{}) {
			t.Fatal("not answered")
		}
		if st := c.Stats(); st.Bytes > 20_000 {
			t.Fatalf("%d mailboxes take %d bytes", st.Mailboxes, st.Bytes)
		}
	}
	before := c.Stats()
	if before.Mailboxes < 2 || before.Mailboxes == 10 {
		t.Fatalf("%+v", before)
	}
	now = now.Add(idleTime)
	ask(t, c, box(11), mailstore.Query{})
	if st := c.Stats(); st.Mailboxes != 1 {
		t.Errorf("after a while: %+v", st)
	}
	huge := box(12)
	huge.deliver(2000, 0, nil, 1, day)
	if ask(t, c, huge, mailstore.Query{}) {
		t.Error("columns that would take more than half of the bound")
	}
}

// manyModels is a store with a mailbox in each model.
type manyModels map[mailkey.Mailbox]*model

func (s manyModels) MailboxByKey(ctx context.Context, key mailkey.Mailbox) (*mailstore.Mailbox, error) {
	return s[key].MailboxByKey(ctx, key)
}

func (s manyModels) Changes(ctx context.Context, key mailkey.Mailbox, since uint64) (*mailstore.Changes, error) {
	return s[key].Changes(ctx, key, since)
}

func (s manyModels) Messages(ctx context.Context, key mailkey.Mailbox, q mailstore.Query, f mailstore.Fields,
) iter.Seq2[*mailstore.Message, error] {
	return s[key].Messages(ctx, key, q, f)
}

func TestDeletedMailbox(t *testing.T) {
	m := newModel()
	m.deliver(10, 0, nil, 1, day)
	c := New(m, 0)
	ask(t, c, m, mailstore.Query{})
	m.deleted = true
	if _, ok, err := c.Messages(t.Context(), m.box.Key, mailstore.Query{}, Fields); ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	if st := c.Stats(); st.Mailboxes != 0 || st.Bytes != 0 {
		t.Errorf("%+v", st)
	}
}

func TestManyKeywordSetsAreLeftToTheDatabase(t *testing.T) {
	m := newModel()
	for n := range maxKeywordSets + 1 {
		m.rows = append(m.rows, mailstore.FlagState{UID: uint32(n + 1), ModSeq: 1,
			Keywords: []string{fmt.Sprint("k", n)}})
	}
	m.box.UIDNext = math.MaxUint32
	c := New(m, 0)
	if ask(t, c, m, mailstore.Query{}) {
		t.Error("more sets of keywords than the columns can hold")
	}
}

// Whatever happens to a mailbox, in whatever order, and while its columns are being read: the
// answers are what the store would answer.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel()
		c := New(m, 0)
		keywords := [][]string{nil, {"a"}, {"b", "a"}, {"$Junk"}}
		set := func() uidset.Set {
			top := max(int(m.box.UIDNext), 2)
			first := rapid.IntRange(1, top).Draw(t, "first")
			return uidset.Of(uidset.Range{First: uint32(first),
				Last: uint32(rapid.IntRange(first, top).Draw(t, "last"))})
		}
		change := func() {
			switch rapid.IntRange(0, 3).Draw(t, "change") {
			case 0, 1:
				n := rapid.SampledFrom([]int{1, 2, 300, 1100}).Draw(t, "n")
				m.deliver(n, mailstore.Flags(rapid.IntRange(0, 31).Draw(t, "flags")),
					rapid.SampledFrom(keywords).Draw(t, "keywords"),
					rapid.SampledFrom([]int64{0, 1, 1 << 33}).Draw(t, "size"), day)
			case 2:
				m.flag(set(), mailstore.Flags(rapid.IntRange(0, 31).Draw(t, "flags")),
					rapid.SampledFrom(keywords).Draw(t, "keywords"))
			case 3:
				m.expunge(set())
				if len(m.journal) > 0 && rapid.IntRange(0, 9).Draw(t, "forget") == 0 {
					m.journal = nil
				}
			}
		}
		// client is a session's knowledge: it must come to what is there by changes alone.
		client := make(map[uint32]mailstore.FlagState)
		known := uint64(1)
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0, 1:
				change()
			case 2:
				if rapid.Bool().Draw(t, "during") {
					m.during = func() { change() }
					// What is read meanwhile may be older or newer; the next answer must be right.
					messages, ok, err := c.Messages(t.Context(), m.box.Key, mailstore.Query{}, Fields)
					if err != nil {
						t.Fatalf("%v", err)
					}
					if ok {
						collect(t, messages)
					}
					m.during = nil
				}
				ask(t, c, m, mailstore.Query{})
			case 3:
				ask(t, c, m, mailstore.Query{UIDs: set(),
					ModSince: uint64(rapid.IntRange(0, int(m.box.HighestModSeq)).Draw(t, "since"))})
			case 4:
				ch, err := c.Changes(t.Context(), m.box.Key, known)
				if err != nil {
					t.Fatalf("%v", err)
				}
				if !ch.Complete {
					clear(client)
					for _, r := range m.rows {
						client[r.UID] = r
					}
				}
				for _, r := range ch.Changed {
					client[r.UID] = r
				}
				for _, uid := range ch.Vanished {
					delete(client, uid)
				}
				known = ch.Mailbox.HighestModSeq
				there := make(map[uint32]mailstore.FlagState)
				for _, r := range m.rows {
					there[r.UID] = r
				}
				if !reflect.DeepEqual(there, client) {
					t.Fatalf("by changes: %s", cmp.Diff(there, client))
				}
			case 5:
				box, err := m.MailboxByKey(t.Context(), m.box.Key)
				if err != nil {
					t.Fatalf("%v", err)
				}
				at, uids, unseen, ok, err := c.Opened(t.Context(), box)
				if err != nil {
					t.Fatalf("%v", err)
				}
				if !ok {
					continue
				}
				var want []uint32
				first := uint32(0)
				for _, r := range m.rows {
					want = append(want, r.UID)
					if first == 0 && r.Flags&mailstore.Seen == 0 {
						first = r.UID
					}
				}
				if !slices.Equal(uids, want) || unseen != first || at.HighestModSeq != m.box.HighestModSeq {
					t.Fatalf("opened: %v, first unseen %d at %d; want %v, %d at %d", uids, unseen,
						at.HighestModSeq, want, first, m.box.HighestModSeq)
				}
			}
		}
		ask(t, c, m, mailstore.Query{})
		if e := c.lookup(m.box.Key); e != nil {
			checkShape(t, e.current.Load())
		}
	})
}

// checkShape verifies what always holds of a snapshot.
func checkShape(t tester, s *snapshot) {
	t.Helper()
	if s == nil {
		return
	}
	rows, last := 0, uint32(0)
	for _, c := range s.chunks {
		n := len(c.uids)
		if n == 0 || n > chunkRows || len(c.modseqs) != n || len(c.flags) != n ||
			len(c.keywords) != n || len(c.sizes) != n || len(c.dates) != n {
			t.Fatalf("a chunk of %d rows", n)
		}
		for _, uid := range c.uids {
			if uid <= last {
				t.Fatalf("UID %d after %d", uid, last)
			}
			last = uid
		}
		if c.newest != slices.Max(c.modseqs) {
			t.Fatalf("newest %d of %v", c.newest, c.modseqs)
		}
		rows += n
	}
	if rows != s.rows {
		t.Fatalf("%d rows, %d counted", rows, s.rows)
	}
	if s.rows > 10_000 && s.bytes() > int64(s.rows)*25 {
		t.Fatalf("%d bytes for %d rows", s.bytes(), s.rows)
	}
}
