package mailstore

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/contents"
	"gadwall/internal/envelope"
	"gadwall/internal/mailkey"
)

// template is what all messages made of one content have in common. It keeps nothing of the parsed message.
type template struct {
	id     contents.ID
	size   int64
	links  linkIDs
	since  time.Time // of contents.Stored
	fields bson.D    // wire forms and search fields
	bytes  int

	messageID, from string // as the fields have them
}

func newTemplate(stored *contents.Stored) *template {
	t := &template{id: stored.ID, size: stored.Size, since: stored.Since}
	f := envelope.Fields(stored.Root)
	t.links = newLinkIDs(stored.Root, &f)
	t.bytes += t.links.bytes()
	t.add(DocPreview, stored.Preview, len(stored.Preview))
	// What is too large to be stored is made of the content when it is asked for.
	t.binary(DocEnvelope, envelope.Envelope(stored.Root))
	t.binary(DocStructure, envelope.BodyStructure(stored.Root))
	t.time(DocSent, f.Sent)
	t.time(DocSentDay, f.SentDate)
	t.text(DocSubject, f.Subject)
	if f.BaseSubject != f.Subject {
		t.add(DocBaseSubject, strings.Clone(f.BaseSubject), len(f.BaseSubject))
	}
	t.from = t.text(DocFrom, f.From)
	t.text(DocTo, f.To)
	t.text(DocCc, f.Cc)
	t.text(DocBcc, f.Bcc)
	if f.Whole {
		t.add(DocTextRules, int32(TextRules), 4)
	}
	t.messageID = t.text(DocMessageID, f.MessageID)
	t.text(DocInReplyTo, f.InReplyTo)
	if len(f.References) > 0 {
		size := 0
		for i, r := range f.References {
			f.References[i] = strings.Clone(r)
			size += len(r) + 8
		}
		t.add(DocReferences, f.References, size)
	}
	if f.HasAttachments {
		t.add(DocAttachments, true, 1)
	}
	return t
}

func (t *template) add(key string, value any, size int) {
	t.fields = append(t.fields, bson.E{Key: key, Value: value})
	t.bytes += size + 8
}

func (t *template) binary(key string, value []byte) {
	if value != nil {
		t.add(key, bson.Binary{Data: bytes.Clone(value)}, len(value)) // without the room it grew into
	}
}

// text adds a text that is not a piece of a whole header field, and returns it.
func (t *template) text(key, value string) string {
	value = strings.Clone(value)
	if value != "" {
		t.add(key, value, len(value))
	}
	return value
}

func (t *template) time(key string, value time.Time) {
	if !value.IsZero() {
		t.add(key, value, 8)
	}
}

// pending is a message that waits for its UID.
type pending struct {
	template *template
	mailbox  mailkey.Mailbox
	inbox    bool // see Delivery.Inbox
	flags    Flags
	keywords []string
	date     time.Time
	prefix   []byte
	size     int64
	ref      contents.Ref
	once     Once
	lesson   Lesson // see Delivery.Lesson
	bytes    int    // about the size of the document
}

// message checks a delivery of the content.
func (t *template) message(d *Delivery) (*pending, error) {
	if err := checkKeywords(d.Keywords); err != nil {
		return nil, err
	}
	if len(d.Prefix) > MaxPrefixLength {
		return nil, fmt.Errorf("%w: a prefix of %d octets", ErrTooMany, len(d.Prefix))
	}
	p := &pending{
		template: t, mailbox: d.Mailbox, inbox: d.Inbox, flags: d.Flags & AllFlags, keywords: d.Keywords,
		date: d.InternalDate.UTC().Truncate(time.Second), prefix: d.Prefix,
		size: int64(len(d.Prefix)) + t.size,
		ref:  contents.Ref{ID: t.id, Magic: d.Magic},
		once: d.Once, lesson: d.Lesson,
	}
	if d.InternalDate.IsZero() {
		p.date = now()
	}
	const others = 200
	p.bytes = t.bytes + len(p.prefix) + others
	for _, k := range p.keywords {
		p.bytes += len(k) + 8
	}
	return p, nil
}

// document is the message as it is stored.
func (p *pending) document(
	key mailkey.Message, place threadPlace, modseq int64, keywords []string, saved time.Time,
) bson.D {
	doc := make(bson.D, 0, 19+len(p.template.fields))
	doc = append(doc,
		bson.E{Key: DocID, Value: key.Binary()},
		bson.E{Key: DocMailbox, Value: key.Mailbox().Binary()},
		bson.E{Key: DocModSeq, Value: modseq})
	doc = appendFlags(doc, p.flags, keywords)
	doc = append(doc,
		bson.E{Key: DocInternalDate, Value: p.date},
		bson.E{Key: DocSaveDate, Value: saved},
		bson.E{Key: DocNumber, Value: int64(place.number)},
		bson.E{Key: DocThread, Value: int64(place.thread)},
		bson.E{Key: DocLinks, Value: p.template.links.stored(key.Mailbox().User())},
		bson.E{Key: DocSize, Value: p.size},
		bson.E{Key: DocContent, Value: bson.Binary{Data: p.ref.ID[:]}},
		bson.E{Key: DocMagic, Value: int64(p.ref.Magic)})
	switch {
	case p.once == Submitted:
		doc = append(doc, bson.E{Key: DocSubmitted, Value: modseq},
			bson.E{Key: DocOrigin, Value: int64(newOrigin(Sent, NoLesson, modseq))})
	case p.lesson != NoLesson:
		doc = append(doc, bson.E{Key: DocOrigin, Value: int64(newOrigin(Stored, p.lesson, modseq))})
	}
	if len(p.prefix) > 0 {
		doc = append(doc, bson.E{Key: DocPrefix, Value: bson.Binary{Data: p.prefix}})
	}
	return append(doc, p.template.fields...)
}

// appendFlags appends the fields for flags, with their markers.
func appendFlags(doc bson.D, flags Flags, keywords []string) bson.D {
	doc = append(doc, bson.E{Key: DocFlags, Value: int32(flags)})
	if len(keywords) > 0 {
		doc = append(doc, bson.E{Key: DocKeywords, Value: keywords})
	}
	if flags&Seen == 0 {
		doc = append(doc, bson.E{Key: DocUnseen, Value: true})
	}
	if flags&Deleted != 0 {
		doc = append(doc, bson.E{Key: DocDeleted, Value: true})
	}
	return doc
}
