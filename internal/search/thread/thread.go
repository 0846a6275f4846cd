package thread

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strconv"
	"time"
)

// Message is what threading asks of a message.
type Message struct {
	// Number is what the threads name the message by. It is not 0, and in the order of
	// the mailbox.
	Number uint32
	// Sent is the sent date (RFC 5256 section 2.2): the Date field, or else the internal
	// date.
	Sent time.Time
	// Subject is the base subject; Reply says that the subject has a mark of a reply or
	// forward.
	Subject Name
	Reply   bool
	// ID is the message's identifier; 0 if there is none.
	ID Name
	// References are the identifiers of the References field, or if it has none the first
	// of the In-Reply-To field.
	References []Name
}

// Name stands for a text that threads are made by: equal texts have the same. 0 stands for the
// empty text. All others are small numbers.
type Name uint32

// Names gives names to texts. It needs 16 octets of each, whatever their length, and takes two
// texts for the same only if a keyed hash of 128 bits is.
type Names struct {
	seeds [2]maphash.Seed
	known map[[2]uint64]Name
}

// NewNames returns Names that know no text.
func NewNames() *Names {
	return &Names{
		seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, known: make(map[[2]uint64]Name),
	}
}

// Of returns the name of a text.
func (n *Names) Of(text string) Name {
	if text == "" {
		return 0
	}
	key := [2]uint64{maphash.String(n.seeds[0], text), maphash.String(n.seeds[1], text)}
	name, ok := n.known[key]
	if !ok {
		name = Name(len(n.known) + 1)
		n.known[key] = name
	}
	return name
}

// Node is a message with those that are below it, or a placeholder.
type Node struct {
	Number   uint32 // 0 for a placeholder
	Children []*Node
}

// Algorithm is how threads are made of messages.
type Algorithm uint8

const (
	OrderedSubject Algorithm = iota // BySubject
	References                      // ByReferences
	Refs                            // ByReferencesAlone
)

var keywords = map[string]Algorithm{
	"ORDEREDSUBJECT": OrderedSubject, "REFERENCES": References, "REFS": Refs,
}

// Parse returns the algorithm that a keyword of THREAD, in upper case, names.
func Parse(keyword string) (Algorithm, bool) {
	a, ok := keywords[keyword]
	return a, ok
}

// Threads makes threads of messages, which come in the order of their numbers.
func (a Algorithm) Threads(messages []Message) []*Node {
	switch a {
	case OrderedSubject:
		return BySubject(messages)
	case Refs:
		return ByReferencesAlone(messages)
	}
	return ByReferences(messages)
}

// BySubject makes threads of messages with the same base subject: ORDEREDSUBJECT
// (RFC 5256 section 3). The earliest is at the top, all others are its children. The
// messages come in the order of their numbers.
func BySubject(messages []Message) []*Node {
	sorted := make([]*Message, len(messages))
	for i := range messages {
		sorted[i] = &messages[i]
	}
	slices.SortStableFunc(sorted, func(a, b *Message) int { return a.Sent.Compare(b.Sent) })
	var threads []*Node
	tops := make(map[Name]*Node)
	for _, m := range sorted {
		n := &Node{Number: m.Number}
		if top := tops[m.Subject]; top != nil {
			top.Children = append(top.Children, n)
			continue
		}
		tops[m.Subject] = n
		threads = append(threads, n)
	}
	return threads
}

// Append appends threads in the form of the THREAD response (RFC 5256 section 4):
// "(2)(3 6 (4 23)(44 7 96))".
func Append(dst []byte, threads []*Node) []byte {
	// What is still to be written, the next one last: nodes, or nil for a parenthesis that
	// closes. Threads may be deep.
	todo := make([]*Node, 0, len(threads))
	push := func(nodes []*Node) {
		for _, n := range slices.Backward(nodes) {
			todo = append(todo, nil, n)
		}
	}
	push(threads)
	for len(todo) > 0 {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if n == nil {
			dst = append(dst, ')')
			continue
		}
		dst = append(dst, '(')
		first := true
		for {
			if n.Number != 0 {
				if !first {
					dst = append(dst, ' ')
				}
				dst = strconv.AppendUint(dst, uint64(n.Number), 10)
				first = false
			}
			if len(n.Children) != 1 {
				break
			}
			n = n.Children[0]
		}
		if len(n.Children) > 0 && !first {
			dst = append(dst, ' ')
		}
		push(n.Children)
	}
	return dst
}

// byDate compares nodes of the algorithm by date and number.
func byDate(a, b *node) int {
	if c := a.date().Compare(b.date()); c != 0 {
		return c
	}
	return cmp.Compare(a.number(), b.number())
}
