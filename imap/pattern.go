package imap

import (
	"strings"

	"gadwall/imap/wire"
)

// pattern is a mailbox pattern of LIST (RFC 3501 section 6.3.8): "*" stands for
// any characters, "%" for any but the separator.
type pattern string

// newPattern joins a reference and a pattern. Names in it that are INBOX in
// another case become INBOX.
func newPattern(reference, text string) (pattern, error) {
	p := reference + text
	if len(p) > maxPattern {
		return "", &wire.SyntaxError{Code: "LIMIT", Text: "pattern is too long"}
	}
	// Neighbouring wildcards are as good as the stronger one.
	var b strings.Builder
	wildcards := 0
	for i := 0; i < len(p); i++ {
		ch := p[i]
		if ch != '*' && ch != '%' {
			b.WriteByte(ch)
			continue
		}
		for i+1 < len(p) && (p[i+1] == '*' || p[i+1] == '%') {
			if i++; p[i] == '*' {
				ch = '*'
			}
		}
		b.WriteByte(ch)
		wildcards++
	}
	if wildcards > maxWildcards {
		return "", &wire.SyntaxError{Code: "LIMIT", Text: "pattern has too many wildcards"}
	}
	return pattern(foldInbox(b.String())), nil
}

// foldInbox writes a first name that is INBOX in any case in upper case
// (RFC 3501 section 5.1).
func foldInbox(name string) string {
	const inbox = "INBOX"
	if len(name) >= len(inbox) && strings.EqualFold(name[:len(inbox)], inbox) &&
		(len(name) == len(inbox) || name[len(inbox):len(inbox)+1] == separator) {
		return inbox + name[len(inbox):]
	}
	return name
}

// match reports whether name fits the pattern.
func (p pattern) match(name string) bool {
	if name == "INBOX" {
		return matchPattern(strings.ToUpper(string(p)), name)
	}
	return matchPattern(string(p), name)
}

// matchPattern keeps for each pattern position whether the name read so far can
// end there; its cost is the product of both lengths, whatever the wildcards.
func matchPattern(p, name string) bool {
	// Literal start first: most names fail on it.
	n := strings.IndexAny(p, "*%")
	if n < 0 {
		return p == name
	}
	if !strings.HasPrefix(name, p[:n]) {
		return false
	}
	p, name = p[n:], name[n:]

	at := make([]bool, len(p)+1)
	at[0] = true
	skipWildcards(p, at)
	for i := 0; i < len(name); i++ {
		// From the end, so that at[j] is still the state before this byte.
		any := false
		for j := len(p); j > 0; j-- {
			at[j] = at[j-1] && p[j-1] == name[i] && p[j-1] != '*' && p[j-1] != '%' || at[j] && stays(p, j, name[i])
			any = any || at[j]
		}
		at[0] = at[0] && stays(p, 0, name[i])
		if !any && !at[0] {
			return false
		}
		skipWildcards(p, at)
	}
	return at[len(p)]
}

// stays reports whether the wildcard at p[j] takes the byte.
func stays(p string, j int, c byte) bool {
	return j < len(p) && (p[j] == '*' || p[j] == '%' && c != separator[0])
}

// skipWildcards lets wildcards stand for nothing.
func skipWildcards(p string, at []bool) {
	for j := range p {
		if at[j] && (p[j] == '*' || p[j] == '%') {
			at[j+1] = true
		}
	}
}
