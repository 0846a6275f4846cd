package workload

import (
	"errors"
	"strconv"
	"strings"
)

// fetched is a FETCH response.
type fetched struct {
	seq   int
	items []item
}

// item is a data item of a FETCH response (RFC 3501 section 7.4.2).
type item struct {
	name string // as the server writes it: "FLAGS", "BODY[1]<0>"
	// value is the octets of a string, or what stands in the response: "NIL", "(\Seen)".
	value string
}

// get returns the value of the item whose name begins so, without regard to case.
func (f *fetched) get(name string) (value string, ok bool) {
	for _, i := range f.items {
		if len(i.name) >= len(name) && strings.EqualFold(i.name[:len(name)], name) {
			return i.value, true
		}
	}
	return "", false
}

var errSyntax = errors.New("not a FETCH response")

// parseFetch reads a response as imapconn returns it; ok is false for any other response.
func parseFetch(response string) (f *fetched, ok bool, err error) {
	rest, ok := strings.CutPrefix(response, "* ")
	if !ok {
		return nil, false, nil
	}
	number, rest, _ := strings.Cut(rest, " ")
	const word = "FETCH ("
	if len(rest) < len(word) || !strings.EqualFold(rest[:len(word)], word) {
		return nil, false, nil
	}
	f = new(fetched)
	if f.seq, err = strconv.Atoi(number); err != nil {
		return nil, true, errSyntax
	}
	rest = rest[len(word):]
	for {
		var i item
		if i.name, rest, ok = itemName(rest); !ok {
			return nil, true, errSyntax
		}
		end := valueEnd(rest)
		if end <= 0 || end >= len(rest) {
			return nil, true, errSyntax
		}
		i.value = stringOctets(rest[:end])
		f.items = append(f.items, i)
		switch rest = rest[end:]; {
		case rest == ")":
			return f, true, nil
		case rest[0] != ' ':
			return nil, true, errSyntax
		}
		rest = rest[1:]
	}
}

// itemName cuts a name and the blank after it off. A section may have blanks and parentheses.
func itemName(s string) (name, rest string, ok bool) {
	at := 0
	if section := strings.IndexAny(s, "[ "); section >= 0 && s[section] == '[' {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", "", false
		}
		at = end
	}
	blank := strings.IndexByte(s[at:], ' ')
	if blank < 0 || at+blank == 0 {
		return "", "", false
	}
	return s[:at+blank], s[at+blank+1:], true
}

// valueEnd returns where the value at the beginning of s ends; -1 if it does not.
func valueEnd(s string) int {
	depth := 0
	for at := 0; at < len(s); {
		switch c := s[at]; c {
		case '(':
			depth++
			at++
		case ')':
			if depth == 0 {
				return at // of an atom
			}
			depth--
			at++
		case ' ':
			if depth == 0 {
				return at
			}
			at++
			continue
		case '"', '{':
			end := stringEnd(s[at:])
			if end < 0 {
				return -1
			}
			at += end
		default:
			at++
			continue
		}
		if depth == 0 {
			return at
		}
	}
	return -1
}

// stringEnd returns where the quoted string or literal at the beginning of s ends; -1 if it does
// not.
func stringEnd(s string) int {
	if s[0] == '{' {
		size, rest, ok := strings.Cut(s[1:], "}\r\n")
		n, err := strconv.Atoi(size)
		if !ok || err != nil || n < 0 || n > len(rest) {
			return -1
		}
		return len(s) - len(rest) + n
	}
	for at := 1; at < len(s); at++ {
		switch s[at] {
		case '\\':
			at++
		case '"':
			return at + 1
		}
	}
	return -1
}

// stringOctets returns the octets of a value that is a string, and any other value as it is.
func stringOctets(value string) string {
	switch value[0] {
	case '{':
		_, octets, _ := strings.Cut(value, "}\r\n")
		return octets
	case '"':
		octets := value[1 : len(value)-1]
		if !strings.Contains(octets, `\`) {
			return octets
		}
		return strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(octets)
	}
	return value
}
