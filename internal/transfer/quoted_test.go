package transfer

import (
	"bytes"
	"io"
	"mime/quotedprintable"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// quote encodes data as mail programs do (RFC 2045 section 6.7). Line ends in data are CRLF, or LF
// if bareLF; binary encodes them.
func quote(data string, limit int, full, bareLF, binary bool) string {
	eol := "\r\n"
	if bareLF {
		eol = "\n"
	}
	var out strings.Builder
	lines := []string{data}
	if !binary {
		lines = strings.Split(data, eol)
	}
	for k, line := range lines {
		if k > 0 {
			out.WriteString(eol)
		}
		column := 0
		for i := range len(line) {
			token, last, room := line[i:i+1], i+1 == len(line), limit-1
			if c := line[i]; !plainByte(c) || isBlank(c) && last {
				token = "=" + upperHex[c>>4:c>>4+1] + upperHex[c&15:c&15+1]
			}
			if full && last {
				room++
			}
			if column+len(token) > room {
				out.WriteString("=" + eol)
				column = 0
			}
			out.WriteString(token)
			column += len(token)
		}
	}
	return out.String()
}

// decodeQuoted runs input through a QuotedDecoder that learns from the given number of its first
// bytes.
func decodeQuoted(t interface{ Fatal(...any) }, input []byte, piece, sample int) (decoded, tail []byte, r Recipe) {
	var dec, rest bytes.Buffer
	d := NewQuotedDecoder(&dec, &rest, input[:min(sample, len(input))])
	for p := input; len(p) > 0; {
		n := min(piece, len(p))
		if m, err := d.Write(p[:n]); err != nil || m != n {
			t.Fatal("Write:", m, err)
		}
		p = p[n:]
	}
	if err := d.Close(); err != nil {
		t.Fatal("Close:", err)
	}
	return dec.Bytes(), rest.Bytes(), d.Recipe()
}

// checkQuoted asserts what must hold for any input.
func checkQuoted(t interface{ Fatal(...any) }, input []byte, piece, sample int) (decoded, tail []byte, r Recipe) {
	decoded, tail, r = decodeQuoted(t, input, piece, sample)
	if r.DecodedSize != int64(len(decoded)) {
		t.Fatal("DecodedSize", r.DecodedSize, "for decoded bytes:", len(decoded))
	}
	encoded := encodeRange(t, r, decoded, 0, r.EncodedLen(), piece)
	if got := append(bytes.Clone(encoded), tail...); !bytes.Equal(got, input) {
		t.Fatal("not identical:", cmp.Diff(string(input), string(got)))
	}
	back, rest, err := ReadRecipe(append(r.Append(nil), "rest"...))
	if err != nil || back != r || string(rest) != "rest" {
		t.Fatal("stored recipe:", r, back, rest, err)
	}
	return decoded, tail, r
}

func TestQuotedDecoder(t *testing.T) {
	words := strings.Repeat("the quick brown fox über die Straße ", 20)
	for _, c := range []struct {
		name, in string
		tail     string // "" is decoded as a whole
	}{
		{"plain", "hello\r\nworld\r\n", ""},
		{"no line end", "caf=C3=A9", ""},
		{"bare LF", "caf=C3=A9\nand=20\nmore", ""},
		{"blank at the end", "a=20\r\nb=09\r\n", ""},
		{"wrapped", quote(words, 76, true, false, false), ""},
		{"wrapped earlier", quote(words, 73, false, false, false), ""},
		{"CR and LF alone", "a=0Db=0Ac=0D\r\n", ""},
		{"binary", quote("\x00\x01\r\n\r\n=", 76, false, false, true), ""},
		{"lower case", "caf=c3=a9", "caf=c3=a9"},
		{"needless", "ok\r\n=41", "=41"},
		{"blank not encoded", "ok\r\nblank \r\n", "blank \r\n"},
		{"soft at a word", "first\r\nthis =\r\nbreaks\r\n", "this =\r\nbreaks\r\n"},
		{"soft at the end", quote(words+"x", 76, true, false, false) + "=\r\n", "=\r\n"},
		{"mixed line ends", "a\r\nb\nc", "b\nc"},
		{"incomplete", "a\r\n=", "="},
		{"eight bit", "a\r\nb\xe9\r\n", "b\xe9\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, piece := range []int{1, 2, 3, 7, 1 << 20} {
				_, tail, r := checkQuoted(t, []byte(c.in), piece, 4096)
				if string(tail) != c.tail {
					t.Fatalf("pieces of %d: tail %q, want %q (%+v)", piece, tail, c.tail, r)
				}
			}
		})
	}
}

// What the encoders of widely used libraries write is decoded as a whole.
func TestQuotedOfLibraries(t *testing.T) {
	text := strings.Repeat("Größe = 12 €; the end of a rather long line, with more words than fit \r\nnext\t\r\n", 300)
	for _, binary := range []bool{false, true} {
		var b bytes.Buffer
		w := quotedprintable.NewWriter(&b)
		w.Binary = binary
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		decoded, tail, _ := checkQuoted(t, b.Bytes(), 1000, 4096)
		if len(tail) > 0 || string(decoded) != text {
			t.Errorf("Go, binary %v: tail of %d bytes", binary, len(tail))
		}
	}
}

// Any range of a large body is made from what is near it.
func TestQuotedMarks(t *testing.T) {
	text := strings.Repeat("Größe und Übergröße, line after line of it all. ", 40) + "\r\n"
	data := strings.Repeat(text, 400)
	in := []byte(quote(data, 76, true, false, false))
	decoded, tail, r := checkQuoted(t, in, 10_000, 4096)
	if len(tail) > 0 || string(decoded) != data {
		t.Fatalf("tail of %d bytes", len(tail))
	}
	if len(r.Marks) < 20 || len(r.Marks) > 200 {
		t.Errorf("%d bytes of marks for %d", len(r.Marks), len(in))
	}
	for off := int64(0); off+5000 < int64(len(in)); off += 9973 {
		if _, size := r.Map(off, 5000); size > 3*markSpacing {
			t.Fatalf("range at %d needs %d decoded bytes", off, size)
		}
		if got := encodeRange(t, r, decoded, off, 5000, 777); !bytes.Equal(got, in[off:off+5000]) {
			t.Fatalf("range at %d differs", off)
		}
	}
}

func TestQuotedEveryRange(t *testing.T) {
	for _, in := range []string{
		quote("Füße =\r\nlong line that needs a soft line end \r\n\r\nx", 20, true, false, false),
		quote("Füße =\nlong line that needs a soft line end \n\nx\n", 20, false, true, false),
		quote("a\r\nb\x00 long line that needs a soft line end", 16, true, false, true) + "\r\n",
	} {
		decoded, tail, r := checkQuoted(t, []byte(in), 7, 4096)
		if len(tail) > 0 {
			t.Fatalf("tail %q of %q", tail, in)
		}
		for off := range len(in) + 1 {
			for n := range len(in) - off + 1 {
				if got := encodeRange(t, r, decoded, int64(off), int64(n), 5); string(got) != in[off:off+n] {
					t.Fatalf("%q at %d, %d bytes: got %q", in, off, n, got)
				}
			}
		}
	}
}

func TestQuotedAnyInput(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOfN(rapid.SampledFrom([]byte("aAbB =\t\r\n\x00é.-09")), 0, 600).Draw(t, "data")
		in := []byte(quote(string(data), rapid.SampledFrom([]int{8, 10, 40, 73, 75, 76}).Draw(t, "limit"),
			rapid.Bool().Draw(t, "full"), rapid.Bool().Draw(t, "bareLF"), rapid.Bool().Draw(t, "binary")))
		for range rapid.IntRange(0, 3).Draw(t, "mutations") {
			at := rapid.IntRange(0, len(in)).Draw(t, "at")
			insert := rapid.SampledFrom([]string{"\r\n", "\n", "\r", "=", "=\r\n", "=20", "=0D=0A",
				"=0A", "A", " ", "\x00"}).Draw(t, "insert")
			cut := rapid.IntRange(0, min(3, len(in)-at)).Draw(t, "cut")
			in = append(append(bytes.Clone(in[:at]), insert...), in[at+cut:]...)
		}
		piece := rapid.IntRange(1, 100).Draw(t, "piece")
		sample := rapid.SampledFrom([]int{0, 20, 100, 1000}).Draw(t, "sample")
		decoded, _, r := checkQuoted(t, in, piece, sample)
		size := int(r.EncodedLen())
		off := rapid.IntRange(0, size).Draw(t, "off")
		n := rapid.IntRange(0, size-off).Draw(t, "n")
		if got := encodeRange(t, r, decoded, int64(off), int64(n), piece); !bytes.Equal(got, in[off:off+n]) {
			t.Fatalf("range %d+%d: got %q, want %q", off, n, got, in[off:off+n])
		}
		if _, _, whole := checkQuoted(t, in, len(in)+1, sample); whole != r {
			t.Fatalf("recipe %+v in pieces of %d, %+v as a whole", r, piece, whole)
		}
	})
}

func FuzzQuotedDecoder(f *testing.F) {
	f.Add([]byte("caf=C3=A9=\r\n x=20\r\n"), 3)
	f.Add([]byte(quote(strings.Repeat("long lines of text ", 20), 76, true, false, false)), 1)
	f.Fuzz(func(t *testing.T, in []byte, piece int) {
		checkQuoted(t, in, max(piece, 1), 4096)
	})
}

func BenchmarkQuotedDecoder(b *testing.B) {
	in := []byte(quote(strings.Repeat("Größe und <a href=\"x\">Übergröße</a>, line after line of "+
		"it all. ", 20000), 76, true, false, false))
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		d := NewQuotedDecoder(io.Discard, io.Discard, in[:4096])
		d.Write(in)
		d.Close()
		if d.Deviated() {
			b.Fatal("deviated")
		}
	}
}

func BenchmarkQuotedEncoder(b *testing.B) {
	in := []byte(quote(strings.Repeat("Größe und <a href=\"x\">Übergröße</a>, line after line of "+
		"it all. ", 20000), 76, true, false, false))
	decoded, _, r := decodeQuoted(b, in, len(in), 4096)
	b.SetBytes(r.EncodedLen())
	for b.Loop() {
		e, err := r.NewEncoder(io.Discard, 0, r.EncodedLen())
		if err != nil {
			b.Fatal(err)
		}
		e.Write(decoded)
		if err := e.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
