package search

import (
	"unicode/utf8"

	"gadwall/internal/casemap"
)

// isPlain reports whether a field's value is printable ASCII with spaces and tabs, and without
// encoded words.
func isPlain(value string) bool {
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '\t':
		case c < ' ' || c > '~', c == '=' && i+1 < len(value) && value[i+1] == '?':
			return false
		}
	}
	return true
}

// appendPlainLine appends what casemap makes of the line (appendLine) of a field that isPlain.
func appendPlainLine(line []byte, name, value string) []byte {
	if name != "" {
		line = append(appendName(line, name), ": "...)
	}
	space, begun := false, false
	for i := 0; i < len(value); i++ {
		c := value[i]
		if c == ' ' || c == '\t' {
			space = begun
			continue
		}
		if space {
			line = append(line, ' ')
		}
		line, space, begun = append(line, lower(c)), false, true
	}
	return append(line, '\n')
}

// appendName appends what casemap makes of a field name.
func appendName(line []byte, name string) []byte {
	start := len(line)
	for i := 0; i < len(name); i++ {
		if name[i] >= utf8.RuneSelf {
			return append(line[:start], casemap.String(name)...)
		}
		line = append(line, lower(name[i]))
	}
	return line
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}
