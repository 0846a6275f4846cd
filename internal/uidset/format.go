package uidset

import "strconv"

// String writes the set as IMAP does (RFC 3501 section 9, sequence-set): "1,3:5". It is empty for
// the empty set, for which IMAP has no form.
func (s Set) String() string {
	var b []byte
	for i, r := range s {
		b = appendRange(b, r, i == 0)
	}
	return string(b)
}

// Append appends ascending numbers in the form of String, without making a Set of them.
func Append(dst []byte, uids []uint32) []byte {
	for i := 0; i < len(uids); {
		j := i
		for j+1 < len(uids) && uids[j+1]-1 == uids[j] {
			j++
		}
		dst = appendRange(dst, Range{uids[i], uids[j]}, i == 0)
		i = j + 1
	}
	return dst
}

// Format returns what Append appends.
func Format(uids []uint32) string { return string(Append(nil, uids)) }

func appendRange(dst []byte, r Range, first bool) []byte {
	if !first {
		dst = append(dst, ',')
	}
	dst = strconv.AppendUint(dst, uint64(r.First), 10)
	if r.First < r.Last {
		dst = append(dst, ':')
		dst = strconv.AppendUint(dst, uint64(r.Last), 10)
	}
	return dst
}
