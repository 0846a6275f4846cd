package transfer

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// decode runs input through a Decoder in pieces of the given size.
func decode(t interface{ Fatal(...any) }, input []byte, piece int) (decoded, tail []byte, r Recipe) {
	var dec, rest bytes.Buffer
	d := NewDecoder(&dec, &rest)
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

// encodeRange makes n encoded bytes at off.
func encodeRange(t interface{ Fatal(...any) }, r Recipe, decoded []byte, off, n int64, piece int) []byte {
	var out bytes.Buffer
	e, err := r.NewEncoder(&out, off, n)
	if err != nil {
		t.Fatal(err)
	}
	start, size := r.Map(off, n)
	for p := decoded[start : start+size]; len(p) > 0; {
		k := min(piece, len(p))
		if _, err := e.Write(p[:k]); err != nil {
			t.Fatal(err)
		}
		p = p[k:]
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// check asserts what must hold for any input.
func check(t interface{ Fatal(...any) }, input []byte, piece int) (decoded, tail []byte, r Recipe) {
	decoded, tail, r = decode(t, input, piece)
	if r.DecodedSize != int64(len(decoded)) {
		t.Fatal("DecodedSize", r.DecodedSize, "for decoded bytes:", len(decoded))
	}
	encoded := encodeRange(t, r, decoded, 0, r.EncodedLen(), piece)
	if int64(len(encoded)) != r.EncodedLen() {
		t.Fatal("EncodedLen", r.EncodedLen(), "for encoded bytes:", len(encoded))
	}
	if got := append(bytes.Clone(encoded), tail...); !bytes.Equal(got, input) {
		t.Fatal("not identical:", cmp.Diff(string(input), string(got)))
	}
	stored := r.Append(nil)
	back, rest, err := ReadRecipe(append(stored, "rest"...))
	if err != nil || back != r || string(rest) != "rest" {
		t.Fatal("stored recipe:", r, back, rest, err)
	}
	return decoded, tail, r
}

// lines encodes data in lines of that length; 0 for one line.
func lines(data []byte, length int, eol string, final bool) string {
	s := base64.StdEncoding.EncodeToString(data)
	var b strings.Builder
	for length > 0 && len(s) > length {
		b.WriteString(s[:length] + eol)
		s = s[length:]
	}
	b.WriteString(s)
	if final {
		b.WriteString(eol)
	}
	return b.String()
}

func TestDecoder(t *testing.T) {
	long := bytes.Repeat([]byte("0123456789"), 5000)
	for _, c := range []struct {
		name, in      string
		decoded, tail string
		recipe        Recipe
	}{
		{"empty", "", "", "", Recipe{}},
		{"only line end", "\r\n", "", "\r\n", Recipe{}},
		{"one group", "QUJD", "ABC", "", Recipe{DecodedSize: 3}},
		{"one line", "QUJD\r\n", "ABC", "", Recipe{LineLength: 4, FinalEOL: true, DecodedSize: 3}},
		{"one pad", "QUI=\n", "AB", "", Recipe{LineLength: 4, BareLF: true, FinalEOL: true, DecodedSize: 2}},
		{"two pads", "QQ==", "A", "", Recipe{DecodedSize: 1}},
		{"pad bits", "QR==", "", "QR==", Recipe{}},
		{"pad within", "QUJDQQ==QUJD", "ABCA", "QUJD", Recipe{DecodedSize: 4}},
		{"line after pad", "QUJDQQ==\r\nQUJD", "ABCA", "QUJD", Recipe{LineLength: 8, FinalEOL: true, DecodedSize: 4}},
		{"short last line", "QUJDQUJD\r\nQUJD\r\n", "ABCABCABC", "",
			Recipe{LineLength: 8, FinalEOL: true, DecodedSize: 9}},
		{"more line ends", "QUJD\r\n\r\n", "ABC", "\r\n", Recipe{LineLength: 4, FinalEOL: true, DecodedSize: 3}},
		{"short line within", "QUJDQUJD\r\nQUJD\r\nQUJD", "ABCABCABC", "QUJD",
			Recipe{LineLength: 8, FinalEOL: true, DecodedSize: 9}},
		{"long line within", "QUJD\r\nQUJDQUJD\r\n", "ABCABC", "QUJD\r\n", Recipe{LineLength: 4, DecodedSize: 6}},
		{"mixed line ends", "QUJD\r\nQUJD\nQUJD", "ABCABC", "\nQUJD", Recipe{LineLength: 4, DecodedSize: 6}},
		{"CR alone", "QUJD\rQUJD", "ABC", "\rQUJD", Recipe{DecodedSize: 3}},
		{"CR at the end", "QUJD\r", "ABC", "\r", Recipe{DecodedSize: 3}},
		{"line not of groups", "QUJDQU\r\nJD", "ABC", "QU\r\nJD", Recipe{DecodedSize: 3}},
		{"space", "QUJD QUJD", "ABC", " QUJD", Recipe{DecodedSize: 3}},
		{"text", "Hello, this is not base64.\r\n", "\x1d\xe9\x65", "o, this is not base64.\r\n",
			Recipe{DecodedSize: 3}},
		{"incomplete", "QUJDQU", "ABC", "QU", Recipe{DecodedSize: 3}},
		{"long line", lines(long, 0, "", false), string(long), "", Recipe{DecodedSize: int64(len(long))}},
		{"long lines", lines(long, 20000, "\n", true), string(long), "",
			Recipe{LineLength: 20000, BareLF: true, FinalEOL: true, DecodedSize: int64(len(long))}},
		{"usual lines", lines(long, 76, "\r\n", true), string(long), "",
			Recipe{LineLength: 76, FinalEOL: true, DecodedSize: int64(len(long))}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, piece := range []int{1, 2, 3, 5, 76, 77, 1 << 20} {
				decoded, tail, r := check(t, []byte(c.in), piece)
				if string(decoded) != c.decoded || string(tail) != c.tail {
					t.Fatalf("pieces of %d: decoded %.80q, tail %.80q", piece, decoded, tail)
				}
				if diff := cmp.Diff(c.recipe, r); diff != "" {
					t.Fatalf("pieces of %d: recipe (-want +got):\n%s", piece, diff)
				}
			}
		})
	}
}

func TestEveryRange(t *testing.T) {
	data := []byte("The quick brown fox jumps")
	for _, in := range []string{
		lines(data, 8, "\r\n", true), lines(data, 8, "\n", false), lines(data[:24], 8, "\r\n", true),
		lines(data[:24], 8, "\r\n", false), lines(data[:23], 0, "", false), lines(data[:1], 4, "\r\n", true),
	} {
		decoded, tail, r := check(t, []byte(in), 7)
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

// mailLike draws base64 bodies of all sorts, most of them damaged somewhere.
func mailLike(t *rapid.T) []byte {
	data := rapid.SliceOfN(rapid.Byte(), 0, 400).Draw(t, "data")
	length := rapid.SampledFrom([]int{0, 4, 8, 60, 72, 76, 300}).Draw(t, "length")
	eol := rapid.SampledFrom([]string{"\r\n", "\n"}).Draw(t, "eol")
	in := []byte(lines(data, length, eol, rapid.Bool().Draw(t, "final")))
	for range rapid.IntRange(0, 2).Draw(t, "mutations") {
		at := rapid.IntRange(0, len(in)).Draw(t, "at")
		insert := rapid.SampledFrom([]string{"\r\n", "\n", "\r", "=", "A", "AAAA", " ", "-", "\x00"}).Draw(t, "insert")
		cut := rapid.IntRange(0, min(3, len(in)-at)).Draw(t, "cut")
		in = append(append(bytes.Clone(in[:at]), insert...), in[at+cut:]...)
	}
	return in
}

func TestAnyInput(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := mailLike(t)
		piece := rapid.IntRange(1, 100).Draw(t, "piece")
		decoded, _, r := check(t, in, piece)
		size := int(r.EncodedLen())
		off := rapid.IntRange(0, size).Draw(t, "off")
		n := rapid.IntRange(0, size-off).Draw(t, "n")
		got := encodeRange(t, r, decoded, int64(off), int64(n), piece)
		if !bytes.Equal(got, in[off:off+n]) {
			t.Fatalf("range %d+%d: got %q, want %q", off, n, got, in[off:off+n])
		}
		// The result does not depend on the pieces.
		if _, _, whole := check(t, in, len(in)+1); whole != r {
			t.Fatalf("recipe %+v in pieces of %d, %+v as a whole", r, piece, whole)
		}
	})
}

func FuzzDecoder(f *testing.F) {
	f.Add([]byte("QUJD\r\nQUJD\r\n"), 3)
	f.Add([]byte("QUJDQQ==\n\n"), 1)
	f.Fuzz(func(t *testing.T, in []byte, piece int) {
		if piece < 1 {
			piece = 1
		}
		check(t, in, piece)
	})
}

func FuzzReadRecipe(f *testing.F) {
	f.Add(Recipe{LineLength: 76, FinalEOL: true, DecodedSize: 1 << 40}.Append(nil))
	f.Add(IdentityOf(5).Append(nil))
	f.Fuzz(func(t *testing.T, in []byte) {
		r, _, err := ReadRecipe(in)
		if err != nil {
			if !errors.Is(err, errRecipe) {
				t.Fatal(err)
			}
			return
		}
		size := r.EncodedLen()
		if size < r.DecodedSize {
			t.Fatalf("%+v: encoded %d", r, size)
		}
		for _, off := range []int64{0, size / 3, size} {
			if start, n := r.Map(off, size-off); start < 0 || n < 0 || start+n > r.DecodedSize {
				t.Fatalf("%+v: Map(%d) = %d, %d", r, off, start, n)
			}
		}
	})
}

func TestErrors(t *testing.T) {
	r := Recipe{LineLength: 4, DecodedSize: 6}
	if _, err := r.NewEncoder(io.Discard, 5, 6); !errors.Is(err, ErrRange) {
		t.Error("range too long:", err)
	}
	e, err := r.NewEncoder(io.Discard, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); !errors.Is(err, ErrShort) {
		t.Error("Close too early:", err)
	}
	if _, err := e.Write(make([]byte, 7)); !errors.Is(err, ErrRange) {
		t.Error("too many bytes:", err)
	}
	d := NewDecoder(failing{}, io.Discard)
	d.Write([]byte("QUJD"))
	if err := d.Close(); !errors.Is(err, errFailing) {
		t.Error("Close with failing sink:", err)
	}
	d = NewDecoder(io.Discard, failing{})
	if _, err := d.Write([]byte("QUJD QUJD")); !errors.Is(err, errFailing) {
		t.Error("Write with failing tail:", err)
	}
}

var errFailing = errors.New("failing")

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errFailing }

func BenchmarkDecoder(b *testing.B) {
	in := []byte(lines(make([]byte, 1<<20), 76, "\r\n", true))
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		d := NewDecoder(io.Discard, io.Discard)
		d.Write(in)
		d.Close()
		if d.Deviated() {
			b.Fatal("deviated")
		}
	}
}

func BenchmarkEncoder(b *testing.B) {
	data := make([]byte, 1<<20)
	r := Recipe{LineLength: 76, FinalEOL: true, DecodedSize: int64(len(data))}
	b.SetBytes(r.EncodedLen())
	for b.Loop() {
		e, err := r.NewEncoder(io.Discard, 0, r.EncodedLen())
		if err != nil {
			b.Fatal(err)
		}
		e.Write(data)
		if err := e.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
