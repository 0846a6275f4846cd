package search

import (
	"bytes"
	"strings"

	"gadwall/internal/envelope"
	"gadwall/mimestream"
)

// matchHeader compares the leaves that name a header field with one.
func (m *matcher) matchHeader(name, value string) {
	folded := ""
	for i, leaf := range m.leaves {
		if leaf.op != opField && leaf.op != opHeader || m.known[i] != maybe || !strings.EqualFold(leaf.name, name) {
			continue
		}
		if folded == "" && leaf.text != "" {
			folded = envelope.Normalize(collapseSpace(value))
		}
		if strings.Contains(folded, leaf.text) {
			m.known[i] = yes
		}
	}
}

// headerFields yields the fields of a header block: the name as written, the
// value unfolded (RFC 5322 section 2.2.3) and with encoded words undone.
func headerFields(header []byte) func(yield func(name, value string) bool) {
	return func(yield func(name, value string) bool) {
		var name string
		var value []byte
		open := false
		end := func() bool {
			return !open || yield(name, mimestream.DecodeWords(string(bytes.TrimSpace(value))))
		}
		for len(header) > 0 {
			line := header
			if i := bytes.IndexByte(header, '\n'); i >= 0 {
				line = header[:i+1]
			}
			header = header[len(line):]
			if isEmptyLine(line) {
				break
			}
			text := bytes.TrimRight(line, "\r\n")
			if line[0] == ' ' || line[0] == '\t' {
				value = append(value, text...)
				continue
			}
			if !end() {
				return
			}
			key := fieldName(line)
			if open = key != nil; open {
				name = string(key)
				_, rest, _ := bytes.Cut(text, []byte{':'})
				value = append(value[:0], rest...)
			}
		}
		end()
	}
}

// fieldName returns the name that starts a header line: what stands before the
// colon, without trailing white space (RFC 5322 section 4.5.8). A line without
// a colon has no name.
func fieldName(line []byte) []byte {
	name, _, ok := bytes.Cut(line, []byte{':'})
	if !ok {
		return nil
	}
	return bytes.TrimRight(name, " \t")
}

// isEmptyLine reports a line end with nothing before it.
func isEmptyLine(line []byte) bool {
	return line[0] == '\n' || len(line) >= 2 && line[0] == '\r' && line[1] == '\n'
}
