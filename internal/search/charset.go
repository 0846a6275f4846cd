package search

import (
	"io"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-message/charset"

	"gadwall/internal/parttext"
)

// Charset returns a function that converts texts of a charset to UTF-8, by any
// of the charset's names at IANA; nil if it is not known. The function reports
// false for what is no text in the charset.
func Charset(name string) func(text string) (string, bool) {
	if parttext.IsUTF8(strings.ToLower(name)) {
		return func(text string) (string, bool) { return text, utf8.ValidString(text) }
	}
	decode := func(text string) (string, bool) {
		r, err := charset.Reader(name, strings.NewReader(text))
		if err != nil {
			return "", false
		}
		out, err := io.ReadAll(r)
		decoded := string(out)
		return decoded, err == nil && !strings.ContainsRune(decoded, utf8.RuneError)
	}
	// There are names that stand for no charset: they decode anything to U+FFFD.
	// The two octets are one character in UTF-16, and two in every other charset.
	if _, ok := decode("aa"); !ok {
		return nil
	}
	return decode
}
