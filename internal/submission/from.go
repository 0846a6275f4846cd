package submission

import (
	"bytes"
	"io"
	"mime"
	"net/mail"
	"strings"
)

// addresses reads the addresses of a From field, as it came: with its name, and folded. It returns
// nil if there is anything that cannot be read: what a reader would make of that, nobody knows.
func addresses(field []byte) []string {
	_, value, _ := bytes.Cut(field, []byte(":"))
	list := Addresses(unfold(value))
	if len(list) > maxFromAddresses {
		return nil
	}
	return list
}

// Addresses reads the addresses of a header field's value, unfolded. It returns nil if there is anything
// that cannot be read.
func Addresses(value string) []string {
	// Names in any charset will do: nobody looks at them.
	parser := mail.AddressParser{WordDecoder: &mime.WordDecoder{
		CharsetReader: func(_ string, r io.Reader) (io.Reader, error) { return r, nil }}}
	list, err := parser.ParseList(value)
	if err != nil {
		return nil
	}
	found := make([]string, len(list))
	for i, a := range list {
		found[i] = a.Address
	}
	return found
}

// unfold takes the line ends out of a field's value (RFC 5322 section 2.2.3).
func unfold(value []byte) string {
	return strings.TrimSpace(strings.NewReplacer("\r\n", "", "\n", "").Replace(string(value)))
}
