package mailstore

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Separator stands between the names of a mailbox path.
const Separator = "/"

// Inbox is the path of the mailbox that every user has.
const Inbox = "INBOX"

// NormalizePath returns the one form of a mailbox path: NFC, INBOX (as first name, too) in
// capitals, a trailing separator removed (RFC 9051 section 6.3.4). The error is ErrInvalidName.
func NormalizePath(path string) (string, error) {
	if !utf8.ValidString(path) {
		return "", invalid(ErrInvalidName, "it is not UTF-8")
	}
	path = norm.NFC.String(strings.TrimSuffix(path, Separator))
	if path == "" {
		return "", invalid(ErrInvalidName, "it is empty")
	}
	if len(path) > MaxPathLength {
		return "", invalid(ErrInvalidName, "it is longer than %d octets of UTF-8", MaxPathLength)
	}
	// RFC 5198 section 2: no control characters, nor the separators for lines and paragraphs.
	if strings.ContainsFunc(path, func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }) {
		return "", invalid(ErrInvalidName, "it has a control character")
	}
	names := strings.Split(path, Separator)
	if len(names) > MaxPathDepth {
		return "", invalid(ErrInvalidName, "it has more than %d levels", MaxPathDepth)
	}
	for _, name := range names {
		if name == "" {
			return "", invalid(ErrInvalidName, "a level between two separators is empty")
		}
	}
	if strings.EqualFold(names[0], Inbox) {
		names[0] = Inbox
	}
	return strings.Join(names, Separator), nil
}

// children is the half-open range of paths below path, in byte order.
func children(path string) (from, to string) {
	return path + Separator, path + string(rune(Separator[0]+1))
}
