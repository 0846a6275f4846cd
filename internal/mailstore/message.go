package mailstore

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/dedupe"
	"gadwall/internal/contents"
	"gadwall/internal/uidset"
)

// A Message is one entry of a mailbox. Only what the Fields asked for is set; UID always is.
type Message struct {
	UID      uint32
	ModSeq   uint64   // FieldFlags
	Flags    Flags    // FieldFlags
	Keywords []string // FieldFlags

	InternalDate time.Time // FieldInternalDate: RFC 9051 section 2.3.3, UTC, whole seconds
	SaveDate     time.Time // FieldSaveDate: when it came into this mailbox (RFC 8514), UTC, whole seconds

	Size int64 // FieldSize: RFC822.SIZE, prefix and content in octets

	Content contents.ID  // FieldContent
	Magic   dedupe.Magic // FieldContent: that of this message's reference on the content
	Prefix  []byte       // FieldContent: trace lines that come before the content

	// Number is unique and ascending within the user; a copy has the number of its original. Thread
	// is the number of the message with which the thread began. Both are 0 in a message that was
	// stored before there were numbers.
	Number Number // FieldNumber
	Thread Number // FieldThread

	// Submitted is the mod-sequence of the mailbox at which submission put the message there, or found
	// that a client had put it there; 0 in other messages.
	Submitted uint64 // FieldSubmitted
	Origin    Origin // FieldOrigin: how it came into the mailbox

	// Preview is the beginning of what a reader sees (RFC 8970). HasPreview is false in a message
	// that was stored without: then only the content tells.
	Preview    string // FieldPreview
	HasPreview bool   // FieldPreview

	// Envelope and BodyStructure are the parenthesised lists that IMAP sends (RFC 9051 section 7.5.2).
	// They are nil where they are too large to be stored (envelope.MaxWire): package envelope then makes
	// them of the content.
	Envelope      []byte // FieldEnvelope
	BodyStructure []byte // FieldBodyStructure

	// What searches, SORT and THREAD look at, all of it FieldSearch. Texts are as envelope.Text gives
	// them.
	Sent                 time.Time // FieldSent: the instant of the Date field; zero if it has no valid one
	SentDay              time.Time // the day it names in its own time zone, at 0:00 UTC (SENTON and kin)
	Subject, BaseSubject string    // FieldSubject
	From, To, Cc, Bcc    string
	TextsWhole           bool     // Subject, From, To, Cc and Bcc are whole, see DocTextRules
	MessageID, InReplyTo string   // FieldReferences
	References           []string // FieldReferences
	HasAttachments       bool
}

// Fields says what of messages to load.
type Fields uint32

const (
	FieldFlags Fields = 1 << iota // ModSeq, Flags, Keywords
	FieldInternalDate
	FieldSaveDate
	FieldSize
	FieldEnvelope
	FieldBodyStructure
	FieldContent    // Content, Magic, Prefix
	FieldSent       // Sent
	FieldSubject    // Subject, BaseSubject
	FieldReferences // MessageID, InReplyTo, References
	fieldTexts      // the rest of FieldSearch
	FieldNumber
	FieldThread
	FieldPreview
	FieldSubmitted
	FieldOrigin

	// FieldAll loads whole messages.
	FieldAll Fields = 1<<iota - 1

	FieldDates  = FieldInternalDate | FieldSaveDate
	FieldSearch = FieldSent | FieldSubject | FieldReferences | fieldTexts

	// fieldReference is Content and Magic alone.
	fieldReference Fields = 1 << 31
)

// Query says which messages of a mailbox to look at. The zero value is all of them. The conditions
// all apply.
type Query struct {
	// UIDs restricts to these UIDs; nil means no restriction, an empty set that is not nil no message.
	UIDs uidset.Set
	// ModSince restricts to messages with a greater mod-sequence.
	ModSince uint64
	// Filter is a further condition on the fields of message documents (the Doc constants).
	Filter bson.D
	// Limit ends the answer after so many messages; 0 means no limit.
	Limit int
	// Reverse gives descending UIDs.
	Reverse bool
	// Batch is how many documents one answer of the database has, at most; 0 means many. It is for
	// a caller that may soon have enough and cannot say when.
	Batch int32
}

// FlagState is what IMAP says of a message whose flags changed.
type FlagState struct {
	UID      uint32
	ModSeq   uint64
	Flags    Flags
	Keywords []string

	// Of Changes alone.
	Number       Number
	Size         int64
	InternalDate time.Time
}
