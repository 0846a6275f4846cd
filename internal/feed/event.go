package feed

import (
	"strconv"
	"strings"
	"time"

	"gadwall/internal/envelope"
	"gadwall/internal/mailstore"
)

// Kind says what an event tells.
type Kind string

const (
	NewMessage   Kind = "new"      // a message was delivered, appended or copied into Mailbox
	FlagsChanged Kind = "flags"    // a message has other flags
	Moved        Kind = "moved"    // messages went from one mailbox to another
	Expunged     Kind = "expunged" // messages are gone
	Junk         Kind = "junk"     // the user says that messages are junk
	NotJunk      Kind = "not-junk" // the user says that messages are not junk
	Sent         Kind = "sent"     // submission sent the message, and keeps this copy; it follows NewMessage

	MailboxCreated      Kind = "mailbox-created"
	MailboxRenamed      Kind = "mailbox-renamed"
	MailboxChanged      Kind = "mailbox-changed" // it has another special use, or none
	MailboxDeleted      Kind = "mailbox-deleted"
	MailboxSubscribed   Kind = "mailbox-subscribed"
	MailboxUnsubscribed Kind = "mailbox-unsubscribed"

	QuotaReached Kind = "quota" // the usage reached a level
)

// Kinds are all kinds.
var Kinds = []Kind{NewMessage, FlagsChanged, Moved, Expunged, Junk, NotJunk, Sent, MailboxCreated, MailboxRenamed,
	MailboxChanged, MailboxDeleted, MailboxSubscribed, MailboxUnsubscribed, QuotaReached}

// Event is one thing that happened. Its JSON is what applications get.
type Event struct {
	Kind Kind `json:"kind"`
	// Mailbox is where the messages are, or were; or which mailbox was created, and so on.
	Mailbox *Mailbox `json:"mailbox,omitempty"`
	// From says where moved messages were, UIDs where they are now, in the same order. UIDs are also
	// those of expunged messages, of messages that are junk or not, and of those that were sent.
	From *Place   `json:"from,omitempty"`
	UIDs []uint32 `json:"uids,omitempty"`
	// Message is that of NewMessage and FlagsChanged. Messages are those of Moved, Sent, Junk and NotJunk
	// which are still there.
	Message  *Message  `json:"message,omitempty"`
	Messages []Message `json:"messages,omitempty"`
	// Copied: the new message is a copy of one in another mailbox.
	Copied bool `json:"copied,omitempty"`
	// By says what taught Junk and NotJunk: a move, a copy, or a keyword.
	By By `json:"by,omitempty"`
	// Before is the path before MailboxRenamed.
	Before string      `json:"before,omitempty"`
	Quota  *QuotaLevel `json:"quota,omitempty"`

	// Position is that after the event, as a text.
	Position string `json:"-"`
}

// By says how a user told that a message is junk or not.
type By string

const (
	ByMove    By = "move"
	ByCopy    By = "copy"
	ByAppend  By = "append"
	ByKeyword By = "keyword"
)

// Mailbox names a mailbox.
type Mailbox struct {
	ID         string `json:"id,omitempty"` // the MAILBOXID of IMAP; none for a subscription
	Path       string `json:"path,omitempty"`
	SpecialUse string `json:"specialUse,omitempty"`
}

// Place is messages in a mailbox.
type Place struct {
	Mailbox Mailbox  `json:"mailbox"`
	UIDs    []uint32 `json:"uids"`
}

// Message is what an event tells of a message. FlagsChanged tells the first five fields.
type Message struct {
	UID    uint32   `json:"uid"`
	ID     string   `json:"id,omitempty"`     // EMAILID
	Thread string   `json:"thread,omitempty"` // THREADID
	ModSeq uint64   `json:"modseq"`
	Flags  []string `json:"flags"`

	Date      time.Time `json:"date,omitzero"` // of arrival
	Size      int64     `json:"size,omitempty"`
	Subject   string    `json:"subject,omitempty"`
	From      []Address `json:"from,omitempty"`
	MessageID string    `json:"messageId,omitempty"`
	Preview   string    `json:"preview,omitempty"`
	// Source is an address at which the message can be read for a while, without a token. Webhooks
	// have it.
	Source string `json:"source,omitempty"`
}

// Address is a mail address in a header.
type Address struct {
	Name    string `json:"name,omitempty"`
	Address string `json:"address"`
}

// QuotaLevel says which level of which limit was reached.
type QuotaLevel struct {
	Resource string `json:"resource"` // STORAGE or MESSAGE
	Level    int    `json:"level"`    // percent
	Usage    int64  `json:"usage"`    // octets or messages
	Limit    int64  `json:"limit"`
}

// What is loaded of messages, for FlagsChanged and for the other kinds.
const (
	flagFields  = mailstore.FieldFlags | mailstore.FieldNumber | mailstore.FieldThread
	wholeFields = flagFields | mailstore.FieldInternalDate | mailstore.FieldSize | mailstore.FieldEnvelope |
		mailstore.FieldPreview | mailstore.FieldOrigin
)

// shown returns what an event tells of a message of which flagFields were loaded.
func shown(m *mailstore.Message) *Message {
	return &Message{UID: m.UID, ID: m.EmailID(), Thread: m.ThreadID(), ModSeq: m.ModSeq,
		Flags: append(append([]string{}, m.Flags.Names()...), m.Keywords...)}
}

// shownWhole returns what an event tells of a message of which wholeFields were loaded. One whose
// ENVELOPE is too large to be stored has no subject here.
func shownWhole(m *mailstore.Message) *Message {
	s := shown(m)
	s.Date, s.Size, s.Preview = m.InternalDate, m.Size, m.Preview
	if h, ok := envelope.ReadHeader(m.Envelope); ok {
		s.Subject, s.MessageID = h.Subject, h.MessageID
		for _, a := range h.From {
			s.From = append(s.From, Address{a.Name, a.Mail})
		}
	}
	return s
}

// MailboxNumber returns the number of the mailbox that has Message and Messages.
func (e *Event) MailboxNumber() (uint32, bool) {
	if e.Mailbox == nil {
		return 0, false
	}
	digits, found := strings.CutPrefix(e.Mailbox.ID, "F")
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), found && err == nil
}

// mailboxID returns the MAILBOXID (RFC 8474 section 4).
func mailboxID(number uint32) string { return "F" + strconv.FormatUint(uint64(number), 10) }
