package imap

import (
	"gadwall/internal/contents"
	"gadwall/internal/mailstore"
	"gadwall/internal/shortheader"
)

// fetchPlan says what a request has to read of each message: which fields of
// its document, and what of its content. Flags, UID, dates and sizes never touch
// a content. ENVELOPE, BODY and BODYSTRUCTURE do only where they are too large to
// be stored, which shows when the document is read; see description.
type fetchPlan struct {
	fields mailstore.Fields

	content bool // some section needs the content
	parts   bool // ... and its part table: a section with part numbers
	header  bool // ... and the root header, whole or nearly so
	body    bool // ... and whole sections beyond the root header
	cuts    bool // ... and partials of those
	short   bool // ... or, instead of the content, the short header
}

// planFetch derives the plan from the request; setSeen says that it changes
// flags.
func planFetch(r *fetchRequest, setSeen bool) fetchPlan {
	p := fetchPlan{short: len(r.sections) > 0}
	for _, f := range []struct {
		item  fetchItems
		field mailstore.Fields
	}{
		{itemFlags | itemModSeq, mailstore.FieldFlags},
		{itemInternalDate, mailstore.FieldInternalDate},
		{itemSaveDate, mailstore.FieldSaveDate},
		{itemEmailID, mailstore.FieldNumber},
		{itemThreadID, mailstore.FieldThread},
		{itemSize, mailstore.FieldSize},
		{itemEnvelope, mailstore.FieldEnvelope},
		{itemBody | itemBodyStructure, mailstore.FieldBodyStructure},
		{itemPreview | itemLazyPreview, mailstore.FieldPreview},
	} {
		if r.items&f.item != 0 {
			p.fields |= f.field
		}
	}
	if setSeen {
		p.fields |= mailstore.FieldFlags
	}
	for i := range r.sections {
		s := &r.sections[i]
		if s.decodes() || s.binary == binarySize {
			p.content, p.parts, p.cuts, p.short = true, true, true, false
			continue
		}
		p.content = true
		p.short = p.short && shortheader.Answers(&s.Section)
		switch {
		case s.RootHeader():
			p.header = true
		case s.Path != nil:
			p.parts = true
			fallthrough
		default:
			if s.partial.Set && !s.Filtered() {
				p.cuts = true
			} else {
				p.body = true
			}
		}
	}
	if p.content {
		// The size bounds what one batch loads.
		p.fields |= mailstore.FieldContent | mailstore.FieldSize
	}
	return p
}

// memory estimates how many octets are in memory of a message between reading and
// writing. A batch with less than maxBatchMemory of them together is taken in whole; of a larger
// message no more than that is in memory at a time.
func (p *fetchPlan) memory(m *mailstore.Message) int64 {
	switch {
	case p.body:
		return m.Size
	case p.cuts || p.parts:
		return min(m.Size, fetchBuffer)
	case p.short:
		return min(m.Size, shortEstimate)
	default:
		return min(m.Size, headerEstimate)
	}
}

// cursor estimates how many octets a query for n messages keeps in memory while its documents
// are written.
func (p *fetchPlan) cursor(n int) int64 {
	each := int64(200)
	if p.fields&(mailstore.FieldEnvelope|mailstore.FieldBodyStructure) != 0 {
		each = 2 << 10
	}
	return min(int64(n)*each, fetchBatchBytes)
}

// keeps reports whether a client that sends such requests may well come back for more of the same
// message.
func (p *fetchPlan) keeps() bool { return p.parts || p.cuts }

// slices reports whether the request is for slices of contents alone. Nothing that it reads of a
// message ever changes, but that the message goes.
func (p *fetchPlan) slices() bool {
	return p.cuts && !p.body && !p.header && p.fields == mailstore.FieldContent|mailstore.FieldSize
}

// want says what to load of the contents of a batch of n messages of size bytes
// together. Of a single one that is all, if that saves a query: the inline bytes of a message are few
// beside its attachments. The writer reads the rest of a content when it comes to it, piece by piece; of a
// large message that is all.
func (p *fetchPlan) want(n int, size int64) contents.Want {
	return contents.Want{
		Parts:      p.parts,
		RootHeader: p.header,
		All:        p.body && !p.parts && size <= fetchBatchBytes || n == 1 && p.keeps(),
	}
}
