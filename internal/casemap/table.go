package casemap

import (
	"strings"
	"sync/atomic"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// blockSize is the number of characters of a block.
const blockSize = 128

// block has the mappings of neighbouring characters.
type block struct {
	text  string
	off   [blockSize + 1]uint16 // of each mapping in text
	tail  [blockSize]uint8      // octets of each mapping that are marks at its end
	class [blockSize]uint8      // canonical combining class of each character
}

// blocks are made when they are first asked for. Two goroutines may make the same one.
var blocks [(utf8.MaxRune + 1) / blockSize]atomic.Pointer[block]

// unchanged stands for all blocks whose characters are mapped to themselves and are no
// marks.
var unchanged = new(block)

// blockOf returns the block that r is in.
func blockOf(r rune) *block {
	p := &blocks[r/blockSize]
	if b := p.Load(); b != nil {
		return b
	}
	b := newBlock(r / blockSize * blockSize)
	p.Store(b)
	return b
}

// mapping returns what r is mapped to, of which the last octets are marks.
func (b *block) mapping(r rune) (text string, tail int) {
	i := r % blockSize
	return b.text[b.off[i]:b.off[i+1]], int(b.tail[i])
}

func newBlock(first rune) *block {
	b := new(block)
	var text strings.Builder
	changed := false
	for i := range rune(blockSize) {
		m := fixed(first + i)
		tail := marksAtEnd(m)
		changed = changed || tail > 0 || m != string(first+i)
		text.WriteString(m)
		b.off[i+1], b.tail[i] = uint16(text.Len()), uint8(tail)
		b.class[i] = class(string(first + i))
	}
	if !changed {
		return unchanged
	}
	b.text = text.String()
	return b
}

// fixed maps one character until nothing changes.
func fixed(r rune) string {
	s := string(r) // U+FFFD for what is no character
	for {
		next := norm.NFKD.String(strings.Map(func(r rune) rune {
			if Invisible(r) {
				return -1
			}
			return unicode.ToLower(unicode.ToTitle(r))
		}, s))
		if next == s {
			return s
		}
		s = next
	}
}

// marksAtEnd returns how many octets of s are marks after the last other character.
func marksAtEnd(s string) int {
	end := len(s)
	for end > 0 {
		_, n := utf8.DecodeLastRuneInString(s[:end])
		if class(s[end-n:end]) == 0 {
			break
		}
		end -= n
	}
	return len(s) - end
}

// class is the canonical combining class of the character that s is.
func class(s string) uint8 { return norm.NFKD.PropertiesString(s).CCC() }
