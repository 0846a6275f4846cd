package mailstore

import (
	"gadwall/internal/events"
)

// An Origin says how a message came into its mailbox. The zero Origin is that of messages that were
// delivered or appended, and of those that came in before there were origins.
type Origin int64

// Arrival is the way in which a message came into its mailbox.
type Arrival uint8

const (
	// Stored messages were delivered or appended.
	Stored Arrival = 0
	// Moved messages came from another mailbox, whose journal says so.
	Moved Arrival = 1
	// Copied messages are copies of others.
	Copied Arrival = 2
	// Sent messages are what submission keeps of mail that it sent.
	Sent Arrival = 3
)

// A Lesson is what a spam filter can learn, or else what a journal entry says of messages that stay. It
// is stored as it is.
type Lesson int32

const (
	NoLesson Lesson = 0
	Junk     Lesson = 1
	NotJunk  Lesson = 2
	// WasSent teaches nothing: submission sent a message that a client had put into the mailbox.
	WasSent Lesson = 3
)

// The keywords that teach (registered by RFC 9051 section 2.3.2).
const (
	keywordJunk    = "$Junk"
	keywordNotJunk = "$NotJunk"
)

const useJunk = `\Junk`

// keyword is the keyword that teaches the lesson.
func (l Lesson) keyword() string {
	if l == Junk {
		return keywordJunk
	}
	return keywordNotJunk
}

// event is the kind of the event that tells the lesson.
func (l Lesson) event() (events.Kind, bool) {
	switch l {
	case Junk:
		return events.Junk, true
	case NotJunk:
		return events.Ham, true
	}
	return 0, false
}

// lesson is what those messages teach to which the change adds a keyword.
func (c *FlagChange) lesson() Lesson {
	if c.Op == Remove || c.Op == Set && c.KeepKeywords {
		return NoLesson
	}
	return lessonOf(c.Keywords)
}

// AppendLesson is what a message teaches that a client saves in a mailbox with these keywords. What a
// client saves in the mailbox of use \Junk is junk, unless a keyword says something else.
func AppendLesson(specialUse string, keywords []string) Lesson {
	if l := lessonOf(keywords); l != NoLesson || specialUse != useJunk {
		return l
	}
	return Junk
}

// lessonOf is what keywords teach.
func lessonOf(keywords []string) Lesson {
	junk, not := FindKeyword(keywords, keywordJunk) >= 0, FindKeyword(keywords, keywordNotJunk) >= 0
	switch {
	case junk && !not:
		return Junk
	case not && !junk:
		return NotJunk
	}
	return NoLesson
}

// An origin is stored as mod-sequence of the arrival | lesson (2 bits) | arrival (2 bits).
const (
	originBits = 2
	originMask = 1<<originBits - 1
)

func newOrigin(a Arrival, l Lesson, modseq int64) Origin {
	return Origin(modseq<<(2*originBits) | int64(l)<<originBits | int64(a))
}

// Arrival is how the message came.
func (o Origin) Arrival() Arrival { return Arrival(o & originMask) }

// Lesson is what the arrival of a copy, or of what a client saved, teaches.
func (o Origin) Lesson() Lesson { return Lesson(o >> originBits & originMask) }

// ModSeq is the mod-sequence that the message had when it came; 0 if the Origin does not say.
func (o Origin) ModSeq() uint64 { return uint64(o >> (2 * originBits)) }
