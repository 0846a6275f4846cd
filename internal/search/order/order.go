package order

import (
	"cmp"
	"slices"
	"time"
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

// Key is one criterion. Reverse turns only this one around.
type Key struct {
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

// Message is what sorting asks of a message. Fields that no key names may be left out. The
// texts are mapped by package casemap; a message without an address has the empty one.
type Message struct {
	Number           uint32
	Arrival          time.Time
	Sent             time.Time // the Date field, or else the internal date
	Size             int64
	Subject          string // the base subject
	From, To, Cc     string // the local part of the first address
	FromName, ToName string // its name, or else local part and domain
}

// Sort puts messages into the order of the keys.
func Sort(messages []Message, keys []Key) {
	slices.SortFunc(messages, func(a, b Message) int {
		for _, k := range keys {
			c := k.By.compare(&a, &b)
			if k.Reverse {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return cmp.Compare(a.Number, b.Number)
	})
}

func (by By) compare(a, b *Message) int {
	switch by {
	case Arrival:
		return a.Arrival.Compare(b.Arrival)
	case Cc:
		return cmp.Compare(a.Cc, b.Cc)
	case Date:
		return a.Sent.Compare(b.Sent)
	case DisplayFrom:
		return cmp.Compare(a.FromName, b.FromName)
	case DisplayTo:
		return cmp.Compare(a.ToName, b.ToName)
	case From:
		return cmp.Compare(a.From, b.From)
	case Size:
		return cmp.Compare(a.Size, b.Size)
	case Subject:
		return cmp.Compare(a.Subject, b.Subject)
	}
	return cmp.Compare(a.To, b.To)
}
