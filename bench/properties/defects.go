package properties

import (
	"bytes"
	netmail "net/mail"
	"strings"

	"golang.org/x/text/encoding/htmlindex"

	"gadwall/mimestream"
)

// defects returns what is wrong with a message. Each thing is named once. Of base64 it is enough
// that a line has a character of another alphabet.
func defects(root *mimestream.Part, raw []byte) (list []string) {
	add := func(wrong bool, what string) {
		if wrong {
			list = append(list, what)
		}
	}
	date, hasDate := root.Header.Get("date")
	_, dateErr := netmail.ParseDate(strings.TrimSpace(date))
	add(!hasDate, "no Date")
	add(hasDate && dateErr != nil, "Date is none")
	_, hasID := root.Header.Get("message-id")
	add(!hasID, "no Message-ID")
	header := raw[:root.HeaderSize]
	add(bytes.ContainsFunc(header, func(r rune) bool { return r >= 0x80 }) && !isUTF8(header), "octets in header")
	unclosed, charsets, encoding := false, false, false
	root.Walk(func(part *mimestream.Part) bool {
		unclosed = unclosed || part.Degraded&mimestream.DegradedUnclosed != 0
		if part.Kind == mimestream.Leaf {
			_, err := htmlindex.Get(charset(part))
			charsets = charsets || part.Type == "text" && charset(part) != noCharset && err != nil
			encoding = encoding || part.Encoding == "base64" &&
				!isBase64(raw[part.BodyOffset:part.BodyOffset+part.BodySize])
		}
		return true
	})
	add(unclosed, "not closed")
	add(charsets, "unknown charset")
	add(encoding, "no base64")
	return list
}

// noCharset stands for the charset of a text that names none.
const noCharset = "none"

// charset is that of a text, in lower case.
func charset(part *mimestream.Part) string {
	if name := strings.ToLower(part.Charset()); name != "" {
		return name
	}
	return noCharset
}

func isUTF8(text []byte) bool { return bytes.Equal(bytes.ToValidUTF8(text, nil), text) }

// isBase64 reports that a body has characters of base64 only (RFC 2045 section 6.8).
func isBase64(body []byte) bool {
	for _, c := range body {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case c == '+', c == '/', c == '=', c == '\r', c == '\n', c == ' ', c == '\t':
		default:
			return false
		}
	}
	return true
}
