package order

import (
	"encoding/binary"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"
)

// By is what messages are compared by: a sort key of RFC 5256 section 3 or RFC 5957.
type By uint8

const (
	Arrival     By = iota // the internal date
	Cc                    // the mailbox of the first Cc address
	Date                  // the sent date
	DisplayFrom           // the name of the first From address, or else the address
	DisplayTo             // the same of the first To address
	From                  // the mailbox of the first From address
	Size                  // the octets of the message
	Subject               // the base subject
	To                    // the mailbox of the first To address
)

// Criterion is one of the things messages are compared by. Reverse turns only this one around.
type Criterion struct {
	By      By
	Reverse bool
}

var keywords = map[string]By{
	"ARRIVAL": Arrival, "CC": Cc, "DATE": Date, "DISPLAYFROM": DisplayFrom, "DISPLAYTO": DisplayTo,
	"FROM": From, "SIZE": Size, "SUBJECT": Subject, "TO": To,
}

// Parse returns what a keyword of SORT, in upper case, compares by.
func Parse(keyword string) (By, bool) {
	by, ok := keywords[keyword]
	return by, ok
}

// Message is what sorting asks of a message. Fields that no criterion names may be left out. The
// texts are mapped by package casemap; a message without an address has the empty one.
type Message struct {
	Arrival          time.Time
	Sent             time.Time // the Date field, or else the internal date
	Size             int64
	Subject          string // the base subject
	From, To, Cc     string // the local part of the first address
	FromName, ToName string // its name, or else local part and domain
}

// AppendKey appends the key of a message.
func AppendKey(dst []byte, criteria []Criterion, m *Message) []byte {
	for _, c := range criteria {
		start := len(dst)
		dst = c.By.append(dst, m)
		if c.Reverse {
			for i := range dst[start:] {
				dst[start+i] ^= 0xff
			}
		}
	}
	return dst
}

func (by By) append(dst []byte, m *Message) []byte {
	switch by {
	case Arrival:
		return appendInt(dst, m.Arrival.Unix())
	case Date:
		return appendInt(dst, m.Sent.Unix())
	case Size:
		return appendInt(dst, m.Size)
	case Cc:
		return appendText(dst, m.Cc)
	case DisplayFrom:
		return appendText(dst, m.FromName)
	case DisplayTo:
		return appendText(dst, m.ToName)
	case From:
		return appendText(dst, m.From)
	case Subject:
		return appendText(dst, m.Subject)
	}
	return appendText(dst, m.To)
}

// appendInt appends octets that compare as n does.
func appendInt(dst []byte, n int64) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(n)^1<<63)
}

// appendText appends a text in title case, and an end that comes before every character. A NUL in
// the text, which would be taken for the end, is left out.
func appendText(dst []byte, text string) []byte {
	for _, r := range text {
		switch {
		case 'a' <= r && r <= 'z':
			dst = append(dst, byte(r)-'a'+'A')
		case r == 0:
		case r < utf8.RuneSelf:
			dst = append(dst, byte(r))
		default:
			dst = utf8.AppendRune(dst, unicode.ToTitle(r))
		}
	}
	return append(dst, 0)
}

// Sorter gathers messages and puts them into order.
type Sorter struct {
	criteria []Criterion
	entries  []entry
	keys     []byte
}

// entry is a message: its number and where its key is. head is the first octets of the key, which
// decide most comparisons.
type entry struct {
	head   uint64
	at     int
	number uint32
	n      uint32
}

// NewSorter returns a Sorter without messages.
func NewSorter(criteria []Criterion) *Sorter { return &Sorter{criteria: criteria} }

// Add takes in a message. Its number is that of no other message.
func (s *Sorter) Add(number uint32, m *Message) {
	at := len(s.keys)
	s.keys = AppendKey(s.keys, s.criteria, m)
	s.entries = append(s.entries, entry{head(s.keys[at:]), at, number, uint32(len(s.keys) - at)})
}

// Numbers returns the numbers of the messages in the order of the criteria.
func (s *Sorter) Numbers() []uint32 {
	slices.SortFunc(s.entries, func(a, b entry) int { return compareEntries(s.keys, a, b) })
	numbers := make([]uint32, len(s.entries))
	for i, e := range s.entries {
		numbers[i] = e.number
	}
	return numbers
}
