package wire

import (
	"encoding/base64"
	"errors"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// errUTF7 says that a name is not valid modified UTF-7.
var errUTF7 = errors.New("imap: invalid modified UTF-7")

// base64 of modified UTF-7: "," for "/", no padding (RFC 3501 section 5.1.3).
var utf7Base64 = base64.NewEncoding(
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,",
).WithPadding(base64.NoPadding).Strict()

// EncodeUTF7 writes UTF-8 in modified UTF-7. Invalid UTF-8 becomes U+FFFD.
func EncodeUTF7(s string) string {
	plain := true
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '&' {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	var out strings.Builder
	var wide []byte
	flush := func() {
		if len(wide) > 0 {
			out.WriteByte('&')
			out.WriteString(utf7Base64.EncodeToString(wide))
			out.WriteByte('-')
			wide = wide[:0]
		}
	}
	for _, r := range s {
		switch {
		case r == '&':
			flush()
			out.WriteString("&-")
		case r >= 0x20 && r <= 0x7e:
			flush()
			out.WriteRune(r)
		case r >= 0x10000:
			hi, lo := utf16.EncodeRune(r)
			wide = append(wide, byte(hi>>8), byte(hi), byte(lo>>8), byte(lo))
		default:
			wide = append(wide, byte(r>>8), byte(r))
		}
	}
	flush()
	return out.String()
}

// DecodeUTF7 reads modified UTF-7 strictly: what EncodeUTF7 would write in
// another way (a printable character in base64, two base64 runs side by side)
// is an error, so that one mailbox has one name (RFC 3501 section 5.1.3).
func DecodeUTF7(s string) (string, error) {
	if strings.IndexByte(s, '&') < 0 {
		for i := 0; i < len(s); i++ {
			if s[i] < 0x20 || s[i] > 0x7e {
				return "", errUTF7
			}
		}
		return s, nil
	}
	var out strings.Builder
	afterBase64 := false
	for i := 0; i < len(s); {
		c := s[i]
		if c < 0x20 || c > 0x7e {
			return "", errUTF7
		}
		if c != '&' {
			out.WriteByte(c)
			afterBase64 = false
			i++
			continue
		}
		end := strings.IndexByte(s[i:], '-')
		if end < 0 {
			return "", errUTF7
		}
		run := s[i+1 : i+end]
		i += end + 1
		if run == "" {
			out.WriteByte('&')
			afterBase64 = false
			continue
		}
		if afterBase64 {
			return "", errUTF7
		}
		if err := decodeRun(&out, run); err != nil {
			return "", err
		}
		afterBase64 = true
	}
	return out.String(), nil
}

func decodeRun(out *strings.Builder, run string) error {
	if strings.ContainsAny(run, "\r\n") {
		return errUTF7 // package base64 would pass over them
	}
	b, err := utf7Base64.DecodeString(run)
	if err != nil || len(b)%2 != 0 {
		return errUTF7
	}
	for i := 0; i < len(b); i += 2 {
		r := rune(b[i])<<8 | rune(b[i+1])
		switch {
		case utf16.IsSurrogate(r):
			if i+4 > len(b) {
				return errUTF7
			}
			r = utf16.DecodeRune(r, rune(b[i+2])<<8|rune(b[i+3]))
			if r == utf8.RuneError {
				return errUTF7
			}
			i += 2
		case r >= 0x20 && r <= 0x7e, r == 0:
			return errUTF7
		}
		out.WriteRune(r)
	}
	return nil
}
