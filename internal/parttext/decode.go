package parttext

import (
	"io"

	"github.com/emersion/go-message/charset"
)

// Decode converts the text of a part to UTF-8. Text of an unknown charset is taken for UTF-8, and
// the reader gets octets that are not UTF-8 as they are.
func Decode(r io.Reader, name string) io.Reader {
	if name == "" || name == "unknown-8bit" || IsUTF8(name) {
		return r
	}
	decoded, err := charset.Reader(name, r)
	if err != nil {
		return r
	}
	return decoded
}

// IsUTF8 reports a charset (lower case) whose texts are read as UTF-8.
func IsUTF8(name string) bool {
	switch name {
	case "utf-8", "utf8", "us-ascii", "ascii":
		return true
	}
	return false
}
