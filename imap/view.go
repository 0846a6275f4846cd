package imap

import (
	"slices"
	"time"

	"github.com/emersion/go-imap/v2"

	"gadwall/imap/wire"
	"gadwall/internal/account"
	"gadwall/internal/uidset"
)

// selected is the mailbox that SELECT or EXAMINE opened.
type selected struct {
	box      *account.Mailbox
	view     view
	keywords []string  // keywords announced by FLAGS
	stale    bool      // there are changes the view does not have
	synced   time.Time // when the view was last compared with the database
}

// view is a mailbox as the client knows it: 4 bytes for each message.
type view struct {
	uids   []uint32 // by sequence number, ascending; holds gone messages too
	gone   []uint32 // expunged, but the client was not told yet; ascending
	next   uint32   // greater than every UID that was ever in the view
	modseq uint64   // changes up to here are told, or in gone
	own    []uint64 // greater mod-sequences whose changes the client was told of
}

// Len is the number of messages the client knows of: EXISTS.
func (v *view) Len() uint32 { return uint32(len(v.uids)) }

// UID returns the UID of a sequence number, 0 when there is none.
func (v *view) UID(seq uint32) uint32 {
	if seq == 0 || seq > v.Len() {
		return 0
	}
	return v.uids[seq-1]
}

// Seq returns the sequence number of a UID; ok is false for messages that the
// client was not told of (yet).
func (v *view) Seq(uid uint32) (seq uint32, ok bool) {
	i, ok := slices.BinarySearch(v.uids, uid)
	return uint32(i + 1), ok
}

// Max is the highest UID of the view ("*" in a UID set), 0 when it is empty.
func (v *view) Max() uint32 {
	if len(v.uids) == 0 {
		return 0
	}
	return v.uids[len(v.uids)-1]
}

// Gone reports whether the message was expunged without the client having been told.
func (v *view) Gone(uid uint32) bool {
	_, ok := slices.BinarySearch(v.gone, uid)
	return ok
}

// Count returns how many messages of the view are in set.
func (v *view) Count(set uidset.Set) int {
	n := 0
	for _, r := range set {
		lo, hi := v.bounds(r)
		n += hi - lo
	}
	return n
}

// bounds returns the indexes [lo, hi) of the messages in r.
func (v *view) bounds(r uidset.Range) (lo, hi int) {
	lo, _ = slices.BinarySearch(v.uids, r.First)
	hi, found := slices.BinarySearch(v.uids, r.Last)
	if found {
		hi++
	}
	return lo, max(lo, hi)
}

// Resolve turns a set from the client into a set of UIDs that ends at Max:
// messages that the client was not told of are outside.
//
// A sequence number past the last message is a syntax error
// (RFC 9051 section 9, seq-number); a UID that does not exist is not (RFC 9051 section 6.4.9).
func (v *view) Resolve(set imap.NumSet) (uidset.Set, error) {
	switch set := set.(type) {
	case imap.SeqSet:
		return v.resolveSeqs(set)
	case imap.UIDSet:
		return v.resolveUIDs(set), nil
	}
	return nil, wire.Errorf("not a message set")
}

func (v *view) resolveSeqs(set imap.SeqSet) (uidset.Set, error) {
	ranges := make([]uidset.Range, 0, len(set))
	last := v.Len()
	for _, r := range set {
		first, stop := r.Start, r.Stop
		if first == 0 {
			first = last
		}
		if stop == 0 {
			stop = last
		}
		if last == 0 || first > last || stop > last {
			return nil, wire.Errorf("no message with this sequence number")
		}
		ranges = append(ranges, uidset.Range{First: v.uids[first-1], Last: v.uids[stop-1]})
	}
	return uidset.Of(ranges...), nil
}

func (v *view) resolveUIDs(set imap.UIDSet) uidset.Set {
	ranges := make([]uidset.Range, 0, len(set))
	top := v.Max()
	if top == 0 {
		return uidset.Of()
	}
	for _, r := range set {
		first, stop := uint32(r.Start), uint32(r.Stop)
		if first == 0 {
			first = top
		}
		if stop == 0 {
			stop = top
		}
		if first > stop { // n:* with n past the end is *:n and holds the last message
			first, stop = stop, first
		}
		if first > top {
			continue
		}
		ranges = append(ranges, uidset.Range{First: first, Last: min(stop, top)})
	}
	return uidset.Of(ranges...)
}

// reported notes that the client knows of all changes of this session's own
// transaction with that mod-sequence (its untagged FETCH was written, or
// .SILENT said not to), so that sync does not send them again.
func (v *view) reported(modseq uint64) {
	if modseq == v.modseq+1 {
		v.modseq = modseq // nothing else happened in between
		return
	}
	if modseq > v.modseq && !slices.Contains(v.own, modseq) {
		v.own = append(v.own, modseq)
	}
}
