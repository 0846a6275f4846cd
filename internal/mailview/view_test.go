package mailview

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"gadwall/internal/mailstore"
	"gadwall/internal/uidset"
)

// mailbox is a mailbox with a journal, as the database has it.
type mailbox struct {
	messages map[uint32]uint64 // UID: mod-sequence
	next     uint32
	modseq   uint64
	journal  map[uint64][]uint32 // mod-sequence: UIDs removed
	kept     uint64              // the journal has entries after this mod-sequence only
}

func (m *mailbox) uids() []uint32 { return slices.Sorted(maps.Keys(m.messages)) }

func (m *mailbox) deliver() {
	m.modseq++
	m.messages[m.next] = m.modseq
	m.next++
}

func (m *mailbox) flag(uids []uint32) {
	m.modseq++
	for _, uid := range uids {
		m.messages[uid] = m.modseq
	}
}

func (m *mailbox) expunge(uids []uint32) {
	m.modseq++
	m.journal[m.modseq] = uids
	for _, uid := range uids {
		delete(m.messages, uid)
	}
}

// changes is what mailstore.Store.Changes returns; between runs after the mailbox
// itself was read.
func (m *mailbox) changes(since uint64, between func()) *mailstore.Changes {
	c := &mailstore.Changes{
		Mailbox:  &mailstore.Mailbox{UIDNext: m.next, HighestModSeq: m.modseq},
		Complete: since >= m.kept,
	}
	newest := m.modseq
	between()
	for _, uid := range m.uids() {
		if modseq := m.messages[uid]; modseq > since {
			c.Changed = append(c.Changed, mailstore.FlagState{UID: uid, ModSeq: modseq})
		}
	}
	for modseq, uids := range m.journal {
		if modseq > max(since, m.kept) && modseq <= newest {
			c.Vanished = append(c.Vanished, uids...)
		}
	}
	slices.Sort(c.Vanished)
	return c
}

// client is what a client knows: messages by number, and the mod-sequence of the
// flags that it was told.
type client struct {
	uids  []uint32
	flags map[uint32]uint64
}

// TestModel runs random changes by a session and by others. After each update, the
// client knows what the mailbox was when the changes were read, or newer, and it is
// told of nothing twice.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		box := &mailbox{messages: map[uint32]uint64{}, next: 1, journal: map[uint64][]uint32{}}
		for range rapid.IntRange(0, 5).Draw(t, "messages") {
			box.deliver()
		}
		v := New(State{UIDs: box.uids(), UIDNext: box.next, ModSeq: box.modseq})
		c := client{uids: box.uids(), flags: maps.Clone(box.messages)}
		own := map[uint64]bool{} // mod-sequences of the session's own changes

		some := func(of []uint32) []uint32 {
			if len(of) == 0 {
				return nil
			}
			uids := rapid.SliceOfN(rapid.SampledFrom(of), 1, 3).Draw(t, "uids")
			slices.Sort(uids)
			return slices.Compact(uids)
		}
		others := func() {
			switch rapid.IntRange(0, 3).Draw(t, "others") {
			case 0:
				box.deliver()
			case 1:
				if uids := some(box.uids()); uids != nil {
					box.expunge(uids)
				}
			case 2:
				if uids := some(box.uids()); uids != nil {
					box.flag(uids)
				}
			case 3:
			}
		}
		tell := func() {
			for _, e := range v.TakeGone() {
				if c.uids[e.Seq-1] != e.UID {
					t.Fatalf("message %d is %d for the client, expunged as %d", e.Seq, c.uids[e.Seq-1], e.UID)
				}
				if _, there := box.messages[e.UID]; there {
					t.Fatalf("%d is told to be gone and is there", e.UID)
				}
				c.uids = slices.Delete(c.uids, int(e.Seq-1), int(e.Seq))
			}
			if v.HasGone() {
				t.Fatal("gone messages after TakeGone")
			}
		}
		update := func(between func()) {
			at := box.modseq
			changes := box.changes(v.ModSeq(), between)
			var present []uint32
			if !changes.Complete {
				between()
				present = slices.DeleteFunc(box.uids(), func(uid uint32) bool { return uid > v.Max() })
			}
			d := v.Update(changes, present)
			for _, f := range d.Changed {
				if !slices.Contains(c.uids, f.UID) || slices.Contains(d.New, f.UID) || v.Gone(f.UID) {
					t.Fatalf("flags of %d, which the client does not know", f.UID)
				}
				if own[f.ModSeq] {
					t.Fatalf("flags of %d are told that the client set itself", f.UID)
				}
				c.flags[f.UID] = max(c.flags[f.UID], f.ModSeq)
			}
			for _, uid := range d.New {
				c.uids = append(c.uids, uid)
				c.flags[uid] = box.messages[uid] // the client fetches them
			}
			for _, uid := range d.Vanished {
				if _, there := box.messages[uid]; there || !v.Gone(uid) {
					t.Fatalf("%d is said to have vanished", uid)
				}
			}
			if v.ModSeq() < at {
				t.Fatalf("the view is at %d after an update to %d", v.ModSeq(), at)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"others": func(*rapid.T) { others() },
			"own flags": func(*rapid.T) {
				uids := slices.DeleteFunc(some(box.uids()),
					func(uid uint32) bool { return !slices.Contains(c.uids, uid) })
				if len(uids) == 0 {
					return
				}
				for _, uid := range uids {
					// What others set before goes with the answer.
					c.flags[uid] = box.modseq + 1
				}
				box.flag(uids)
				own[box.modseq] = true
				v.Reported(box.modseq)
			},
			"own expunge": func(*rapid.T) {
				if uids := some(box.uids()); uids != nil {
					box.expunge(uids)
					v.Removed(uids, box.modseq)
				}
			},
			"shorten the journal": func(*rapid.T) { box.kept = box.modseq },
			"tell":                func(*rapid.T) { tell() },
			"update":              func(*rapid.T) { update(others) },
			"update all": func(t *rapid.T) {
				update(func() {})
				tell()
				if !slices.Equal(c.uids, box.uids()) {
					t.Fatalf("the client knows %v, there is %v", c.uids, box.uids())
				}
				for uid, modseq := range box.messages {
					if c.flags[uid] != modseq {
						t.Fatalf("the client knows flags %d of %d, they are %d", c.flags[uid], uid, modseq)
					}
				}
			},
			"": func(t *rapid.T) {
				if got := v.Within(uidset.All()); !slices.Equal(got, c.uids) {
					t.Fatalf("view %v, client %v", got, c.uids)
				}
				for i, uid := range c.uids {
					if seq, ok := v.Seq(uid); !ok || seq != uint32(i+1) || v.UID(seq) != uid {
						t.Fatalf("message %d has number %d", uid, seq)
					}
				}
				set := uidset.Of(uidset.Range{First: rapid.Uint32Range(1, box.next).
					Draw(t, "first"), Last: rapid.Uint32Range(1, box.next).Draw(t, "last")})
				want := slices.DeleteFunc(slices.Clone(c.uids), func(uid uint32) bool { return !set.Contains(uid) })
				if got := v.Within(set); !slices.Equal(got, want) || v.Count(set) != len(want) {
					t.Fatalf("%v of the view are %v, want %v", set, got, want)
				}
			},
		})
	})
}

func TestReported(t *testing.T) {
	v := View{modseq: 5}
	v.Reported(6) // nothing in between
	if v.modseq != 6 || v.own != nil {
		t.Errorf("after the next: %d, own %v", v.modseq, v.own)
	}
	v.Reported(8) // 7 is somebody else's
	v.Reported(8)
	v.Reported(3)
	if v.modseq != 6 || !v.Knows(8) || v.Knows(7) || len(v.own) != 1 {
		t.Errorf("after one more: %d, own %v", v.modseq, v.own)
	}
	v.told(8)
	if v.modseq != 8 || v.own != nil {
		t.Errorf("after telling: %d, own %v", v.modseq, v.own)
	}
}

// A view that nobody updates keeps the last own changes alone, whatever their order.
func TestReportedIsBounded(t *testing.T) {
	v := View{modseq: 5}
	const last = 20 + 2*maxOwn
	for modseq := uint64(10); modseq < last; modseq += 2 {
		v.Reported(modseq + 1)
		v.Reported(modseq)
	}
	if len(v.own) > maxOwn || !slices.IsSorted(v.own) {
		t.Fatalf("%d own changes", len(v.own))
	}
	if !v.Knows(last-1) || !v.Knows(last-maxOwn/2) || v.Knows(10) {
		t.Errorf("the view knows the changes from %d to %d", v.own[0], v.own[len(v.own)-1])
	}
}
