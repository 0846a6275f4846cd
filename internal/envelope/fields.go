package envelope

import (
	"strings"
	"time"

	"gadwall/internal/casemap"
	"gadwall/mimestream"
)

// SearchFields are the fields of a message in the forms that lists, SEARCH, SORT and THREAD
// compare. All text is valid UTF-8, decoded and bounded.
type SearchFields struct {
	// SentDate is the day of the Date field as it is written there, at 00:00 UTC: SENTON and its
	// kin disregard time and zone (RFC 3501 section 6.4.4). Zero if there is no valid date.
	SentDate time.Time
	// Sent is the instant of the Date field, for SORT DATE. Zero if there is no valid date.
	Sent time.Time

	Subject     string // the text of all Subject fields, as Text gives it
	BaseSubject string // RFC 5256 section 2.1, as casemap.String gives them: equal ones make a thread
	IsReply     bool   // the subject has a mark of a reply or forward

	// The text of all fields of a name, as Text gives it.
	From, Sender, ReplyTo, To, Cc, Bcc string
	// Whole says that nothing is missing from Subject, From, To, Cc and Bcc: the header was read to
	// its end, and no field was left out or cut.
	Whole bool

	// Message identifiers with their angle brackets, white space removed; empty if there is none.
	MessageID  string
	InReplyTo  string   // the first one of the field
	References []string // at most maxReferences

	HasAttachments bool
}

// Fields returns the search fields of a message, the root or an embedded one.
func Fields(p *mimestream.Part) SearchFields {
	h := p.Header
	var f SearchFields
	if date, ok := h.Get("date"); ok {
		if local, sent, ok := parseDate(date); ok {
			f.SentDate = local.Truncate(24 * time.Hour)
			f.Sent = sent
		}
	}
	if subject, ok := h.Get("subject"); ok {
		subject = cut(human(clean(mimestream.DecodeWords(subject))), MaxSubject)
		f.BaseSubject, f.IsReply = baseSubject(subject)
		f.BaseSubject = casemap.String(f.BaseSubject)
	}
	f.Whole = p.Degraded&(mimestream.DegradedHeader|mimestream.DegradedFields) == 0
	for _, field := range []struct {
		text  *string
		name  string
		limit int
	}{
		{&f.Subject, "subject", MaxSubject}, {&f.From, "from", MaxAddresses}, {&f.To, "to", MaxAddresses},
		{&f.Cc, "cc", MaxAddresses}, {&f.Bcc, "bcc", MaxAddresses},
	} {
		text, whole := searchText(h, field.name, field.limit)
		*field.text = text
		f.Whole = f.Whole && whole
	}
	f.Sender, _ = searchText(h, "sender", MaxAddresses)
	f.ReplyTo, _ = searchText(h, "reply-to", MaxAddresses)

	f.MessageID = firstID(h, "message-id")
	f.InReplyTo = firstID(h, "in-reply-to")
	if value, ok := h.Get("references"); ok {
		f.References = ids(valid(value))
		if n := len(f.References); n > maxReferences {
			f.References = append(f.References[:1:1], f.References[n-maxReferences+1:]...)
		}
	}
	f.HasAttachments = hasAttachments(p)
	return f
}

func firstID(h mimestream.Header, name string) string {
	value, _ := h.Get(name)
	if list := ids(valid(value)); len(list) > 0 {
		return list[0]
	}
	return ""
}

// clean removes control characters that no reader wants to see and no database key should have.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' && r != '\r' && r != '\n' || r == 0x7f {
			return -1
		}
		return r
	}, s)
}

func valid(s string) string { return mimestream.DecodeCharset("", clean(s)) }

// hasAttachments reports whether a reader would list something beside the text: a part that says
// that it is an attachment, or has a file name, or is no text and not shown within the text.
func hasAttachments(p *mimestream.Part) bool {
	return !p.Walk(func(p *mimestream.Part) bool { return !isAttachment(p) })
}

func isAttachment(p *mimestream.Part) bool {
	switch {
	case p.Kind == mimestream.Multipart:
		return false
	case p.Disposition == "attachment":
		return true
	case p.Type == "message" && (p.Subtype == "delivery-status" || p.Subtype == "disposition-notification"),
		strings.HasSuffix(p.Subtype, "-signature"), p.Subtype == "pgp-encrypted":
		return false // machinery of reports, signed and encrypted mail
	case p.Disposition == "inline" || within(p, "related"):
		return p.Type == "message"
	case p.Type == "text":
		return p.Filename() != ""
	}
	return true
}

func within(p *mimestream.Part, subtype string) bool {
	for up := p.Parent; up != nil && up.Kind == mimestream.Multipart; up = up.Parent {
		if up.Subtype == subtype {
			return true
		}
	}
	return false
}
