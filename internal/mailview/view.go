package mailview

import (
	"slices"

	"github.com/emersion/go-imap/v2"

	"gadwall/internal/mailstore"
	"gadwall/internal/uidset"
)

// maxOwn bounds the mod-sequences of own changes that a view keeps while nobody updates it. Of older
// ones the client is told once more.
const maxOwn = 4096

// State is a mailbox at one mod-sequence.
type State struct {
	UIDs    []uint32 // of all messages, ascending
	UIDNext uint32
	ModSeq  uint64
}

// View is a mailbox as one client knows it. Its methods are not safe for concurrent
// use.
type View struct {
	Numbering
	gone   []uint32 // ascending; all of them have a number
	next   uint32   // above every UID that ever was in the view
	modseq uint64   // the client was told of changes up to here, but for gone
	own    []uint64 // later mod-sequences whose changes the client was told of; ascending
	before uint64   // while messages are gone: modseq when the first of them was found so
}

// New returns the view of a client that is told of everything in the state, as SELECT
// does. It keeps State.UIDs.
func New(s State) View {
	return View{Numbering: Numbering{fitted(s.UIDs)}, next: s.UIDNext, modseq: s.ModSeq}
}

// ModSeq is the mod-sequence after which changes are to be read for Update.
func (v *View) ModSeq() uint64 { return v.modseq }

// Next is above the UIDs of all messages that the client was told of.
func (v *View) Next() uint32 { return v.next }

// Told is the mod-sequence up to which the client was told of all changes, of messages that are
// gone, too. A client that begins there again, after it has lost the connection, misses nothing
// (RFC 7162 section 3.2).
func (v *View) Told() uint64 {
	if len(v.gone) > 0 {
		return v.before
	}
	return v.modseq
}

// Knows reports whether the client was told of the changes of a mod-sequence.
func (v *View) Knows(modseq uint64) bool {
	return modseq <= v.modseq || v.isOwn(modseq)
}

// isOwn reports whether the session made the change with that mod-sequence, which is a later one.
func (v *View) isOwn(modseq uint64) bool {
	_, ok := slices.BinarySearch(v.own, modseq)
	return ok
}

// Gone reports whether the message is gone.
func (v *View) Gone(uid uint32) bool {
	_, ok := slices.BinarySearch(v.gone, uid)
	return ok
}

// Assigned returns the UIDs of set that the mailbox has given to messages, as far as the view knows:
// those of messages that the view does not have any more, too. "*" is the last of them.
func (v *View) Assigned(set imap.UIDSet) uidset.Set {
	var ranges []uidset.Range
	for _, r := range set {
		if first, last, ok := clip(uint32(r.Start), uint32(r.Stop), v.next-1); ok {
			ranges = append(ranges, uidset.Range{First: first, Last: last})
		}
	}
	return uidset.Of(ranges...)
}

// Missing returns the UIDs of set that are not in the view.
func (v *View) Missing(set uidset.Set) uidset.Set {
	return set.Subtract(uidset.FromAscending(v.uids))
}

// HasGone reports whether TakeGone has something to tell.
func (v *View) HasGone() bool { return len(v.gone) > 0 }

// Diff is what Update found. Its lists ascend by UID.
type Diff struct {
	Vanished []uint32              // messages that became gone
	New      []uint32              // messages that the view has now
	Changed  []mailstore.FlagState // other flags of messages that the client knows and that exist
}

// Update brings the view to the mailbox's mod-sequence in the changes, which were read
// after ModSeq. When they are not complete, present must be the UIDs of the
// messages that exist now, ascending, at least those up to Max; otherwise it is not used.
//
// A message that is newer than the changes' mailbox stays for the next Update.
func (v *View) Update(c *mailstore.Changes, present []uint32) Diff {
	vanished := c.Vanished
	if !c.Complete {
		vanished = missing(v.uids, present)
	}
	d := Diff{Vanished: v.addGone(vanished)}
	next := max(v.next, c.Mailbox.UIDNext)
	for _, f := range c.Changed {
		if v.next <= f.UID && f.UID < next {
			d.New = append(d.New, f.UID)
			continue
		}
		if _, ok := v.Seq(f.UID); ok && !v.Gone(f.UID) && !v.isOwn(f.ModSeq) {
			d.Changed = append(d.Changed, f)
		}
	}
	v.uids = append(v.uids, d.New...)
	v.next = next
	v.told(c.Mailbox.HighestModSeq)
	return d
}

// Expunged is a message that is taken out of the view.
type Expunged struct{ Seq, UID uint32 }

// TakeGone takes the messages that are gone out of the view, for the caller to tell
// the client. They come from the highest number down, so that none of the responses
// changes the meaning of the next.
func (v *View) TakeGone() []Expunged {
	if len(v.gone) == 0 {
		return nil
	}
	out := make([]Expunged, 0, len(v.gone))
	for _, uid := range slices.Backward(v.gone) {
		seq, _ := v.Seq(uid)
		out = append(out, Expunged{seq, uid})
	}
	v.remove(v.gone)
	v.gone = nil
	return out
}

// Reported notes that the client was told of all changes of the session's own
// transaction with that mod-sequence, so that no Diff has them again.
func (v *View) Reported(modseq uint64) {
	if modseq == v.modseq+1 {
		v.told(modseq) // no other session changed anything in between
		return
	}
	if v.Knows(modseq) {
		return
	}
	if len(v.own) == maxOwn {
		v.own = slices.Delete(v.own, 0, maxOwn/4)
	}
	i, _ := slices.BinarySearch(v.own, modseq)
	v.own = slices.Insert(v.own, i, modseq)
}

// Removed notes that the session's own transaction with that mod-sequence removed
// messages (ascending): they are gone. It returns false and does nothing when other
// changes lie between ModSeq and the transaction; Update then tells all in order.
func (v *View) Removed(uids []uint32, modseq uint64) bool {
	if modseq != v.modseq+1 {
		return false
	}
	v.addGone(uids)
	v.told(modseq)
	return true
}

// addGone notes messages of the view that no longer exist, and returns those that are
// new among the gone.
func (v *View) addGone(uids []uint32) []uint32 {
	added := slices.Clone(uids)
	slices.Sort(added)
	added = slices.Compact(added)
	added = slices.DeleteFunc(added, func(uid uint32) bool {
		_, ok := v.Seq(uid)
		return !ok || v.Gone(uid)
	})
	if len(added) == 0 {
		return nil
	}
	if len(v.gone) == 0 {
		v.before = v.modseq
	}
	v.gone = append(v.gone, added...)
	slices.Sort(v.gone)
	return added
}

// told says that the client knows all changes up to modseq.
func (v *View) told(modseq uint64) {
	v.modseq = max(v.modseq, modseq)
	v.own = slices.DeleteFunc(v.own, func(m uint64) bool { return m <= v.modseq })
	if len(v.own) == 0 {
		v.own = nil
	}
}

// missing returns those of have that are not in present; both ascend.
func missing(have, present []uint32) (gone []uint32) {
	i := 0
	for _, uid := range have {
		for i < len(present) && present[i] < uid {
			i++
		}
		if i == len(present) || present[i] != uid {
			gone = append(gone, uid)
		}
	}
	return gone
}
