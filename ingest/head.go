package ingest

import (
	"bytes"
	"strings"

	"gadwall/internal/contents"
)

// head is the beginning of a body, from which log lines get the name under which the client knows
// the message. Nothing else of a message is logged.
type head struct{ octets []byte }

// take keeps the first maxHead octets of what comes in.
func (h *head) take(p []byte) {
	if room := maxHead - len(h.octets); room > 0 {
		h.octets = append(h.octets, p[:min(room, len(p))]...)
	}
}

// queueID returns the id that the client has in its queue, and in its log. LMTP and SMTP have no
// word for it, but the client has written it into the topmost Received field (RFC 5321
// section 4.4): "by mx.example.net (Postfix) with ESMTPS id 4Xy2Fj". It is empty if there is none.
func (h *head) queueID() string {
	value := h.field("received")
	// Comments may hold anything, also the word "id"; the date follows a semicolon.
	value, _, _ = strings.Cut(withoutComments(value), ";")
	words := strings.Fields(value)
	for i := 0; i+1 < len(words); i++ {
		if strings.EqualFold(words[i], "id") {
			return logID(words[i+1])
		}
	}
	return ""
}

// field returns the first field of that name, unfolded, if the head has all of it.
func (h *head) field(name string) string {
	var value []byte
	found := false
	for rest := h.octets; ; {
		line, after, whole := bytes.Cut(rest, []byte("\n"))
		folded := len(line) > 0 && (line[0] == ' ' || line[0] == '\t')
		switch {
		case found && !(whole && folded):
			return string(value) // a cut line is left out
		case found:
			value = append(value, line...)
		case !whole || len(bytes.TrimRight(line, "\r")) == 0:
			return "" // the end of the header, or of the head
		default:
			n, v, _ := bytes.Cut(line, []byte(":"))
			if strings.EqualFold(string(bytes.TrimRight(n, " \t")), name) {
				value, found = bytes.Clone(v), true
			}
		}
		rest = after
	}
}

// withoutComments takes comments out (RFC 5322 section 3.2.2).
func withoutComments(s string) string {
	var b strings.Builder
	depth := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && depth > 0:
			i++
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			if depth--; depth == 0 {
				b.WriteByte(' ')
			}
		case depth == 0:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// messageID returns the Message-ID of a content, or nothing if it has none that could be logged.
func messageID(stored *contents.Stored) string {
	if stored.Root == nil {
		return ""
	}
	value, _ := stored.Root.Header.Get("message-id")
	return logID(strings.TrimSpace(value))
}

// logID returns an id of the client's as log lines may have it: printable ASCII without spaces, and
// not long. Others are left out.
func logID(s string) string {
	if len(s) > maxLogID || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return ""
	}
	return s
}
