package imap

import (
	"math"

	"github.com/emersion/go-imap/v2"

	"gadwall/internal/mailview"
	"gadwall/internal/uidset"
)

// searchableIn returns the UIDs that a set means in a search of a mailbox with this numbering. "*"
// is the last message that has a number now.
func searchableIn(n *mailview.Numbering, set imap.NumSet) uidset.Set {
	uids, ok := set.(imap.UIDSet)
	if !ok {
		return n.Existing(set)
	}
	var ranges []uidset.Range
	for _, r := range uids {
		first, last := uint32(r.Start), uint32(r.Stop)
		switch {
		case first == 0: // "*"
			first, last = n.Max(), n.Max()
		case last == 0: // n:* holds the last message whatever n is (RFC 9051 section 9, seq-range)
			ranges = append(ranges, uidset.Range{First: n.Max(), Last: n.Max()})
			last = math.MaxUint32
		}
		ranges = append(ranges, uidset.Range{First: first, Last: last})
	}
	return uidset.Of(ranges...)
}
