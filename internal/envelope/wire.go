package envelope

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// A writer appends wire forms to a buffer.
type writer struct{ buf []byte }

func (w *writer) raw(s string) { w.buf = append(w.buf, s...) }
func (w *writer) sp()          { w.buf = append(w.buf, ' ') }

func (w *writer) number(n int64) { w.buf = strconv.AppendInt(w.buf, n, 10) }

// str appends s as a quoted string where it may be one, else as a literal (RFC 3501 section 4.3). A NUL can be in
// neither, U+FFFD stands for it. 8-bit octets go into literals as they are, as Dovecot does: header fields may
// have any, and a client that has not enabled UTF8=ACCEPT must not get them in quotes.
func (w *writer) str(s string) {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	}
	quoted := true
	for i := 0; i < len(s) && quoted; i++ {
		quoted = s[i] < 0x80 && s[i] != '\r' && s[i] != '\n'
	}
	if !quoted {
		w.raw("{")
		w.number(int64(len(s)))
		w.raw("}\r\n")
		w.raw(s)
		return
	}
	w.raw(`"`)
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			w.buf = append(w.buf, '\\')
		}
		w.buf = append(w.buf, s[i])
	}
	w.raw(`"`)
}

// nstr is str, or NIL if s is empty.
func (w *writer) nstr(s string) {
	if s == "" {
		w.raw("NIL")
		return
	}
	w.str(s)
}

// human is s with every run of white space made a single space, and none around it. Folding leaves
// such runs behind in what people read: subjects, names, descriptions.
func human(s string) string {
	for i := 0; i < len(s); i++ {
		if isSpace(s[i]) && (s[i] != ' ' || i == 0 || i == len(s)-1 || s[i-1] == ' ') {
			return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r < 0x80 && isSpace(byte(r)) }), " ")
		}
	}
	return s
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// cut shortens s to at most n octets, without cutting a UTF-8 character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for i := range utf8.UTFMax {
		if n-i >= 0 && utf8.RuneStart(s[n-i]) {
			return s[:n-i]
		}
	}
	return s[:n] // not UTF-8 anyway
}
