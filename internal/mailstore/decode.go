package mailstore

import (
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"gadwall/dedupe"
	"gadwall/internal/contents"
	"gadwall/internal/mailkey"
)

// fieldsOf says which fields of the document belong to which of the Fields.
var fieldsOf = []struct {
	field Fields
	names []string
}{
	{FieldFlags, []string{DocModSeq, DocFlags, DocKeywords}},
	{FieldInternalDate, []string{DocInternalDate}},
	{FieldSaveDate, []string{DocSaveDate}},
	{FieldSize, []string{DocSize}},
	{FieldEnvelope, []string{DocEnvelope}},
	{FieldBodyStructure, []string{DocStructure}},
	{FieldContent, []string{DocContent, DocMagic, DocPrefix}},
	{fieldReference, []string{DocContent, DocMagic}},
	{FieldSent, []string{DocSent}},
	{FieldSubject, []string{DocSubject, DocBaseSubject}},
	{FieldReferences, []string{DocMessageID, DocInReplyTo, DocReferences}},
	{fieldTexts, []string{DocSentDay, DocFrom, DocTo, DocCc, DocBcc, DocAttachments, DocTextRules}},
	{FieldNumber, []string{DocNumber}},
	{FieldThread, []string{DocThread}},
	{FieldPreview, []string{DocPreview}},
	{FieldSubmitted, []string{DocSubmitted}},
	{FieldOrigin, []string{DocOrigin}},
}

// projection is what a query returns for these fields; the key always comes with them.
func projection(fields Fields) bson.D {
	p := bson.D{{Key: DocID, Value: 1}}
	for _, f := range fieldsOf {
		if fields&f.field != 0 {
			for _, name := range f.names {
				p = append(p, bson.E{Key: name, Value: 1})
			}
		}
	}
	return p
}

func batchSize(fields Fields) int32 {
	if fields&^(FieldFlags|FieldDates|FieldSize|FieldNumber|FieldThread|FieldSubmitted|fieldReference) == 0 {
		return batchSmall
	}
	return batchLarge
}

func messageKey(v bson.RawValue) (mailkey.Message, error) {
	_, b, ok := v.BinaryOK()
	if !ok || len(b) != len(mailkey.Message{}) {
		return mailkey.Message{}, fmt.Errorf("message key of type %s and length %d in the database", v.Type, len(b))
	}
	return mailkey.Message(b), nil
}

// knownFields are the names of fields that are decoded, by themselves: so that none is allocated
// for each document.
var knownFields = func() map[string]string {
	known := map[string]string{DocID: DocID}
	for _, f := range fieldsOf {
		for _, name := range f.names {
			known[name] = name
		}
	}
	return known
}()

// errDocument reports bytes that are no BSON document.
var errDocument = errors.New("message document: malformed")

// decodeMessage reads the fields that a document has. It copies what it keeps. Fields of later
// versions are passed over.
func decodeMessage(doc bson.Raw) (*Message, error) {
	_, rest, ok := bsoncore.ReadLength(doc)
	if !ok {
		return nil, errDocument
	}
	m := new(Message)
	ownBase := false
	for len(rest) > 1 {
		var e bsoncore.Element
		if e, rest, ok = bsoncore.ReadElement(rest); !ok {
			return nil, errDocument
		}
		key, err := e.KeyBytesErr()
		if err != nil {
			return nil, fmt.Errorf("message document: %w", err)
		}
		name, known := knownFields[string(key)]
		if !known {
			continue
		}
		v, err := e.ValueErr()
		if err != nil {
			return nil, fmt.Errorf("message document: field %s: %w", name, err)
		}
		if err := m.set(name, bson.RawValue{Type: bson.Type(v.Type), Value: v.Data}); err != nil {
			return nil, fmt.Errorf("message document: %w", err)
		}
		ownBase = ownBase || name == DocBaseSubject
	}
	if !ownBase {
		m.BaseSubject = m.Subject
	}
	return m, nil
}

// set takes over one field of a document.
func (m *Message) set(name string, v bson.RawValue) error {
	d := fieldDecoder{name: name, v: v}
	switch name {
	case DocID:
		key, err := messageKey(v)
		if err != nil {
			return err
		}
		m.UID = key.UID()
	case DocModSeq:
		m.ModSeq = uint64(d.integer())
	case DocFlags:
		m.Flags = Flags(d.integer())
	case DocKeywords:
		m.Keywords = d.stringList()
	case DocInternalDate:
		m.InternalDate = d.time()
	case DocSaveDate:
		m.SaveDate = d.time()
	case DocSize:
		m.Size = d.integer()
	case DocContent:
		if b := d.binary(); len(b) == len(m.Content) {
			m.Content = contents.ID(b)
		} else if d.err == nil {
			return fmt.Errorf("field %s: a content id of %d octets", name, len(b))
		}
	case DocMagic:
		m.Magic = dedupe.Magic(d.integer())
	case DocPrefix:
		m.Prefix = d.binary()
	case DocEnvelope:
		m.Envelope = d.binary()
	case DocStructure:
		m.BodyStructure = d.binary()
	case DocNumber:
		m.Number = Number(d.integer())
	case DocThread:
		m.Thread = Number(d.integer())
	case DocSubmitted:
		m.Submitted = uint64(d.integer())
	case DocOrigin:
		m.Origin = Origin(d.integer())
	case DocPreview:
		m.Preview, m.HasPreview = d.string(), true
	case DocSent:
		m.Sent = d.time()
	case DocSentDay:
		m.SentDay = d.time()
	case DocSubject:
		m.Subject = d.string()
	case DocBaseSubject:
		m.BaseSubject = d.string()
	case DocFrom:
		m.From = d.string()
	case DocTo:
		m.To = d.string()
	case DocCc:
		m.Cc = d.string()
	case DocBcc:
		m.Bcc = d.string()
	case DocMessageID:
		m.MessageID = d.string()
	case DocInReplyTo:
		m.InReplyTo = d.string()
	case DocReferences:
		m.References = d.stringList()
	case DocAttachments:
		m.HasAttachments = d.boolean()
	case DocTextRules:
		m.TextsWhole = d.integer() == TextRules
	}
	return d.err
}

// fieldDecoder reads a value as the type it must have; err says if it has another.
type fieldDecoder struct {
	name string
	v    bson.RawValue
	err  error
}

func (d *fieldDecoder) check(ok bool) {
	if !ok && d.err == nil {
		d.err = fmt.Errorf("field %s has type %s", d.name, d.v.Type)
	}
}

func (d *fieldDecoder) integer() int64 {
	n, ok := d.v.AsInt64OK()
	d.check(ok)
	return n
}

func (d *fieldDecoder) boolean() bool {
	b, ok := d.v.BooleanOK()
	d.check(ok)
	return b
}

func (d *fieldDecoder) string() string {
	s, ok := d.v.StringValueOK()
	d.check(ok)
	return s
}

func (d *fieldDecoder) binary() []byte {
	_, b, ok := d.v.BinaryOK()
	d.check(ok)
	return append([]byte(nil), b...)
}

func (d *fieldDecoder) time() time.Time {
	ms, ok := d.v.DateTimeOK()
	d.check(ok)
	return time.UnixMilli(ms).UTC()
}

func (d *fieldDecoder) stringList() []string {
	array, ok := d.v.ArrayOK()
	d.check(ok)
	if !ok {
		return nil
	}
	values, err := array.Values()
	d.check(err == nil)
	list := make([]string, 0, len(values))
	for _, v := range values {
		s, ok := v.StringValueOK()
		d.check(ok)
		list = append(list, s)
	}
	return list
}
