package envelope

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Normalize gives the form of text in which substrings are compared: case does not matter, nor do
// different encodings of the same character. It is i;unicode-casemap (RFC 5051), in lower case:
// characters are mapped to title case, then to lower case, then decomposed. Normalise both what is
// searched and what is searched for. The result is valid UTF-8.
func Normalize(s string) string {
	ascii := true
	for i := 0; i < len(s) && ascii; i++ {
		ascii = s[i] < 0x80
	}
	if ascii {
		return strings.ToLower(s)
	}
	return norm.NFKD.String(strings.Map(func(r rune) rune {
		return unicode.ToLower(unicode.ToTitle(r))
	}, s))
}
