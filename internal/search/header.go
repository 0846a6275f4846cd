package search

import (
	"bytes"
	"strings"

	"gadwall/internal/envelope"
	"gadwall/mimestream"
)

// matchHeader compares the leaves that name a header field with one.
func (m *matcher) matchHeader(name, value string) {
	if len(m.fields) == 0 {
		return
	}
	name = strings.ToLower(name)
	f := m.fields[name]
	if f == nil {
		return
	}
	for _, leaf := range f.any {
		m.found(leaf)
	}
	if f.texts != nil {
		f.texts.begin(setOf(opField, opHeader))
		f.texts.run(0, []byte(envelope.Text(name, value)))
	}
}

// headerFields yields the fields of a header block: the name as written and the
// value, unfolded (RFC 5322 section 2.2.3). A line without a colon is no field
// and does not end the header; it is yielded with an empty name.
func headerFields(header []byte) func(yield func(name, value string) bool) {
	return func(yield func(name, value string) bool) {
		var name string
		var value []byte
		open := false
		for len(header) > 0 {
			line := header
			if i := bytes.IndexByte(header, '\n'); i >= 0 {
				line = header[:i+1]
			}
			header = header[len(line):]
			if mimestream.IsEmptyLine(line) {
				break
			}
			text := bytes.TrimRight(line, "\r\n")
			if open && (line[0] == ' ' || line[0] == '\t') {
				value = append(value, text...)
				continue
			}
			if open && !yield(name, string(value)) {
				return
			}
			key, rest, ok := bytes.Cut(text, []byte{':'})
			if !ok || len(key) == 0 {
				key, rest = nil, text
			}
			name, open = string(bytes.TrimRight(key, " \t")), true
			value = append(value[:0], rest...)
		}
		if open {
			yield(name, string(value))
		}
	}
}
