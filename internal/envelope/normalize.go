package envelope

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Normalize gives the form of text in which substrings are compared: case does not matter, nor do
// different encodings of the same character, nor characters that no reader sees. It is
// i;unicode-casemap (RFC 5051), in lower case: invisible characters go, the others are mapped to
// title case, then to lower case, then decomposed. Normalise both what is searched and what is
// searched for. The result is valid UTF-8.
func Normalize(s string) string {
	ascii := true
	for i := 0; i < len(s) && ascii; i++ {
		ascii = s[i] < utf8.RuneSelf
	}
	if ascii {
		return strings.ToLower(s)
	}
	return norm.NFKD.String(strings.Map(fold, s))
}

// fold maps a character as Normalize does before it decomposes; -1 for one that goes.
func fold(r rune) rune {
	if r < utf8.RuneSelf {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}
	if Invisible(r) {
		return -1
	}
	return unicode.ToLower(unicode.ToTitle(r))
}

// Invisible reports a character that is shown as nothing where it has no effect on its neighbours:
// the property Default_Ignorable_Code_Point of Unicode. The soft hyphen, zero-width characters,
// marks of direction and variation selectors are such.
func Invisible(r rune) bool {
	switch {
	case r < 0xad:
		return false
	case r == 0xad:
		return true
	case r < 0x34f:
		return false
	}
	switch {
	case unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r), unicode.Is(unicode.Variation_Selector, r):
		return true
	case !unicode.Is(unicode.Cf, r):
		return false
	case unicode.Is(unicode.Prepended_Concatenation_Mark, r),
		0xfff9 <= r && r <= 0xfffb,   // interlinear annotation
		0x13430 <= r && r <= 0x1343f: // Egyptian hieroglyph format controls
		return false
	}
	return true
}
