package imap

import (
	"time"
	"unicode/utf8"

	"gadwall/internal/mailstore"
	"gadwall/internal/uidset"
)

// searchOp says what a searchKey compares.
type searchOp uint8

const (
	searchAnd searchOp = iota // all of kids; without kids: every message
	searchOr                  // any of kids; without kids: no message
	searchNot                 // not kids[0]

	searchUIDs     // UID in uids
	searchFlag     // system flag set
	searchKeyword  // keyword set
	searchInternal // internal date in [from, to)
	searchSent     // day of the Date field in [from, to)
	searchSize     // size in [min, max]
	searchModSeq   // mod-sequence at least min
	searchField    // text in one of the fields that are stored with the message
	searchHeader   // text in a header field called name
	searchBody     // text in the text parts
	searchText     // text in any header or in the text parts
)

// searchKey is a node of a search: of RFC 3501's keys those that cannot be
// said by others. SEEN is a flag, NEW is OR of nothing (there is no \Recent),
// BEFORE and SINCE are date ranges with one end.
type searchKey struct {
	op   searchOp
	kids []*searchKey

	uids     uidset.Set
	flag     mailstore.Flags
	name     string    // keyword; header field, lower case
	text     string    // normalised
	from, to time.Time // zero: open
	min, max int64     // sizes; mod-sequence
	field    storedField
}

// storedField is a header field whose normalised text is in the message's
// document.
type storedField struct {
	doc   string                          // its name there
	value func(*mailstore.Message) string // its value in a loaded message
	limit int                             // octets after which it is cut
}

// mayBeCut is the number of characters from which on a field may have been cut.
func (f storedField) mayBeCut() int { return f.limit/utf8.UTFMax - 1 }

// storedFields maps header fields (lower case) to what is stored of them.
var storedFields = map[string]storedField{
	"from":    {mailstore.DocFrom, func(m *mailstore.Message) string { return m.From }, storedAddresses},
	"to":      {mailstore.DocTo, func(m *mailstore.Message) string { return m.To }, storedAddresses},
	"cc":      {mailstore.DocCc, func(m *mailstore.Message) string { return m.Cc }, storedAddresses},
	"bcc":     {mailstore.DocBcc, func(m *mailstore.Message) string { return m.Bcc }, storedAddresses},
	"subject": {mailstore.DocSubject, func(m *mailstore.Message) string { return m.Subject }, storedSubject},
}

func allOf(kids ...*searchKey) *searchKey { return &searchKey{op: searchAnd, kids: kids} }
func anyOf(kids ...*searchKey) *searchKey { return &searchKey{op: searchOr, kids: kids} }
func not(k *searchKey) *searchKey         { return &searchKey{op: searchNot, kids: []*searchKey{k}} }

// everything and nothing are the two constants.
func (k *searchKey) everything() bool { return k.op == searchAnd && len(k.kids) == 0 }
func (k *searchKey) nothing() bool    { return k.op == searchOr && len(k.kids) == 0 }

// simplify returns an equal tree in which NOT stands only before leaves, no
// AND is within an AND and no OR within an OR, and constants are gone unless
// the whole is one. negate asks for the opposite.
func (k *searchKey) simplify(negate bool) *searchKey {
	switch k.op {
	case searchNot:
		return k.kids[0].simplify(!negate)
	case searchAnd, searchOr:
		op := k.op
		if negate { // De Morgan
			op = searchAnd + searchOr - op
		}
		return join(op, k.kids, negate)
	}
	if k.op == searchUIDs && len(k.uids) == 0 {
		if negate {
			return allOf()
		}
		return anyOf()
	}
	if negate {
		return not(k)
	}
	return k
}

// join makes an AND or OR of the simplified kids.
func join(op searchOp, kids []*searchKey, negate bool) *searchKey {
	out := &searchKey{op: op}
	for _, kid := range kids {
		kid = kid.simplify(negate)
		switch {
		case kid.op == op: // includes the constant that changes nothing
			out.kids = append(out.kids, kid.kids...)
		case op == searchAnd && kid.nothing(), op == searchOr && kid.everything():
			return kid
		default:
			out.kids = append(out.kids, kid)
		}
	}
	if len(out.kids) == 1 {
		return out.kids[0]
	}
	return out
}

// walk calls f for all nodes.
func (k *searchKey) walk(f func(*searchKey)) {
	f(k)
	for _, kid := range k.kids {
		kid.walk(f)
	}
}
