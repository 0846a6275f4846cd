package mailstore

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"gadwall/internal/mailkey"
	"gadwall/internal/uidset"
	"gadwall/quota"
)

// model is what the mail of one user should be, kept as plainly as possible.
type model struct {
	boxes map[string]*modelBox
	limit int // messages; 0 is none
}

// fits reports whether the user may store so many more.
func (m *model) fits(more int) bool {
	for _, b := range m.boxes {
		more += len(b.messages)
	}
	return m.limit == 0 || more <= m.limit
}

type modelBox struct {
	key      mailkey.Mailbox
	next     uint32
	modseq   uint64
	messages []modelMessage
	// snapshots are earlier states, to come from by Changes.
	snapshots []modelSnapshot
}

type modelMessage struct {
	uid      uint32
	modseq   uint64
	flags    Flags
	keywords string // sorted, joined by spaces
	number   int    // of the mail
}

type modelSnapshot struct {
	modseq   uint64
	messages map[uint32]FlagState
}

func joined(keywords []string) string {
	list := slices.Clone(keywords)
	slices.Sort(list)
	return strings.Join(list, " ")
}

// run is one random history.
type run struct {
	*rapid.T
	env   *env
	user  *User
	model model
}

func TestModel(t *testing.T) {
	e := newEnv(t)
	rapid.Check(t, func(rt *rapid.T) {
		u := e.user(t)
		defer func() {
			// A history that failed must not leave mail for the next.
			if err := e.DeleteUser(t.Context(), u.ID); err != nil && !errors.Is(err, ErrNoSuchUser) {
				t.Error(err)
			}
		}()
		r := &run{T: rt, env: e, user: u, model: model{boxes: make(map[string]*modelBox)}}
		boxes, err := e.Mailboxes(t.Context(), u.ID)
		if err != nil {
			rt.Fatal(err)
		}
		for _, b := range boxes {
			r.model.boxes[b.Path] = &modelBox{key: b.Key, next: 1, modseq: 1}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"deliver": r.deliver,
			"append":  r.append,
			"copy":    r.copy,
			"move":    r.move,
			"store":   r.store,
			"expunge": r.expunge,
			"limit":   r.setLimit,
			"create":  r.create,
			"delete":  r.delete,
			"rename":  r.rename,
			"note":    r.snapshot,
			"changes": r.changes,
			"":        func(rt *rapid.T) {},
		})
		r.compare(rt)
		for _, b := range r.model.boxes {
			for _, s := range b.snapshots {
				r.compareChanges(rt, b, s)
			}
		}
		e.checkConsistent(rt, u)
		if err := e.DeleteUser(rt.Context(), u.ID); err != nil {
			rt.Fatal(err)
		}
		e.checkConsistent(rt)
	})
}

func (r *run) box(t *rapid.T, label string) (string, *modelBox) {
	var paths []string
	for p := range r.model.boxes {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	p := rapid.SampledFrom(paths).Draw(t, label)
	return p, r.model.boxes[p]
}

var (
	drawFlags = rapid.Custom(func(t *rapid.T) Flags {
		return Flags(rapid.Uint32Range(0,
			uint32(AllFlags)).Draw(t, "flags"))
	})
	drawKeywords = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"$Junk", "Work", "later"}), 0, 2, rapid.ID[string])
)

func (b *modelBox) add(m modelMessage) uint32 {
	m.uid, m.modseq = b.next, b.modseq
	b.next++
	b.messages = append(b.messages, m)
	return m.uid
}

// ranges draws a set of UIDs of the mailbox, some of which have no message.
func (b *modelBox) ranges(t *rapid.T) uidset.Set {
	return uidset.Of(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) uidset.Range {
		first := rapid.Uint32Range(1, b.next).Draw(t, "first")
		return uidset.Range{First: first, Last: first + rapid.Uint32Range(0, 5).Draw(t, "more")}
	}), 0, 4).Draw(t, "uids")...)
}

func (b *modelBox) selected(ranges uidset.Set) []int {
	var list []int
	for i, m := range b.messages {
		if ranges.Contains(m.uid) {
			list = append(list, i)
		}
	}
	return list
}

func (r *run) deliver(t *rapid.T) {
	_, b := r.box(t, "to")
	flags, keywords := drawFlags.Draw(t, "flags"), drawKeywords.Draw(t, "keywords")
	// Some mails are the same, so that contents are shared.
	n := rapid.IntRange(0, 3).Draw(t, "number")
	stored := r.env.content(t, mail(n), 1)
	got, err := r.env.Deliver(t.Context(), stored,
		[]Delivery{{Mailbox: b.key, Flags: flags, Keywords: keywords, Magic: stored.Magics[0]}})
	if err == nil && errors.Is(got[0].Err, quota.ErrOverQuota) && !r.model.fits(1) {
		return
	}
	if err != nil || got[0].Err != nil || !r.model.fits(1) {
		t.Fatal(err, got[0].Err)
	}
	b.modseq++
	uid := b.add(modelMessage{flags: flags, keywords: joined(keywords), number: n})
	if got[0].UID != uid || got[0].ModSeq != b.modseq {
		t.Fatalf("got %+v, want UID %d and mod-sequence %d", got[0], uid, b.modseq)
	}
}

func (r *run) append(t *rapid.T) {
	_, b := r.box(t, "to")
	var items []AppendItem
	for i := range rapid.IntRange(1, 3).Draw(t, "count") {
		stored := r.env.content(t, mail(i), 1)
		items = append(items, NewAppendItem(stored, Delivery{Mailbox: b.key, Flags: Draft, Magic: stored.Magics[0]}))
	}
	fits := r.model.fits(len(items))
	if _, err := r.env.Append(t.Context(), items); fits && err != nil || !fits && !errors.Is(err, quota.ErrOverQuota) {
		t.Fatalf("fits %t: %v", fits, err)
	}
	if !fits {
		return // none of them
	}
	b.modseq++
	for i := range items {
		b.add(modelMessage{flags: Draft, number: i})
	}
}

// setLimit allows fewer or more messages, or fewer than there are.
func (r *run) setLimit(t *rapid.T) {
	r.model.limit = rapid.IntRange(0, 20).Draw(t, "messages")
	if err := r.env.SetLimits(t.Context(), r.user.ID, quota.Limits{Messages: int64(r.model.limit)}); err != nil {
		t.Fatal(err)
	}
}

func (r *run) copy(t *rapid.T) {
	_, from := r.box(t, "from")
	_, to := r.box(t, "to")
	ranges := from.ranges(t)
	got, err := r.env.Copy(t.Context(), from.key, ranges, to.key)
	if selected := from.selected(ranges); len(selected) > 0 && !r.model.fits(len(selected)) {
		if !errors.Is(err, quota.ErrOverQuota) {
			t.Fatalf("over quota: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	r.transferred(t, from, to, from.selected(ranges), got)
}

// transferred adds the messages to the model of the destination and compares what was reported.
func (r *run) transferred(t *rapid.T, from, to *modelBox, selected []int, got *CopyResult) {
	var source, dest []uint32
	if len(selected) > 0 {
		to.modseq++
	}
	for _, i := range selected {
		source = append(source, from.messages[i].uid)
		dest = append(dest, to.add(from.messages[i]))
	}
	if !slices.Equal(got.Source, source) || !slices.Equal(got.Dest, dest) {
		t.Fatalf("from %v to %v, want from %v to %v", got.Source, got.Dest, source, dest)
	}
}

func (r *run) move(t *rapid.T) {
	_, from := r.box(t, "from")
	_, to := r.box(t, "to")
	ranges := from.ranges(t)
	got, err := r.env.Move(t.Context(), from.key, ranges, to.key)
	if err != nil {
		t.Fatal(err)
	}
	selected := from.selected(ranges)
	r.transferred(t, from, to, selected, got)
	if len(selected) == 0 {
		return
	}
	if from != to {
		from.modseq++
	}
	from.remove(got.Source)
}

func (b *modelBox) remove(uids []uint32) {
	b.messages = slices.DeleteFunc(b.messages, func(m modelMessage) bool { return slices.Contains(uids, m.uid) })
}

func (r *run) store(t *rapid.T) {
	_, b := r.box(t, "in")
	ranges := b.ranges(t)
	c := FlagChange{
		Op:    FlagOp(rapid.IntRange(int(Add), int(Set)).Draw(t, "op")),
		Flags: drawFlags.Draw(t, "flags"), Keywords: drawKeywords.Draw(t, "keywords"),
		Conditional: rapid.Bool().Draw(t, "conditional"),
	}
	if c.Conditional {
		c.UnchangedSince = rapid.Uint64Range(0, b.modseq).Draw(t, "since")
	}
	got, err := r.env.StoreFlags(t.Context(), b.key, ranges, c)
	if err != nil {
		t.Fatal(err)
	}
	var changed, modified, unchanged []uint32
	for _, i := range b.selected(ranges) {
		m := &b.messages[i]
		if c.Conditional && m.modseq > c.UnchangedSince {
			modified = append(modified, m.uid)
			continue
		}
		flags := c.Flags
		have := strings.Fields(m.keywords)
		keywords := c.Keywords
		switch c.Op {
		case Add:
			flags |= m.flags
			keywords = append(slices.Clone(have), c.Keywords...)
		case Remove:
			flags = m.flags &^ c.Flags
			keywords = slices.DeleteFunc(have, func(k string) bool { return slices.Contains(c.Keywords, k) })
		}
		keywords = slices.Clone(keywords)
		slices.Sort(keywords)
		k := joined(slices.Compact(keywords))
		if flags == m.flags && k == m.keywords {
			unchanged = append(unchanged, m.uid)
			continue
		}
		if len(changed) == 0 {
			b.modseq++
		}
		changed = append(changed, m.uid)
		m.flags, m.keywords, m.modseq = flags, k, b.modseq
	}
	uids := func(states []FlagState) []uint32 {
		var list []uint32
		for _, s := range states {
			list = append(list, s.UID)
			m := b.messages[slices.IndexFunc(b.messages, func(m modelMessage) bool { return m.uid == s.UID })]
			if s.ModSeq != m.modseq || s.Flags != m.flags || joined(s.Keywords) != m.keywords {
				t.Fatalf("state %+v, want %+v", s, m)
			}
		}
		return list
	}
	if !slices.Equal(uids(got.Changed), changed) || !slices.Equal(uids(got.Unchanged), unchanged) ||
		!slices.Equal(got.Modified, modified) {
		t.Fatalf("got %+v, want changed %v, unchanged %v, modified %v", got, changed, unchanged, modified)
	}
}

func (r *run) expunge(t *rapid.T) {
	_, b := r.box(t, "in")
	var ranges uidset.Set // all
	if rapid.Bool().Draw(t, "uid expunge") {
		ranges = b.ranges(t)
	}
	got, modseq, err := r.env.Expunge(t.Context(), b.key, ranges)
	if err != nil {
		t.Fatal(err)
	}
	var want []uint32
	for _, m := range b.messages {
		if m.flags&Deleted != 0 && (ranges == nil || ranges.Contains(m.uid)) {
			want = append(want, m.uid)
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("expunged %v, want %v", got, want)
	}
	if len(want) == 0 {
		return
	}
	b.modseq++
	if modseq != b.modseq {
		t.Fatalf("mod-sequence %d, want %d", modseq, b.modseq)
	}
	b.remove(got)
}

var drawPath = rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "Sent"}), 1, 3),
	func(names []string) string { return strings.Join(names, "/") })

func (r *run) create(t *rapid.T) {
	path := drawPath.Draw(t, "path")
	got, err := r.env.CreateMailbox(t.Context(), r.user.ID, path, CreateOptions{})
	if r.model.boxes[path] != nil {
		if !errors.Is(err, ErrMailboxExists) {
			t.Fatalf("create %s: %v", path, err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	for other, b := range r.model.boxes {
		if b.key == got.Key {
			t.Fatalf("the key of %s is that of %s", path, other)
		}
	}
	r.model.boxes[path] = &modelBox{key: got.Key, next: 1, modseq: 1}
}

// hasChildren reports whether the model has mailboxes below path.
func (r *run) hasChildren(path string) bool {
	for p := range r.model.boxes {
		if strings.HasPrefix(p, path+Separator) {
			return true
		}
	}
	return false
}

func (r *run) delete(t *rapid.T) {
	path := drawPath.Draw(t, "path")
	err := r.env.DeleteMailbox(t.Context(), r.user.ID, path)
	var want error
	switch {
	case r.model.boxes[path] != nil:
		delete(r.model.boxes, path)
	case r.hasChildren(path):
		want = ErrHasChildren
	default:
		want = ErrNoSuchMailbox
	}
	if !errors.Is(err, want) {
		t.Fatalf("delete %s: %v, want %v", path, err, want)
	}
}

func (r *run) rename(t *rapid.T) {
	from := rapid.OneOf(drawPath, rapid.Just(Inbox)).Draw(t, "from")
	to := drawPath.Draw(t, "to")
	err := r.env.RenameMailbox(t.Context(), r.user.ID, from, to)
	renamed := make(map[string]*modelBox)
	var want error
	taken := false
	tree := from != Inbox && r.hasChildren(from)
	for p, b := range r.model.boxes {
		name := p
		if p == from || from != Inbox && strings.HasPrefix(p, from+Separator) {
			name = to + strings.TrimPrefix(p, from)
		} else if tree && (p == to || strings.HasPrefix(p, to+Separator)) {
			taken = true // two trees do not become one
		}
		taken = taken || renamed[name] != nil
		renamed[name] = b
	}
	switch {
	case from == to:
		want = ErrMailboxExists
	case strings.HasPrefix(to, from+Separator):
		want = ErrInvalidName
	case r.model.boxes[from] == nil && !r.hasChildren(from):
		want = ErrNoSuchMailbox
	case taken:
		want = ErrMailboxExists
	}
	if !errors.Is(err, want) {
		t.Fatalf("rename %s to %s: %v, want %v", from, to, err, want)
	}
	if want != nil {
		return
	}
	if from == Inbox {
		inbox, err := r.env.MailboxByPath(t.Context(), r.user.ID, Inbox)
		if err != nil {
			t.Fatal(err)
		}
		renamed[Inbox] = &modelBox{key: inbox.Key, next: 1, modseq: 1}
	}
	r.model.boxes = renamed
}

func (b *modelBox) states() map[uint32]FlagState {
	states := make(map[uint32]FlagState)
	for _, m := range b.messages {
		states[m.uid] = FlagState{UID: m.uid, ModSeq: m.modseq, Flags: m.flags, Keywords: strings.Fields(m.keywords)}
	}
	return states
}

func (r *run) snapshot(t *rapid.T) {
	_, b := r.box(t, "of")
	b.snapshots = append(b.snapshots, modelSnapshot{b.modseq, b.states()})
}

func (r *run) changes(t *rapid.T) {
	_, b := r.box(t, "of")
	if len(b.snapshots) > 0 {
		r.compareChanges(t, b, rapid.SampledFrom(b.snapshots).Draw(t, "since"))
	}
}

// compareChanges applies what changed since a snapshot to it, and expects the present.
func (r *run) compareChanges(t *rapid.T, b *modelBox, s modelSnapshot) {
	c, err := r.env.Changes(t.Context(), b.key, s.modseq)
	if err != nil {
		t.Fatal(err)
	}
	view := make(map[uint32]FlagState)
	for uid, m := range s.messages {
		view[uid] = m
	}
	for _, m := range c.Changed {
		slices.Sort(m.Keywords)
		if m.Keywords == nil {
			m.Keywords = []string{}
		}
		if m.Size <= 0 || m.InternalDate.IsZero() || m.Number == 0 {
			t.Fatalf("UID %d: size %d, date %v", m.UID, m.Size, m.InternalDate)
		}
		m.Size, m.InternalDate, m.Number = 0, time.Time{}, 0 // the model has none of them
		view[m.UID] = m
	}
	for _, uid := range c.Vanished {
		delete(view, uid)
	}
	if diff := cmp.Diff(b.states(), view); diff != "" {
		t.Fatalf("since %d: %s", s.modseq, diff)
	}
	if !c.Complete || c.Mailbox.HighestModSeq != b.modseq {
		t.Fatalf("complete %t, mod-sequence %d, want %d", c.Complete, c.Mailbox.HighestModSeq, b.modseq)
	}
	if !slices.IsSorted(c.Vanished) || !slices.IsSortedFunc(c.Changed,
		func(a, b FlagState) int { return int(a.UID) - int(b.UID) }) {
		t.Fatal("not sorted")
	}
}

// compare expects the store to be as the model.
func (r *run) compare(t *rapid.T) {
	boxes, err := r.env.Mailboxes(t.Context(), r.user.ID)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]*Mailbox)
	for _, b := range boxes {
		got[b.Path] = b
	}
	if len(got) != len(r.model.boxes) {
		t.Fatalf("mailboxes %v, want %v", got, r.model.boxes)
	}
	for path, want := range r.model.boxes {
		b := got[path]
		if b == nil || b.Key != want.key || b.UIDNext != want.next || b.HighestModSeq != want.modseq {
			t.Fatalf("%s is %+v, want %+v", path, b, want)
		}
		var list []modelMessage
		for m, err := range r.env.Messages(t.Context(), b.Key, Query{}, FieldFlags|FieldSearch) {
			if err != nil {
				t.Fatal(err)
			}
			number := -1
			if _, err := fmt.Sscanf(m.MessageID, "<%d@example.com>", &number); err != nil {
				t.Fatal(err)
			}
			list = append(list, modelMessage{m.UID, m.ModSeq, m.Flags, joined(m.Keywords), number})
		}
		if diff := cmp.Diff(want.messages, list, cmp.AllowUnexported(modelMessage{}),
			cmp.Transformer("nil", func(l []modelMessage) []modelMessage {
				return append([]modelMessage{}, l...)
			})); diff != "" {
			t.Fatalf("%s: %s", path, diff)
		}
	}
}
