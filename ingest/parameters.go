package ingest

import (
	"errors"
	"strings"
)

var errParameter = errors.New("bad parameter syntax")

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
