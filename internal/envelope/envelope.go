package envelope

import (
	"strings"

	"gadwall/mimestream"
)

const nilEnvelope = "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"

// Envelope returns the ENVELOPE of a message: the root or an embedded one (RFC 3501 section 7.4.2).
func Envelope(p *mimestream.Part) []byte {
	var w writer
	w.envelope(p.Header, MaxWire)
	return w.buf
}

// envelope appends the ENVELOPE that h gives, in at most limit octets; limit is at least 1024. The strings
// and the three small lists get what they need within their own bounds, which together are less
// than limit, the recipients what these leave.
func (w *writer) envelope(h mimestream.Header, limit int) {
	text, small := min(maxText, limit/16), min(maxSmallList, limit/16)

	from := addresses(h, "from")
	sender, replyTo := addresses(h, "sender"), addresses(h, "reply-to")
	if len(sender) == 0 {
		sender = from
	}
	if len(replyTo) == 0 {
		replyTo = from
	}

	var head, tail writer
	head.raw("(")
	head.field(h, "date", text, false)
	head.sp()
	head.field(h, "subject", text, true)
	for _, list := range [][]entry{from, sender, replyTo} {
		head.sp()
		head.list(list, small)
	}
	tail.sp()
	tail.field(h, "in-reply-to", text, false)
	tail.sp()
	tail.field(h, "message-id", text, false)
	tail.raw(")")

	w.raw(string(head.buf))
	rest := limit - len(head.buf) - len(tail.buf) - len(" NIL NIL NIL")
	for _, name := range []string{"to", "cc", "bcc"} {
		w.sp()
		rest -= w.list(addresses(h, name), rest)
	}
	w.raw(string(tail.buf))
}

// field appends a field's value, which may be empty, or NIL if there is no such field.
func (w *writer) field(h mimestream.Header, name string, limit int, forHumans bool) {
	value, ok := h.Get(name)
	if !ok {
		w.raw("NIL")
		return
	}
	if forHumans {
		value = human(value)
	}
	w.str(cut(value, limit))
}

// addresses returns the addresses of all fields of a name together: a message with two From fields
// must not show one to the user and another to a filter.
func addresses(h mimestream.Header, name string) []entry {
	var list []entry
	for _, v := range h.Values(name) {
		list = append(list, parseAddresses(v)...)
	}
	return list
}

// list appends addresses, or NIL if there are none, and returns how many octets it took. Those that do not
// fit into limit are left out; a group that was started is ended.
func (w *writer) list(list []entry, limit int) int {
	start := len(w.buf)
	const end = len("(NIL NIL NIL NIL))") // the end of a group and of the list
	open := false
	for _, e := range list {
		before := len(w.buf)
		if before == start {
			w.raw("(")
		}
		w.address(e)
		if len(w.buf)-start > limit-end {
			w.buf = w.buf[:before]
			break
		}
		open = e.kind == groupStart || open && e.kind != groupEnd
	}
	switch {
	case len(w.buf) == start:
		w.raw("NIL")
	case open:
		w.address(entry{kind: groupEnd})
		fallthrough
	default:
		w.raw(")")
	}
	return len(w.buf) - start
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

// ids returns the message identifiers of a field's value: what stands in angle brackets, or the words if
// there are none.
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
