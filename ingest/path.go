package ingest

import (
	"errors"
	"strings"
	"unicode/utf8"
)

var (
	errPathSyntax = errors.New("bad address syntax")
	errPathLength = errors.New("address too long")
	errPathUTF8   = errors.New("non-ASCII address without SMTPUTF8")
	errParameter  = errors.New("bad parameter syntax")
)

// parsePath parses a reverse-path or forward-path (RFC 5321 section 4.1.2) at the beginning of s
// and returns what follows it. The address comes without the quotes of its local part. It is empty
// for the null path, and has no @ if the path has no domain.
//
// The parser takes what old and careless clients send: no angle brackets, a space before them, dots
// at the ends of the local part, domains that are none. It ignores source routes, as RFC 5321
// appendix C says.
func parsePath(s string) (address, rest string, err error) {
	s = strings.TrimLeft(s, " \t")
	s, bracket := strings.CutPrefix(s, "<")
	if after, ok := strings.CutPrefix(s, ">"); bracket && ok {
		return "", after, separate(after)
	}
	if strings.HasPrefix(s, "@") {
		var found bool
		if _, s, found = strings.Cut(s, ":"); !found {
			return "", "", errPathSyntax
		}
	}
	address, s, err = cutLocal(s)
	if err != nil || address == "" {
		return "", "", errPathSyntax
	}
	if strings.HasPrefix(s, "@") {
		end := strings.IndexAny(s, " \t>")
		if end < 0 {
			end = len(s)
		}
		if strings.Contains(s[1:end], "@") {
			return "", "", errPathSyntax // some would take the first @, some the last
		}
		address += s[:end]
		s = s[end:]
	}
	if bracket {
		var closed bool
		if s, closed = strings.CutPrefix(s, ">"); !closed {
			return "", "", errPathSyntax
		}
	}
	return address, s, separate(s)
}

// separate wants white space, or nothing, behind a path.
func separate(rest string) error {
	if rest != "" && rest[0] != ' ' && rest[0] != '\t' {
		return errPathSyntax
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
				return "", "", errPathSyntax
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", errPathSyntax
}

// checkAddress refuses addresses that must not get into trace lines. parsePath is looser than
// RFC 5321 section 4.1.2.
func checkAddress(address string, utf8Allowed bool) error {
	if len(address) > maxPath {
		return errPathLength
	}
	at := strings.LastIndexByte(address, '@')
	if at <= 0 || at == len(address)-1 || !utf8.ValidString(address) {
		return errPathSyntax
	}
	for i, r := range address {
		switch {
		case r < ' ' || r == 0x7f, i > at && strings.ContainsRune(" <>()\\\",;", r):
			return errPathSyntax
		case r >= utf8.RuneSelf && !utf8Allowed:
			return errPathUTF8
		}
	}
	return nil
}

// parameter is an esmtp-param (RFC 5321 section 4.1.2).
type parameter struct {
	name  string // in capitals
	value string // empty if there is none
}

// parseParameters parses what follows a path. No parameter may come twice.
func parseParameters(s string) ([]parameter, error) {
	var list []parameter
	for field := range strings.FieldsSeq(s) {
		name, value, hasValue := strings.Cut(field, "=")
		if len(list) == maxParameters || !isKeyword(name) || hasValue && value == "" ||
			strings.Contains(value, "=") {
			return nil, errParameter
		}
		name = strings.ToUpper(name)
		for _, p := range list {
			if p.name == name {
				return nil, errParameter
			}
		}
		list = append(list, parameter{name, value})
	}
	return list, nil
}

func isKeyword(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-' && i > 0:
		default:
			return false
		}
	}
	return s != ""
}

// cutFold is strings.CutPrefix without regard to case.
func cutFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// equalFold compares ASCII without regard to case. A letter beyond ASCII has more octets than the
// letter that strings.EqualFold takes it for.
func equalFold(s, ascii string) bool { return len(s) == len(ascii) && strings.EqualFold(s, ascii) }
