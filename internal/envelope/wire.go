package envelope

import (
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"gadwall/imap/wire"
)

// A writer makes wire forms: in memory, up to a limit, of a tree that has all there is to say; or
// to out, whatever the size, of a part table and header blocks that are read when they are needed.
type writer struct {
	buf   []byte
	limit int // of buf, without out

	out     io.Writer
	headers Headers

	err error
}

// errTooLarge says that a wire form passes the limit.
var errTooLarge = errors.New("too large to be stored")

// stop reports whether there is no use in going on. It is called between addresses and parts.
func (w *writer) stop() bool {
	switch {
	case w.err != nil:
	case w.out == nil && len(w.buf) > w.limit:
		w.err = errTooLarge
	case w.out != nil && len(w.buf) >= flushSize:
		w.flush()
	}
	return w.err != nil
}

func (w *writer) flush() {
	if w.err == nil {
		_, w.err = w.out.Write(w.buf)
	}
	w.buf = w.buf[:0]
}

func (w *writer) raw(s string) { w.buf = append(w.buf, s...) }
func (w *writer) sp()          { w.buf = append(w.buf, ' ') }

func (w *writer) number(n int64) { w.buf = wire.AppendNumber(w.buf, uint64(n)) }

// str appends s as a string, nstr the same or NIL if s is empty.
func (w *writer) str(s string)  { w.buf = wire.AppendString(w.buf, s) }
func (w *writer) nstr(s string) { w.buf = wire.AppendNString(w.buf, s) }

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
