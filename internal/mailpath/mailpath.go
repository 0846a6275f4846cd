// Package mailpath has the addresses of SMTP (RFC 5321 section 4.1.2): as clients write them, and as
// they are written to others. An address is without angle brackets and without the quotes of its
// local part; it is empty for the null path.
package mailpath

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// MaxLength bounds an address (RFC 5321 section 4.5.3.1.3, with room for UTF-8).
const MaxLength = 512

// Errors of Parse and Check.
var (
	ErrSyntax = errors.New("bad address syntax")
	ErrLength = errors.New("address too long")
	ErrUTF8   = errors.New("non-ASCII address without SMTPUTF8")
)

// Parse parses a reverse-path or forward-path (RFC 5321 section 4.1.2) at the beginning of s
// and returns what follows it. The address comes without the quotes of its local part. It is empty
// for the null path, and has no @ if the path has no domain.
//
// The parser takes what old and careless clients send: no angle brackets, a space before them, dots
// at the ends of the local part, domains that are none. It ignores source routes, as RFC 5321
// appendix C says, and the dot that ends a domain in DNS: the domains of SMTP have none, and are fully
// qualified without it (RFC 5321 section 2.3.5).
func Parse(s string) (address, rest string, err error) {
	s = strings.TrimLeft(s, " \t")
	s, bracket := strings.CutPrefix(s, "<")
	if after, ok := strings.CutPrefix(s, ">"); bracket && ok {
		return "", after, separate(after)
	}
	if strings.HasPrefix(s, "@") {
		var found bool
		if _, s, found = strings.Cut(s, ":"); !found {
			return "", "", ErrSyntax
		}
	}
	address, s, err = cutLocal(s)
	if err != nil || address == "" {
		return "", "", ErrSyntax
	}
	if strings.HasPrefix(s, "@") {
		end := strings.IndexAny(s, " \t>")
		if end < 0 {
			end = len(s)
		}
		if strings.Contains(s[1:end], "@") {
			return "", "", ErrSyntax // some would take the first @, some the last
		}
		address += strings.TrimSuffix(s[:end], ".")
		s = s[end:]
	}
	if bracket {
		var closed bool
		if s, closed = strings.CutPrefix(s, ">"); !closed {
			return "", "", ErrSyntax
		}
	}
	return address, s, separate(s)
}

// separate wants white space, or nothing, behind a path.
func separate(rest string) error {
	if rest != "" && rest[0] != ' ' && rest[0] != '\t' {
		return ErrSyntax
	}
	return nil
}

// cutLocal cuts a local part off, without its quotes.
func cutLocal(s string) (local, rest string, err error) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, "@()<>[]:;\\,\" \t")
		if end < 0 {
			end = len(s)
		}
		return s[:end], s[end:], nil
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], nil
		case '\\':
			if i++; i == len(s) {
				return "", "", ErrSyntax
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", ErrSyntax
}

// Check refuses addresses that must not get into trace lines. Parse is looser than
// RFC 5321 section 4.1.2.
func Check(address string, utf8Allowed bool) error {
	if len(address) > MaxLength {
		return ErrLength
	}
	at := strings.LastIndexByte(address, '@')
	if at <= 0 || at == len(address)-1 || strings.HasSuffix(address, ".") || !utf8.ValidString(address) {
		return ErrSyntax
	}
	for i, r := range address {
		switch {
		case r < ' ' || r == 0x7f, i > at && strings.ContainsRune(" <>()\\\",;", r):
			return ErrSyntax
		case r >= utf8.RuneSelf && !utf8Allowed:
			return ErrUTF8
		}
	}
	return nil
}

// Quote puts back the quotes that Parse takes off a local part, if it needs them
// (RFC 5321 section 4.1.2: dot-string or quoted-string).
func Quote(address string) string {
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return address
	}
	local := address[:at]
	if isDotString(local) {
		return address
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range local {
		if r == '"' || r == '\\' {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	b.WriteByte('"')
	return b.String() + address[at:]
}

func isDotString(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" {
			return false
		}
		for _, r := range atom {
			switch {
			case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r >= 0x80:
			case strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r):
			default:
				return false
			}
		}
	}
	return true
}
