package search

import (
	"io"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-message/charset"
)

// Charset returns a function that converts texts of a charset to UTF-8, by any
// of the charset's names at IANA; nil if it is not known. The function reports
// false for what is no text in the charset.
func Charset(name string) func(text string) (string, bool) {
	if isUTF8(strings.ToLower(name)) {
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

// isUTF8 reports a charset (lower case) whose texts are read as UTF-8.
func isUTF8(name string) bool {
	switch name {
	case "utf-8", "utf8", "us-ascii", "ascii":
		return true
	}
	return false
}

// decodeText converts the text of a part to UTF-8. Text of an unknown charset is
// taken for UTF-8, and what is not valid in it for windows-1252.
func decodeText(r io.Reader, name string) io.Reader {
	if name == "" || name == "unknown-8bit" || isUTF8(name) {
		return r // the sink does the rest
	}
	decoded, err := charset.Reader(name, r)
	if err != nil {
		return r
	}
	return decoded
}
