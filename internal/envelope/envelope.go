package envelope

import (
	"iter"
	"slices"
	"strings"

	"gadwall/mimestream"
)

const nilEnvelope = "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"

// Envelope returns the ENVELOPE of a message, the root or an embedded one (RFC 3501 section 7.4.2).
// It is nil if the ENVELOPE would be larger than MaxWire, or the parser has left out some of the
// header: WriteEnvelope then makes it of the content.
func Envelope(p *mimestream.Part) []byte {
	if p.Degraded&mimestream.DegradedFields != 0 {
		return nil
	}
	w := writer{limit: MaxWire}
	w.envelope(headerValues(p.Header))
	if w.stop() {
		return nil
	}
	return w.buf
}

// values iterates over the unfolded values of the fields of a header with that name (lower case).
type values func(name string) iter.Seq[string]

func headerValues(h mimestream.Header) values {
	return func(name string) iter.Seq[string] { return slices.Values(h.Values(name)) }
}

// envelope appends the ENVELOPE that a header gives.
func (w *writer) envelope(header values) {
	w.raw("(")
	w.field(header, "date", false)
	w.sp()
	w.field(header, "subject", true)
	for _, names := range [][]string{
		{"from"}, {"sender", "from"}, {"reply-to", "from"}, {"to"}, {"cc"}, {"bcc"},
	} {
		w.sp()
		w.addresses(header, names)
	}
	w.sp()
	w.field(header, "in-reply-to", false)
	w.sp()
	w.field(header, "message-id", false)
	w.raw(")")
}

// field appends the value of the first field of a name, which may be empty, or NIL if there is no
// such field. It cuts the value at maxText.
func (w *writer) field(header values, name string, forHumans bool) {
	for value := range header(name) {
		if forHumans {
			value = human(value)
		}
		w.str(cut(value, maxText))
		return
	}
	w.raw("NIL")
}

// addresses appends the addresses of the first name that has any, or NIL. Those of all fields of a
// name are together: a message with two From fields must not show one to the user and another to a
// filter.
func (w *writer) addresses(header values, names []string) {
	for _, name := range names {
		empty := true
		for value := range header(name) {
			for e := range parseAddresses(value) {
				if empty {
					w.raw("(")
				}
				empty = false
				w.address(e)
				if w.stop() {
					return
				}
			}
		}
		if !empty {
			w.raw(")")
			return
		}
	}
	w.raw("NIL")
}

// address appends (name route mailbox host). The start of a group has no host, its end nothing.
func (w *writer) address(e entry) {
	switch e.kind {
	case groupEnd:
		w.raw("(NIL NIL NIL NIL)")
		return
	case groupStart:
		w.raw("(NIL NIL ")
		w.str(e.mailbox)
		w.raw(" NIL)")
		return
	}
	w.raw("(")
	w.nstr(cut(e.name, maxText))
	w.sp()
	w.nstr(e.route)
	w.sp()
	w.str(e.mailbox)
	w.sp()
	w.str(e.host)
	w.raw(")")
}

// ids returns the message identifiers of a field's value: what stands in angle brackets, or the
// words if there are none.
func ids(value string) []string {
	var list []string
	rest := value
	for {
		_, after, ok := strings.Cut(rest, "<")
		if !ok {
			break
		}
		id, after, ok := strings.Cut(after, ">")
		if !ok {
			break
		}
		rest = after
		if i := strings.LastIndexByte(id, '<'); i >= 0 {
			id = id[i+1:]
		}
		if id = strings.Join(strings.Fields(id), ""); id != "" && len(id) <= maxID {
			list = append(list, "<"+id+">")
		}
	}
	return list
}
