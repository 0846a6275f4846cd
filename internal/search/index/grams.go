package index

import (
	"math/bits"
	"unicode/utf8"
)

const (
	// gramLength is how many characters a gram has. docs/measured.md has what others cost.
	gramLength = 4
	// bitCount is how many bits the grams of a mail are hashed to.
	bitCount = 192 * groupBits

	// charBits is how many bits of a character count.
	charBits = 12
	// wide is the first character of the scripts of which two characters are as rare as four
	// letters: Hangul, kana, Han. Two of them are a gram, too.
	wide = 0x1100
)

// Field is a header field that has grams of its own, beside those that it has as a text.
type Field uint8

// Fields.
const (
	Text Field = iota // any text
	From
	To
	Cc
	Bcc
	Subject
)

// FieldOf returns the field of a name in lower case; Text if it has no grams of its own.
func FieldOf(name string) Field {
	switch name {
	case "from":
		return From
	case "to":
		return To
	case "cc":
		return Cc
	case "bcc":
		return Bcc
	case "subject":
		return Subject
	}
	return Text
}

// window is the last characters of a text.
type window struct {
	chars uint64
	n     int // how many, up to gramLength
	wide  int // how many of the last ones are wide, up to 2
}

const (
	gramMask = 1<<(gramLength*charBits) - 1
	pairMask = 1<<(2*charBits) - 1
)

// next takes the next character, and calls yield with the bits of the grams that end with it.
func (w *window) next(r rune, salt uint64, yield func(bit uint32)) {
	w.chars = w.chars<<charBits | uint64(r^r>>charBits)&(1<<charBits-1)
	if w.n++; w.n >= gramLength {
		w.n = gramLength
		yield(hash(w.chars&gramMask ^ salt))
	}
	if r < wide {
		w.wide = 0
		return
	}
	if w.wide++; w.wide >= 2 {
		yield(hash(w.chars&pairMask ^ salt ^ 1<<63))
	}
}

// hash is the bit of a gram.
func hash(gram uint64) uint32 {
	gram *= 0x9e3779b97f4a7c15
	gram ^= gram >> 32
	gram *= 0xd6e8feb86659fd93
	return uint32(gram >> 32 * bitCount >> 32)
}

func (f Field) salt() uint64 { return uint64(f) << 56 }

// Grams gathers the grams of one mail. Its zero value has none.
type Grams struct {
	set  [bitCount / 64]uint64
	w    window
	kept []byte // an incomplete character
}

// Reset begins another mail.
func (g *Grams) Reset() { *g = Grams{kept: g.kept[:0]} }

// Begin begins another text: no gram goes over its edge.
func (g *Grams) Begin() { g.w, g.kept = window{}, g.kept[:0] }

// Add takes the next piece of the text, mapped by casemap.
func (g *Grams) Add(mapped []byte) { g.w = g.add(g.w, mapped, Text.salt()) }

// AddField takes the whole text of a header field, mapped.
func (g *Grams) AddField(f Field, text string) { g.add(window{}, []byte(text), f.salt()) }

// add takes what follows the window, and returns the next one.
func (g *Grams) add(w window, mapped []byte, salt uint64) window {
	for i := 0; i < len(mapped); {
		if c := mapped[i]; c < utf8.RuneSelf {
			i++
			w.chars = w.chars<<charBits | uint64(c)
			w.wide = 0
			if w.n < gramLength {
				if w.n++; w.n < gramLength {
					continue
				}
			}
			bit := hash(w.chars&gramMask ^ salt)
			g.set[bit/64] |= 1 << (bit % 64)
			continue
		}
		r, n := utf8.DecodeRune(mapped[i:])
		i += n
		w.next(r, salt, g.mark)
	}
	return w
}

func (g *Grams) mark(bit uint32) { g.set[bit/64] |= 1 << (bit % 64) }

// Count returns how many bits are set.
func (g *Grams) Count() int {
	n := 0
	for _, word := range g.set {
		n += bits.OnesCount64(word)
	}
	return n
}

// Has reports whether the mail may have a text of which the bits are.
func (g *Grams) Has(needle []uint32) bool {
	for _, bit := range needle {
		if g.set[bit/64]&(1<<(bit%64)) == 0 {
			return false
		}
	}
	return true
}

// Needle returns the bits that a mail has if the text, mapped, is in one of its texts. There are
// none if the text is too short. Of a long text they are of grams from all of it: message identifiers
// and addresses of one sender differ in the middle or at the end.
func Needle(f Field, text string) []uint32 {
	var w window
	var list []uint32
	seen := make(map[uint32]bool)
	for _, r := range text {
		w.next(r, f.salt(), func(bit uint32) {
			if !seen[bit] {
				seen[bit] = true
				list = append(list, bit)
			}
		})
	}
	if len(list) <= maxNeedle {
		return list
	}
	for i := range maxNeedle {
		list[i] = list[i*(len(list)-1)/(maxNeedle-1)]
	}
	return list[:maxNeedle]
}

// maxNeedle is how many bits of a needle are compared: more leave hardly fewer candidates.
const maxNeedle = 12
