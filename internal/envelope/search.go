package envelope

import (
	"strings"

	"gadwall/internal/casemap"
	"gadwall/mimestream"
)

// addressFields are the fields of which Text also gives the addresses.
var addressFields = map[string]bool{
	"from": true, "sender": true, "reply-to": true, "to": true, "cc": true, "bcc": true,
}

// IsAddressField reports whether Text gives the addresses of a field, whose name is in lower case.
func IsAddressField(name string) bool { return addressFields[name] }

// Text gives the text of a header field's value that searches look in: encoded words undone,
// without control characters, white space collapsed, as casemap.String gives them. A field of
// addresses (name is in lower case) gives further lines: one for each address that does not stand
// in the value as name and mailbox@host, because of quotes, comments or white space.
func Text(name, value string) string {
	text := human(casemap.String(clean(mimestream.DecodeWords(value))))
	if !addressFields[name] {
		return text
	}
	var b strings.Builder
	b.WriteString(text)
	at := 0 // everything before was found
	for e := range parseAddresses(value) {
		if e.kind != mailboxEntry {
			continue
		}
		name, addr := e.text()
		n, ok := spells(text[at:], name, addr)
		if ok {
			at += n
			continue
		}
		b.WriteByte('\n')
		b.WriteString(name)
		if name != "" && addr != "" {
			b.WriteByte(' ')
		}
		if addr != "" {
			b.WriteString("<" + addr + ">")
		}
	}
	return b.String()
}

// text returns name and mailbox@host as Text gives them, each empty if the address has it not.
func (e entry) text() (name, addr string) {
	name = human(casemap.String(clean(mimestream.DecodeWords(e.name))))
	if e.mailbox != missingMailbox {
		addr = e.mailbox
		if e.host != missingDomain && e.host != syntaxError {
			addr += "@" + e.host
		}
	}
	return name, human(casemap.String(valid(addr)))
}

// spells reports whether text has name and address near its start, and where they end.
func spells(text, name, addr string) (end int, ok bool) {
	const near = 200 // octets between one address and the next
	text = text[:min(len(text), len(name)+len(addr)+near)]
	for _, s := range []string{name, addr} {
		i := strings.Index(text, s)
		if i < 0 {
			return 0, false
		}
		end = max(end, i+len(s))
	}
	return end, true
}

// searchText gives the texts of all fields of a name, one line or more each, and whether they are
// whole: nothing of them was left out for its length.
func searchText(h mimestream.Header, name string, limit int) (text string, whole bool) {
	var b strings.Builder
	for i, v := range h.Values(name) {
		if b.Len() > limit {
			return cut(b.String(), limit), false
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(Text(name, v))
	}
	return cut(b.String(), limit), b.Len() <= limit
}
