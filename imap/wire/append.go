package wire

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The Append functions append an element of a response to dst, for what builds responses, or stores
// parts of them, without an Encoder. The Encoder writes with them, too, so each form exists once.
// The form of a set of numbers is that of uidset.Append.

// AppendNumber appends a number.
func AppendNumber(dst []byte, n uint64) []byte { return strconv.AppendUint(dst, n, 10) }

// AppendNIL appends NIL.
func AppendNIL(dst []byte) []byte { return append(dst, "NIL"...) }

// AppendString appends s as a quoted string where it can be one, and as a literal otherwise
// (RFC 3501 section 4.3). 8-bit octets are only in literals, as they are: a client that has not
// enabled UTF8=ACCEPT must not get them in quotes. NUL can be in neither; U+FFFD stands for it.
func AppendString(dst []byte, s string) []byte { return appendString(dst, s, false) }

// AppendText is AppendString; with utf8 on, UTF-8 stands in quoted strings (RFC 6855 section 3).
func AppendText(dst []byte, s string, utf8 bool) []byte { return appendString(dst, s, utf8) }

// appendString is AppendString; with utf8 on, UTF-8 stands in quoted strings (RFC 6855 section 3).
func appendString(dst []byte, s string, utf8 bool) []byte {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	}
	if !quotable(s, utf8) {
		return append(AppendLiteral(dst, int64(len(s))), s...)
	}
	dst = append(dst, '"')
	for {
		i := strings.IndexAny(s, `"\`)
		if i < 0 {
			return append(append(dst, s...), '"')
		}
		dst = append(dst, s[:i]...)
		dst = append(dst, '\\', s[i])
		s = s[i+1:]
	}
}

func quotable(s string, allowUTF8 bool) bool {
	if len(s) > maxQuoted {
		return false
	}
	ascii := true
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\r' || c == '\n':
			return false
		case c >= 0x80:
			ascii = false
		}
	}
	return ascii || allowUTF8 && utf8.ValidString(s)
}

// AppendNString appends NIL for the empty string, and any other as AppendString does.
func AppendNString(dst []byte, s string) []byte {
	if s == "" {
		return AppendNIL(dst)
	}
	return AppendString(dst, s)
}

// AppendAString appends s as an atom where it can be one, and as a string otherwise.
func AppendAString(dst []byte, s string) []byte {
	if IsAtom(s) && !strings.EqualFold(s, "NIL") {
		return append(dst, s...)
	}
	return AppendString(dst, s)
}

// AppendMailbox appends a mailbox name given in UTF-8: in modified UTF-7, or with utf8 on as it is.
func AppendMailbox(dst []byte, name string, utf8 bool) []byte {
	if !utf8 {
		name = EncodeUTF7(name)
	}
	if IsAtom(name) && !strings.EqualFold(name, "NIL") {
		return append(dst, name...)
	}
	return appendString(dst, name, utf8)
}

// AppendLiteral appends the mark of a literal of that size, which its octets must follow.
func AppendLiteral(dst []byte, size int64) []byte {
	dst = append(dst, '{')
	dst = strconv.AppendInt(dst, size, 10)
	return append(dst, "}\r\n"...)
}

// AppendFlags appends a parenthesised list of flags: system flags, given as they are written, with
// spaces between them, and keywords. It leaves out a keyword that is not a flag.
func AppendFlags(dst []byte, system string, keywords []string) []byte {
	dst = append(dst, '(')
	dst = append(dst, system...)
	sep := system != ""
	for _, k := range keywords {
		if !IsFlag(k) {
			continue
		}
		if sep {
			dst = append(dst, ' ')
		}
		dst = append(dst, k...)
		sep = true
	}
	return append(dst, ')')
}

// AppendDateTime appends a quoted date-time in t's own time zone (RFC 3501 section 9, date-time).
func AppendDateTime(dst []byte, t time.Time) []byte {
	dst = append(dst, '"')
	return append(t.AppendFormat(dst, dateTimeLayout), '"')
}
