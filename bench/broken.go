package bench

import (
	"bytes"
)

// damages break one rule each, as mail that really arrives does. Each returns nil if the mail has
// nothing to break in that way. Line ends stay CRLF, and no octet is NUL: a server may change such
// mail when it stores it.
var damages = []func(s source, raw []byte) []byte{
	// Octets of an older charset in a header field (RFC 5322 section 2.2 allows ASCII only).
	func(_ source, raw []byte) []byte {
		return replaceOnce(raw, "\r\nSubject: ", "\r\nSubject: Gr\xfc\xdfe ")
	},
	// No line closes the outermost multipart (RFC 2046 section 5.1.1).
	func(_ source, raw []byte) []byte {
		at := bytes.LastIndex(raw, []byte("\r\n--"))
		if at < 0 || !bytes.HasSuffix(bytes.TrimRight(raw, "\r\n"), []byte("--")) {
			return nil
		}
		return raw[:at+2]
	},
	// A charset that nobody knows.
	func(_ source, raw []byte) []byte { return replaceOnce(raw, "charset=utf-8", "charset=x-unknown") },
	// Characters in base64 that are not of its alphabet (RFC 2045 section 6.8).
	func(_ source, raw []byte) []byte {
		return replaceOnce(raw, "\r\nContent-Transfer-Encoding: base64\r\n\r\n",
			"\r\nContent-Transfer-Encoding: base64\r\n\r\n!-!\r\n")
	},
	// A date that is none (RFC 5322 section 3.3).
	func(_ source, raw []byte) []byte { return replaceField(raw, "\r\nDate: ", "\r\nDate: yesterday") },
	// No identity.
	func(_ source, raw []byte) []byte { return replaceField(raw, "\r\nMessage-ID: ", "") },
	// The end is missing, as of a transfer that was cut off.
	func(s source, raw []byte) []byte {
		header := bytes.Index(raw, []byte("\r\n\r\n")) + 4
		at := header + s.IntN(len(raw)-header)
		end := bytes.Index(raw[at:], []byte("\r\n"))
		if end < 0 {
			return nil
		}
		return raw[:at+end+2]
	},
}

// broken breaks a mail in one of the ways of damages.
func broken(s source, raw []byte) []byte {
	first := s.IntN(len(damages))
	for i := range damages {
		if made := damages[(first+i)%len(damages)](s, raw); made != nil {
			return made
		}
	}
	return raw
}

func replaceOnce(raw []byte, old, with string) []byte {
	if !bytes.Contains(raw, []byte(old)) {
		return nil
	}
	return bytes.Replace(raw, []byte(old), []byte(with), 1)
}

// replaceField replaces the beginning of a field, and the rest of its line.
func replaceField(raw []byte, start, with string) []byte {
	at := bytes.Index(raw, []byte(start))
	header := bytes.Index(raw, []byte("\r\n\r\n"))
	if at < 0 || at >= header {
		return nil
	}
	end := at + 2 + bytes.Index(raw[at+2:], []byte("\r\n"))
	return append(append(append([]byte(nil), raw[:at]...), with...), raw[end:]...)
}
