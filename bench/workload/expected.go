package workload

import (
	"crypto/sha256"
	"slices"
	"strconv"
	"strings"
	"time"

	"gadwall/mimestream"
)

// expected is what answers about a message of a folder must have.
type expected struct {
	flags      string            // sorted
	messageID  string            // empty if the mail has none
	fields     [sha256.Size]byte // hash of the answer to headerItem
	references []string          // message IDs
	sent       time.Time         // zero if it is not known
	day        time.Time         // of the Date field, in its own zone; zero if it has none
	subtype    string            // of the whole message, lower case
	leaves     []leaf            // in the order of BODYSTRUCTURE
}

// leaf is a part with a body of its own.
type leaf struct {
	section string
	offset  int64
	size    int64
}

// headerFields are those that mail programs ask for to show a list of messages.
var headerFields = []string{"date", "subject", "from", "to", "cc", "message-id", "references",
	"in-reply-to", "content-type", "reply-to"}

// headerItem asks for headerFields.
var headerItem = "BODY.PEEK[HEADER.FIELDS (" + strings.ToUpper(strings.Join(headerFields, " ")) + ")]"

// expect works out what is to be expected of message n of a folder.
func expect(n int, raw []byte) expected {
	e := expected{flags: flagsOf(n)}
	root := mimestream.Parse(raw)
	e.messageID, _ = root.Header.Get("message-id")
	e.messageID = strings.TrimSpace(e.messageID)
	e.references, e.sent = references(root.Header), sent(root.Header)
	e.day = sentDay(root.Header)
	e.subtype = root.Subtype
	e.fields = sha256.Sum256([]byte(selectFields(string(raw[:root.HeaderSize]), headerFields)))
	root.Walk(func(p *mimestream.Part) bool {
		if p.Kind == mimestream.Leaf {
			e.leaves = append(e.leaves, leaf{section(p), p.BodyOffset, p.BodySize})
		}
		return true
	})
	return e
}

// section is the number of a leaf (RFC 3501 section 6.4.5): the body of a message is its part 1.
func section(p *mimestream.Part) string {
	var numbers []string
	for _, n := range p.Path {
		numbers = append(numbers, strconv.Itoa(n))
	}
	if p.IsMessage() {
		numbers = append(numbers, "1")
	}
	return strings.Join(numbers, ".")
}

// flagsOf are the flags with which message n is stored.
func flagsOf(n int) string {
	var flags []string
	if n%answeredEvery == 0 {
		flags = append(flags, `\Answered`)
	}
	if n%unseenEvery != 0 {
		flags = append(flags, `\Seen`)
	}
	return strings.Join(flags, " ")
}

// arrivalDay is the first one of the internal dates of a folder's messages.
var arrivalDay = time.Date(2020, 1, 1, 12, 0, 0, 0, time.UTC)

// arrival is the internal date of message n of a folder: at noon, so that it is the same day in most
// zones, of a day that is later for later messages.
func arrival(n, messages int) time.Time { return arrivalDay.AddDate(0, 0, n*arrivalDays/messages) }

// unseen are the sequence numbers of the messages of a folder that are not seen.
func unseen(messages int) (seqs []int) {
	for n := 0; n < messages; n += unseenEvery {
		seqs = append(seqs, n+1)
	}
	return seqs
}

// selectFields returns the lines of the named (lower case) fields of a header, in their order, and
// the empty line, as the answer to HEADER.FIELDS has them.
func selectFields(header string, names []string) string {
	var b strings.Builder
	take := false
	for line := range strings.Lines(header) {
		if line == "\r\n" {
			break
		}
		if line[0] != ' ' && line[0] != '\t' {
			name, ok := mimestream.FieldName([]byte(line))
			take = ok && slices.Contains(names, strings.ToLower(string(name)))
		}
		if take {
			b.WriteString(line)
		}
	}
	return b.String() + "\r\n"
}
