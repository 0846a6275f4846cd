package mailgen

import (
	"encoding/binary"
	"math/rand/v2"
	"strconv"
)

func itoa(n int) string { return strconv.Itoa(n) }

// Random returns size octets that do not compress.
func Random(seed uint64, size int) []byte {
	out := make([]byte, (size+7)&^7)
	src := rand.NewPCG(seed, 1)
	for i := 0; i < len(out); i += 8 {
		binary.LittleEndian.PutUint64(out[i:], src.Uint64())
	}
	return out[:size]
}

// Text returns size octets of English text with CRLF.
func Text(seed uint64, size int) []byte {
	return []byte(newGen(seed, 2).text(size))[:size]
}

// PDF returns size octets that look like a PDF file: a header, objects whose streams do not
// compress, text between them, and a cross-reference table. About a tenth of it compresses.
func PDF(seed uint64, size int) []byte {
	g := newGen(seed, 3)
	out := make([]byte, 0, size+4096)
	out = append(out, "%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"...)
	var offsets []int
	for n := 1; len(out) < size; n++ {
		offsets = append(offsets, len(out))
		length := 2000 + g.IntN(30000)
		out = append(out, itoa(n)+
			" 0 obj\n<< /Type /XObject /Subtype /Image /Filter /FlateDecode /Length "+itoa(length)+" >>\nstream\n"...)
		out = append(out, Random(g.Uint64(), length)...)
		out = append(out, "\nendstream\nendobj\n"...)
		out = append(out, g.text(length/10)...)
	}
	start := len(out)
	out = append(out, "xref\n0 "+itoa(len(offsets))+"\n"...)
	for _, o := range offsets {
		s := itoa(o)
		out = append(out, "0000000000"[min(10, len(s)):]+s+" 00000 n \n"...)
	}
	out = append(out, "trailer\nstartxref\n"+itoa(start)+"\n%%EOF\n"...)
	return out[:size]
}
