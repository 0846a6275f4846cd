package deflate

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"gadwall/internal/mailgen"
)

// chunks gives one chunk a read, and then says that it would wait.
type chunks struct{ list [][]byte }

var errWait = errors.New("would wait")

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.list) == 0 {
		return 0, errWait
	}
	n := copy(p, c.list[0])
	if c.list[0] = c.list[0][n:]; len(c.list[0]) == 0 {
		c.list = c.list[1:]
	}
	return n, nil
}

func deflated(t testing.TB, data []byte, level int) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(data)
	w.Close()
	return b.Bytes()
}

// The reader gives what the library's reader gives, whatever the pieces.
func TestReader(t *testing.T) {
	random := make([]byte, 200_000)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range random {
		random[i] = byte(rng.Uint32())
	}
	for _, data := range [][]byte{
		nil, []byte("a"), random, bytes.Repeat([]byte("abc"), 100_000), make([]byte, 300_000),
		mailgen.Message(3), []byte(strings.Repeat("a1 FETCH 1:* FLAGS\r\n", 3000)),
	} {
		for _, level := range []int{0, 1, 6, 9, flate.HuffmanOnly} {
			for _, piece := range []int{1, 7, 5000, 1 << 20} {
				var list [][]byte
				for rest := deflated(t, data, level); len(rest) > 0; {
					n := min(piece, len(rest))
					list = append(list, rest[:n])
					rest = rest[n:]
				}
				r := NewReader(&chunks{list}, nil)
				got, err := io.ReadAll(r)
				if err != nil || !bytes.Equal(got, data) {
					t.Fatalf("%d octets, level %d, pieces of %d: %d octets, %v", len(data), level, piece, len(got), err)
				}
				if cap(r.out) > 2*outputSize {
					t.Fatalf("window of %d octets", cap(r.out))
				}
			}
		}
	}
}

// partial is a fixed block with the octets, ended as zlib's Z_PARTIAL_FLUSH ends it: by an empty fixed
// block, without a mark (and without a whole octet at its end).
type bitWriter struct {
	out  []byte
	bits int
}

func (w *bitWriter) put(v uint, n int, reversed bool) {
	for i := range n {
		bit := v >> i & 1
		if reversed {
			bit = v >> (n - 1 - i) & 1
		}
		if w.bits%8 == 0 {
			w.out = append(w.out, 0)
		}
		w.out[len(w.out)-1] |= byte(bit << (w.bits % 8))
		w.bits++
	}
}

func (w *bitWriter) block(text string) {
	w.put(0b010, 3, false) // not the last one; fixed codes
	for _, c := range []byte(text) {
		w.put(0x30+uint(c), 8, true)
	}
	w.put(0, 7, true)
}

// A client that flushes by Z_PARTIAL_FLUSH is answered: whatever can be decoded comes without
// waiting for more.
func TestReaderPartialFlush(t *testing.T) {
	var w bitWriter
	src := &chunks{}
	r := NewReader(src, nil)
	sent := 0
	for _, text := range []string{"a1 NOOP\r\n", "a2 SELECT INBOX\r\n", "x"} {
		w.block(text)
		w.block("")
		whole := w.bits / 8 // zlib keeps the bits of the last octet back
		src.list = append(src.list, w.out[sent:whole])
		sent = whole
		got := make([]byte, 0, 100)
		for {
			n, err := r.Read(got[len(got):cap(got)])
			got = got[:len(got)+n]
			if err == errWait {
				r.err = nil
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if string(got) != text {
			t.Fatalf("got %q, want %q", got, text)
		}
	}
}

// What a Writer flushed can be read, with a compressor and without, in turns.
func TestWriter(t *testing.T) {
	pool := NewPool(1)
	var b bytes.Buffer
	w := NewWriter(&b, pool)
	other := NewWriter(io.Discard, pool)
	other.Write([]byte("x"))
	r := NewReader(&b, nil)
	for i := range 20 {
		if i%3 == 1 {
			other.Release()
		} else if i%3 == 0 {
			other.Write([]byte("x")) // takes the only compressor
		}
		text := bytes.Repeat([]byte("* 1 FETCH (FLAGS (\\Seen))\r\n"), 1+i*400)
		if n, err := w.Write(text); err != nil || n != len(text) {
			t.Fatal(n, err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if left := pool.InUse(); left == 1 != (other.c != nil) {
			t.Errorf("%d compressors are in use after Flush", left)
		}
		if compressed := b.Len() < len(text)/2; i > 0 && compressed == (other.c != nil) {
			t.Errorf("%d octets of %d", b.Len(), len(text))
		}
		got := make([]byte, len(text))
		if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, text) {
			t.Fatalf("round %d: %v", i, err)
		}
		if r.Ready() {
			t.Error("there is more")
		}
	}
	other.Release()
	if pool.InUse() != 0 {
		t.Error("a compressor is missing")
	}
}

// FuzzReader compares with the library's reader, on any input.
func FuzzReader(f *testing.F) {
	f.Add(deflated(f, []byte("hello hello hello"), 9), 1)
	f.Add(deflated(f, []byte("hello hello hello"), 0), 2)
	f.Add(deflated(f, bytes.Repeat([]byte("abcdefgh"), 2000), 6), 100)
	f.Add(deflated(f, mailgen.Message(5), 6), 10)
	f.Fuzz(func(t *testing.T, data []byte, piece int) {
		want, wantErr := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(data)), 1<<20))
		piece = max(piece, 1)
		var list [][]byte
		for rest := data; len(rest) > 0; {
			n := min(piece, len(rest))
			list = append(list, rest[:n])
			rest = rest[n:]
		}
		got, err := io.ReadAll(io.LimitReader(NewReader(&chunks{list}, nil), 1<<20))
		if (err == nil) != (wantErr == nil) {
			t.Errorf("error %v, want %v", err, wantErr)
		}
		if wantErr == nil && !bytes.Equal(got, want) || !bytes.HasPrefix(got, want) && !bytes.HasPrefix(want, got) {
			t.Errorf("%d octets, want %d", len(got), len(want))
		}
	})
}

// Behind the end of the compressed data a Reader gives what comes as it is.
func TestPlain(t *testing.T) {
	const command, behind = "u UNAUTHENTICATE\r\n", "v LOGIN a b\r\n"
	ends := map[string]func(*flate.Writer) error{
		"flush": (*flate.Writer).Flush, "last block": (*flate.Writer).Close,
		"both":        func(w *flate.Writer) error { w.Flush(); return w.Close() },
		"two flushes": func(w *flate.Writer) error { w.Flush(); return w.Flush() },
	}
	for name, end := range ends {
		for _, level := range []int{0, 1, 6, flate.HuffmanOnly} {
			for piece := range 60 {
				var b bytes.Buffer
				w, err := flate.NewWriter(&b, level)
				if err != nil {
					t.Fatal(err)
				}
				io.WriteString(w, command)
				if err := end(w); err != nil {
					t.Fatal(err)
				}
				b.WriteString(behind)
				var list [][]byte
				for data := b.Bytes(); len(data) > 0; {
					n := min(piece+1, len(data))
					list, data = append(list, data[:n]), data[n:]
				}
				r := NewReader(&chunks{list}, nil)
				got := make([]byte, len(command))
				if _, err := io.ReadFull(r, got); err != nil || string(got) != command {
					t.Fatalf("%s, level %d, pieces of %d: %q, %v", name, level, piece+1, got, err)
				}
				if err := r.Plain(); err != nil {
					t.Fatal(err)
				}
				rest := make([]byte, len(behind))
				if _, err := io.ReadFull(r, rest); err != nil || string(rest) != behind {
					t.Fatalf("%s, level %d, pieces of %d: %q behind it, %v", name, level, piece+1, rest, err)
				}
				if r.Ready() {
					t.Fatal("there is more")
				}
			}
		}
	}
}
