package wire

import (
	"cmp"
	"slices"

	"github.com/emersion/go-imap/v2"
)

// SeqSet reads a set of message sequence numbers (RFC 3501 section 9,
// sequence-set). "*" is 0 in the result, as go-imap writes it; ranges are
// sorted and merged, so that the set's methods work.
func (d *Decoder) SeqSet() (imap.SeqSet, error) {
	ranges, err := d.ranges()
	if err != nil {
		return nil, err
	}
	set := make(imap.SeqSet, len(ranges))
	for i, r := range ranges {
		set[i] = imap.SeqRange{Start: r.start, Stop: r.stop}
	}
	return set, nil
}

// UIDSet reads a set of UIDs, as SeqSet does.
func (d *Decoder) UIDSet() (imap.UIDSet, error) {
	ranges, err := d.ranges()
	if err != nil {
		return nil, err
	}
	set := make(imap.UIDSet, len(ranges))
	for i, r := range ranges {
		set[i] = imap.UIDRange{Start: imap.UID(r.start), Stop: imap.UID(r.stop)}
	}
	return set, nil
}

// NumSet reads a UIDSet or a SeqSet, or "$", which is imap.SearchRes (RFC 5182 section 3).
func (d *Decoder) NumSet(uid bool) (imap.NumSet, error) {
	if d.Accept('$') {
		return imap.SearchRes(), nil
	}
	if uid {
		return d.UIDSet()
	}
	return d.SeqSet()
}

// AtNumSet reports whether a number set is next.
func (d *Decoder) AtNumSet() bool {
	c := d.Peek()
	return c == '*' || c == '$' || c >= '0' && c <= '9'
}

// numRange is start <= stop; 0 is "*", which is kept last: {5,0} is 5:*.
type numRange struct{ start, stop uint32 }

func (d *Decoder) ranges() ([]numRange, error) {
	if err := d.ready(); err != nil {
		return nil, err
	}
	var set []numRange
	for {
		r, err := d.numRange()
		if err != nil {
			return nil, err
		}
		if set = append(set, r); len(set) > MaxRanges {
			return nil, tooBig("number set has more than %d ranges", MaxRanges)
		}
		if !d.Accept(',') {
			return mergeRanges(set), nil
		}
	}
}

func (d *Decoder) numRange() (numRange, error) {
	start, err := d.setNumber()
	if err != nil {
		return numRange{}, err
	}
	if !d.Accept(':') {
		return numRange{start, start}, nil
	}
	stop, err := d.setNumber()
	if err != nil {
		return numRange{}, err
	}
	if stop != 0 && (start == 0 || start > stop) {
		start, stop = stop, start
	}
	return numRange{start, stop}, nil
}

func (d *Decoder) setNumber() (uint32, error) {
	if d.Accept('*') {
		return 0, nil
	}
	n, err := d.Number()
	if err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, Errorf("0 is not a message number")
	}
	return n, nil
}

// mergeRanges sorts ranges and joins those that touch. "*" is apart from all
// others, since it is not known what it stands for; it comes last, and goes
// into an n:* when there is one.
func mergeRanges(set []numRange) []numRange {
	slices.SortFunc(set, func(a, b numRange) int {
		if (a.start == 0) != (b.start == 0) { // "*" last
			if a.start == 0 {
				return 1
			}
			return -1
		}
		return cmp.Compare(a.start, b.start)
	})
	out := set[:1]
	for _, r := range set[1:] {
		last := &out[len(out)-1]
		switch {
		case last.stop == 0: // n:* or *: holds all that follow
		case r.start != 0 && (r.start <= last.stop || r.start-1 == last.stop):
			if r.stop == 0 || r.stop > last.stop {
				last.stop = r.stop
			}
		default:
			out = append(out, r)
		}
	}
	return out
}
