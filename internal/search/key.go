package search

import (
	"fmt"
	"strings"
	"time"

	"gadwall/internal/casemap"
	"gadwall/internal/mailstore"
	"gadwall/internal/uidset"
)

// op says what a Key compares.
type op uint8

const (
	opAnd op = iota // all of kids; without kids: every message
	opOr            // any of kids; without kids: no message
	opNot           // not kids[0]

	opUIDs     // UID in uids
	opFlag     // system flag set
	opKeyword  // keyword set
	opInternal // internal date in [from, to)
	opSaved    // save date in [from, to)
	opSent     // day of the Date field in [from, to)
	opSize     // size in [min, max]
	opModSeq   // mod-sequence at least min
	opNumber   // number min
	opThread   // thread min
	opAttached // has attachments
	opBlank    // what Fill puts in its place; number is in min
	opField    // text in one of the fields that are stored with the message
	opHeader   // text in a header field called name
	opBody     // text in the text parts
	opText     // text in any header or in the text parts
)

// Key is a node of a search: one condition on a message, or a combination of
// others. Its constructors are those of RFC 3501 section 6.4.4 that cannot be
// said by others: SEEN is a flag, NEW is Any of nothing (there is no \Recent),
// BEFORE and SINCE are date ranges with one end. A Key does not change; it may
// stand in several trees.
type Key struct {
	op   op
	kids []*Key

	uids     uidset.Set
	flag     mailstore.Flags
	name     string    // keyword; header field, lower case
	text     string    // normalised
	from, to time.Time // zero: open
	min, max int64     // sizes; mod-sequence
	field    storedField
}

// All matches messages that all keys match; without keys, every message.
func All(keys ...*Key) *Key { return &Key{op: opAnd, kids: keys} }

// Any matches messages that one of the keys matches; without keys, none.
func Any(keys ...*Key) *Key { return &Key{op: opOr, kids: keys} }

// Not matches the messages that k does not match.
func Not(k *Key) *Key { return &Key{op: opNot, kids: []*Key{k}} }

// UIDs matches the messages with a UID in set.
func UIDs(set uidset.Set) *Key { return &Key{op: opUIDs, uids: set} }

// Flag matches the messages that have the one system flag.
func Flag(f mailstore.Flags) *Key { return &Key{op: opFlag, flag: f} }

// Keyword matches the messages that have the keyword, in any case of letters.
func Keyword(name string) *Key {
	if len(name) > mailstore.MaxKeywordLength { // no message has it
		return Any()
	}
	return &Key{op: opKeyword, name: name}
}

// Internal matches the messages whose internal date is in [from, to). A zero
// time leaves that end open.
func Internal(from, to time.Time) *Key { return &Key{op: opInternal, from: from, to: to} }

// Saved matches the messages that came into their mailbox in [from, to). A zero time leaves that
// end open.
func Saved(from, to time.Time) *Key { return &Key{op: opSaved, from: from, to: to} }

// Sent matches the messages whose Date field names a day in [from, to), both
// at 0:00 UTC. A zero time leaves that end open.
func Sent(from, to time.Time) *Key { return &Key{op: opSent, from: from, to: to} }

// Larger matches the messages of more than n octets.
func Larger(n int64) *Key {
	if n == maxSize {
		return Any()
	}
	return &Key{op: opSize, min: n + 1, max: maxSize}
}

// Smaller matches the messages of less than n octets.
func Smaller(n int64) *Key {
	if n == 0 {
		return Any()
	}
	return &Key{op: opSize, max: n - 1}
}

// maxSize is larger than any message.
const maxSize = 1<<63 - 1

// ModSeq matches the messages with a mod-sequence of at least n.
func ModSeq(n int64) *Key { return &Key{op: opModSeq, min: n} }

// Number matches the messages that have the number.
func Number(n mailstore.Number) *Key { return &Key{op: opNumber, min: int64(n)} }

// Thread matches the messages of the thread that began with the message of that number.
func Thread(n mailstore.Number) *Key { return &Key{op: opThread, min: int64(n)} }

// Attached matches messages of which a reader would list attachments.
func Attached() *Key { return &Key{op: opAttached} }

// Body matches the messages that have text in one of their text parts.
func Body(text string) *Key { return content(opBody, text) }

// Text matches the messages that have text in a header or in a text part.
func Text(text string) *Key { return content(opText, text) }

func content(op op, text string) *Key {
	if text = casemap.String(text); text == "" {
		return All() // every text holds it
	}
	return &Key{op: op, text: text}
}

// Header matches the messages that have a header field called name with text
// in its value. Without text, any field of that name will do.
func Header(name, text string) *Key {
	k := &Key{op: opHeader, name: strings.ToLower(name), text: collapseSpace(casemap.String(text))}
	// That a field is there, whatever it says, only the header itself tells.
	if field, ok := storedFields[k.name]; ok && k.text != "" {
		k.op, k.field = opField, field
	}
	return k
}

// Blank stands for a key that is not known yet: that of a set of numbers, which means other messages
// in another mailbox. It has to be filled before Compile. i tells blanks apart.
func Blank(i int) *Key { return &Key{op: opBlank, min: int64(i)} }

// Fill returns the tree with each Blank(i) replaced by key(i).
func (k *Key) Fill(key func(i int) *Key) *Key {
	switch k.op {
	case opBlank:
		return key(int(k.min))
	case opAnd, opOr, opNot:
		filled := &Key{op: k.op, kids: make([]*Key, len(k.kids))}
		for i, kid := range k.kids {
			filled.kids[i] = kid.Fill(key)
		}
		return filled
	}
	return k
}

// WithSeen returns the tree for a user who has seen these messages: \Seen means them, whatever flags
// the messages have.
func (k *Key) WithSeen(seen uidset.Set) *Key {
	switch {
	case k.op == opFlag && k.flag == mailstore.Seen:
		return UIDs(seen)
	case k.op == opAnd, k.op == opOr, k.op == opNot:
		of := &Key{op: k.op, kids: make([]*Key, len(k.kids))}
		for i, kid := range k.kids {
			of.kids[i] = kid.WithSeen(seen)
		}
		return of
	}
	return k
}

// collapseSpace makes each run of white space one space. Header fields are
// compared so, since they may be folded anywhere.
func collapseSpace(s string) string {
	isSpace := func(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }
	var b []byte
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case !isSpace(c):
			b = append(b, c)
		case i == 0 || !isSpace(s[i-1]):
			b = append(b, ' ')
		}
	}
	return string(b)
}

// storedField is a header field whose text is in the message's document.
type storedField struct {
	doc   string                          // its name there
	value func(*mailstore.Message) string // its text in a loaded message
}

// storedFields maps header fields (lower case) to what is stored of them.
var storedFields = map[string]storedField{
	"from":    {mailstore.DocFrom, func(m *mailstore.Message) string { return m.From }},
	"to":      {mailstore.DocTo, func(m *mailstore.Message) string { return m.To }},
	"cc":      {mailstore.DocCc, func(m *mailstore.Message) string { return m.Cc }},
	"bcc":     {mailstore.DocBcc, func(m *mailstore.Message) string { return m.Bcc }},
	"subject": {mailstore.DocSubject, func(m *mailstore.Message) string { return m.Subject }},
}

// everything and nothing are the two constants.
func (k *Key) everything() bool { return k.op == opAnd && len(k.kids) == 0 }
func (k *Key) nothing() bool    { return k.op == opOr && len(k.kids) == 0 }

// simplify returns an equal tree in which NOT stands only before leaves, no
// AND is within an AND and no OR within an OR, and constants are gone unless
// the whole is one. negate asks for the opposite.
func (k *Key) simplify(negate bool) *Key {
	switch k.op {
	case opNot:
		return k.kids[0].simplify(!negate)
	case opAnd, opOr:
		op := k.op
		if negate { // De Morgan
			op = opAnd + opOr - op
		}
		return join(op, k.kids, negate)
	}
	if k.op == opUIDs && len(k.uids) == 0 {
		if negate {
			return All()
		}
		return Any()
	}
	if negate {
		return Not(k)
	}
	return k
}

// join makes an AND or OR of the simplified kids.
func join(op op, kids []*Key, negate bool) *Key {
	out := &Key{op: op}
	for _, kid := range kids {
		kid = kid.simplify(negate)
		switch {
		case kid.op == op: // includes the constant that changes nothing
			out.kids = append(out.kids, kid.kids...)
		case op == opAnd && kid.nothing(), op == opOr && kid.everything():
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

// String writes the tree in one canonical form, for logs and tests.
func (k *Key) String() string {
	kids := make([]string, len(k.kids))
	for i, kid := range k.kids {
		kids[i] = kid.String()
	}
	list := strings.Join(kids, " ")
	switch k.op {
	case opAnd:
		return "(all " + list + ")"
	case opOr:
		return "(any " + list + ")"
	case opNot:
		return "(not " + list + ")"
	case opUIDs:
		return "uid=" + k.uids.String()
	case opFlag:
		return k.flag.String()
	case opKeyword:
		return "keyword=" + k.name
	case opInternal:
		return fmt.Sprintf("internal[%s,%s)", timeString(k.from), timeString(k.to))
	case opSaved:
		return fmt.Sprintf("saved[%s,%s)", timeString(k.from), timeString(k.to))
	case opSent:
		return fmt.Sprintf("sent[%s,%s)", timeString(k.from), timeString(k.to))
	case opSize:
		return fmt.Sprintf("size[%d,%d]", k.min, k.max)
	case opModSeq:
		return fmt.Sprintf("modseq>=%d", k.min)
	case opNumber:
		return fmt.Sprintf("number=%d", k.min)
	case opThread:
		return fmt.Sprintf("thread=%d", k.min)
	case opAttached:
		return "attached"
	case opBlank:
		return fmt.Sprintf("blank=%d", k.min)
	case opField, opHeader:
		return fmt.Sprintf("%s=%q", k.name, k.text)
	case opBody:
		return fmt.Sprintf("body=%q", k.text)
	}
	return fmt.Sprintf("text=%q", k.text)
}

func timeString(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return strings.TrimSuffix(t.Format(time.RFC3339), "T00:00:00Z")
}
