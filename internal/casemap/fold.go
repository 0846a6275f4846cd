package casemap

import (
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

const (
	// LongMapping is the length of a mapping, in octets, from which on Fold hands it out.
	LongMapping = 12
	// maxMarks is how many marks in a row are put in order; those that follow begin
	// anew. No writing needs so many.
	maxMarks = 32
)

// String returns the form of s in which it is compared.
func String(s string) string {
	ascii := true
	upper := false
	for i := 0; i < len(s) && ascii; i++ {
		ascii = s[i] < utf8.RuneSelf
		upper = upper || 'A' <= s[i] && s[i] <= 'Z'
	}
	if ascii && !upper {
		return s
	}
	var f Folder
	var out []byte
	for src := []byte(s); len(src) > 0; {
		var n int
		var long Long
		out, n, long = f.Fold(out, src, true)
		out = append(out, long.Text...)
		src = src[n:]
	}
	return string(f.End(out))
}

// A Folder maps a text that comes in pieces. Its zero value begins a text.
type Folder struct {
	tail  string // marks at the end of one mapping, which mostly stay the only ones
	marks []mark // marks at the end of several, in canonical order
}

// mark is a character, with its canonical combining class in front of it.
type mark uint32

const markRune = 1<<21 - 1

// Reset begins another text.
func (f *Folder) Reset() { f.tail, f.marks = "", f.marks[:0] }

// A Long is a long mapping. Its character is the same for equal texts.
type Long struct {
	Char rune
	Text string // empty for none
}

// Fold appends what src is mapped to, and returns how much of src it read. It stops
// behind a character with a long mapping, which it returns instead of appending it; it
// follows dst. Else it stops at the end of src, or before an incomplete character at the
// end of src unless that is the last of the text: the caller brings it again with what
// follows. After the last piece, call End.
func (f *Folder) Fold(dst, src []byte, last bool) (out []byte, n int, long Long) {
	for n < len(src) {
		if src[n] < utf8.RuneSelf {
			dst = f.flush(dst)
			start := n
			for n < len(src) && src[n] < utf8.RuneSelf {
				n++
			}
			dst = appendLower(dst, src[start:n])
			continue
		}
		r, size := utf8.DecodeRune(src[n:])
		if r == utf8.RuneError && size == 1 {
			if !last && !utf8.FullRune(src[n:]) {
				return dst, n, Long{}
			}
			r = charmap.Windows1252.DecodeByte(src[n])
		}
		n += size
		b := blockOf(r)
		if b == unchanged {
			dst = utf8.AppendRune(f.flush(dst), r)
			continue
		}
		text, tail := b.mapping(r)
		base := len(text) - tail
		if base > 0 {
			dst = f.flush(dst)
		}
		if tail > 0 {
			dst = f.addMarks(dst, text[base:])
		}
		if len(text) >= LongMapping {
			return dst, n, Long{r, text[:base]}
		}
		dst = append(dst, text[:base]...)
	}
	return dst, n, Long{}
}

// End appends what the end of the text leaves.
func (f *Folder) End(dst []byte) []byte { return f.flush(dst) }

// addMarks keeps marks until another character follows.
func (f *Folder) addMarks(dst []byte, marks string) []byte {
	if len(f.marks) == 0 {
		if f.tail == "" {
			f.tail = marks
			return dst
		}
		marks, f.tail = f.tail+marks, ""
	}
	for len(marks) > 0 {
		if len(f.marks) == maxMarks {
			dst = f.flush(dst)
		}
		r, n := utf8.DecodeRuneInString(marks)
		m := mark(blockOf(r).class[r%blockSize])<<21 | mark(r)
		f.marks = append(f.marks, m)
		i := len(f.marks) - 1
		for ; i > 0 && f.marks[i-1]>>21 > m>>21; i-- {
			f.marks[i] = f.marks[i-1]
		}
		f.marks[i] = m
		marks = marks[n:]
	}
	return dst
}

// flush appends the marks that were kept.
func (f *Folder) flush(dst []byte) []byte {
	if len(f.marks) == 0 {
		if f.tail != "" {
			dst = append(dst, f.tail...)
			f.tail = ""
		}
		return dst
	}
	for _, m := range f.marks {
		dst = utf8.AppendRune(dst, rune(m&markRune))
	}
	f.marks = f.marks[:0]
	return dst
}

// appendLower appends ASCII in lower case.
func appendLower(dst, src []byte) []byte {
	at := len(dst)
	dst = append(dst, src...)
	for i, c := range dst[at:] {
		if 'A' <= c && c <= 'Z' {
			dst[at+i] = c + 'a' - 'A'
		}
	}
	return dst
}
