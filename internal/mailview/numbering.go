package mailview

import (
	"errors"
	"iter"
	"slices"

	"github.com/emersion/go-imap/v2"

	"gadwall/internal/uidset"
)

// Numbering is the messages that a client knows, by sequence number: 1 to Len.
type Numbering struct {
	uids []uint32 // ascending
}

// NewNumbering returns the numbering of a mailbox with these UIDs, which ascend. It keeps them.
func NewNumbering(uids []uint32) Numbering { return Numbering{uids} }

// ErrNoSuchNumber reports a sequence number past the last message. RFC 9051 section 9
// (seq-number) makes it an error of syntax.
var ErrNoSuchNumber = errors.New("no message with this sequence number")

// Len is the number of messages that the client knows: EXISTS.
func (n *Numbering) Len() uint32 { return uint32(len(n.uids)) }

// UID returns the UID of a sequence number, 0 when there is none.
func (n *Numbering) UID(seq uint32) uint32 {
	if seq == 0 || seq > n.Len() {
		return 0
	}
	return n.uids[seq-1]
}

// Seq returns the sequence number of a UID; ok is false for a message that the client
// was not told of, or was told the end of.
func (n *Numbering) Seq(uid uint32) (seq uint32, ok bool) {
	i, ok := slices.BinarySearch(n.uids, uid)
	return uint32(i + 1), ok
}

// Max is the highest UID ("*" in a set of UIDs), 0 when there is no message.
func (n *Numbering) Max() uint32 { return n.UID(n.Len()) }

// Count returns how many messages are in set.
func (n *Numbering) Count(set uidset.Set) int {
	count := 0
	for _, r := range set {
		lo, hi := n.bounds(r)
		count += hi - lo
	}
	return count
}

// All iterates over the messages in set: sequence number and UID, ascending.
func (n *Numbering) All(set uidset.Set) iter.Seq2[uint32, uint32] {
	return func(yield func(seq, uid uint32) bool) {
		for _, r := range set {
			lo, hi := n.bounds(r)
			for i := lo; i < hi; i++ {
				if !yield(uint32(i+1), n.uids[i]) {
					return
				}
			}
		}
	}
}

// Within returns the UIDs of the messages in set, ascending.
func (n *Numbering) Within(set uidset.Set) []uint32 {
	uids := make([]uint32, 0, n.Count(set))
	for _, uid := range n.All(set) {
		uids = append(uids, uid)
	}
	return uids
}

// bounds returns the indexes [lo, hi) of the messages in r.
func (n *Numbering) bounds(r uidset.Range) (lo, hi int) {
	lo, _ = slices.BinarySearch(n.uids, r.First)
	hi, found := slices.BinarySearch(n.uids, r.Last)
	if found {
		hi++
	}
	return lo, max(lo, hi)
}

// Resolve turns a set of the client into a set of UIDs that ends at Max: messages that
// the client was not told of are outside. It fails with ErrNoSuchNumber. A UID that
// does not exist is no error (RFC 9051 section 6.4.9).
func (n *Numbering) Resolve(set imap.NumSet) (uidset.Set, error) {
	if seqs, ok := set.(imap.SeqSet); ok {
		last := n.Len()
		for _, r := range seqs {
			if last == 0 || r.Start > last || r.Stop > last {
				return nil, ErrNoSuchNumber
			}
		}
	}
	return n.Existing(set), nil
}

// Existing is Resolve for a set that may name numbers past the last message: they are
// left out.
func (n *Numbering) Existing(set imap.NumSet) uidset.Set {
	switch set := set.(type) {
	case imap.SeqSet:
		ranges := make([]uidset.Range, 0, len(set))
		for _, r := range set {
			if first, last, ok := clip(r.Start, r.Stop, n.Len()); ok {
				ranges = append(ranges, uidset.Range{First: n.uids[first-1], Last: n.uids[last-1]})
			}
		}
		return uidset.Of(ranges...)
	case imap.UIDSet:
		ranges := make([]uidset.Range, 0, len(set))
		for _, r := range set {
			if first, last, ok := clip(uint32(r.Start), uint32(r.Stop), n.Max()); ok {
				ranges = append(ranges, uidset.Range{First: first, Last: last})
			}
		}
		return uidset.Of(ranges...)
	}
	return uidset.Of()
}

// clip puts in the place of "*" (0) the greatest number, and cuts the range off behind
// it. A range n:* with n past the end is *:n, and holds the greatest number
// (RFC 9051 section 9, seq-range).
func clip(start, stop, greatest uint32) (first, last uint32, ok bool) {
	if start == 0 {
		start = greatest
	}
	if stop == 0 {
		stop = greatest
	}
	first, last = min(start, stop), min(max(start, stop), greatest)
	return first, last, greatest > 0 && first <= last
}

// remove takes UIDs (ascending) out.
func (n *Numbering) remove(uids []uint32) {
	if len(uids) == 0 {
		return
	}
	first, _ := slices.BinarySearch(n.uids, uids[0])
	out := n.uids[:first]
	i := 0
	for _, uid := range n.uids[first:] {
		for i < len(uids) && uids[i] < uid {
			i++
		}
		if i < len(uids) && uids[i] == uid {
			continue
		}
		out = append(out, uid)
	}
	n.uids = out
	if cap(n.uids) > 2*len(n.uids)+1024 {
		n.uids = fitted(n.uids)
	}
}

// fitted returns uids without much unused memory behind it.
func fitted(uids []uint32) []uint32 {
	if cap(uids) > len(uids)+len(uids)/8+64 {
		return slices.Clone(uids)
	}
	return uids
}
