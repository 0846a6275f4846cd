package mimestream_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"gadwall/internal/mailgen"
	"gadwall/mimestream"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Each testdata/NAME.eml has its tree in NAME.tree.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.eml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test data: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".eml"), func(t *testing.T) {
			message, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := dump(sameForAllPieces(t, message))
			golden := strings.TrimSuffix(file, ".eml") + ".tree"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// sameForAllPieces parses a message at once and byte by byte, and returns the tree.
func sameForAllPieces(t testing.TB, message []byte) *mimestream.Part {
	t.Helper()
	root, whole := parse(t, message, func() int { return len(message) })
	other, single := parse(t, message, func() int { return 1 })
	if diff := cmp.Diff(dump(root), dump(other)); diff != "" {
		t.Errorf("tree depends on pieces: -whole +bytes\n%s", diff)
	}
	if diff := cmp.Diff(whole.log.String(), single.log.String()); diff != "" {
		t.Errorf("events depend on pieces: -whole +bytes\n%s", diff)
	}
	return root
}

func TestEveryShape(t *testing.T) {
	for _, shape := range mailgen.Shapes() {
		t.Run(shape.String(), func(t *testing.T) {
			rounds := uint64(2)
			if shape == mailgen.Garbage {
				rounds = 200
			}
			for seed := range rounds {
				root := sameForAllPieces(t, mailgen.Of(shape, seed))
				if shape.Good() && root.Degraded != 0 {
					t.Errorf("seed %d: degraded by %v", seed, root.Degraded)
				}
			}
		})
	}
}

func TestAnyPieces(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		shape := rapid.SampledFrom(mailgen.Shapes()).Draw(rt, "shape")
		if shape == mailgen.LongLines || shape == mailgen.HugeHeader {
			rt.Skip("large")
		}
		message := mailgen.Of(shape, rapid.Uint64().Draw(rt, "seed"))
		root, whole := parse(t, message, func() int { return len(message) })
		sizes := rapid.SliceOfN(rapid.IntRange(1, 300), 1, 20).Draw(rt, "sizes")
		i := 0
		other, pieces := parse(t, message, func() int { i++; return sizes[i%len(sizes)] })
		if dump(root) != dump(other) || whole.log.String() != pieces.log.String() {
			rt.Fatalf("result depends on pieces")
		}
	})
}

// An error of the handler ends the parse, and stays.
func TestHandlerError(t *testing.T) {
	message := mailgen.Of(mailgen.Nested, 1)
	broken := errors.New("disk full")
	total := countEvents(t, message)
	for n := range total {
		f := &failing{left: n, err: broken}
		p := mimestream.NewParser(f)
		_, err := p.Write(message)
		if err == nil {
			_, err = p.Close()
		}
		if !errors.Is(err, broken) {
			t.Fatalf("after %d events: %v", n, err)
		}
		if _, err := p.Close(); err == nil {
			t.Fatal("Close after an error gave none")
		}
		if f.after > 0 {
			t.Fatalf("%d events after the error", f.after)
		}
	}
}

func countEvents(t *testing.T, message []byte) int {
	f := &failing{left: 1 << 30}
	p := mimestream.NewParser(f)
	if _, err := p.Write(message); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Close(); err != nil {
		t.Fatal(err)
	}
	return 1<<30 - f.left
}

// failing fails after some events.
type failing struct {
	left, after int
	err         error
}

func (f *failing) event() error {
	if f.left < 0 {
		f.after++
	}
	f.left--
	if f.left < 0 {
		return f.err
	}
	return nil
}

func (f *failing) PartBegin(*mimestream.Part) error    { return f.event() }
func (f *failing) Structure([]byte) error              { return f.event() }
func (f *failing) BodyBegin(*mimestream.Part) error    { return f.event() }
func (f *failing) Body(*mimestream.Part, []byte) error { return f.event() }
func (f *failing) BodyEnd(*mimestream.Part) error      { return f.event() }
func (f *failing) PartEnd(*mimestream.Part) error      { return f.event() }

func TestUseAfterClose(t *testing.T) {
	p := mimestream.NewParser(mimestream.NopHandler{})
	if _, err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write([]byte("x")); !errors.Is(err, mimestream.ErrClosed) {
		t.Errorf("Write: %v", err)
	}
	if _, err := p.Close(); !errors.Is(err, mimestream.ErrClosed) {
		t.Errorf("Close: %v", err)
	}
}

func FuzzParser(f *testing.F) {
	for seed := range uint64(len(mailgen.Shapes())) {
		if m := mailgen.Message(seed); len(m) < 20_000 {
			f.Add(m)
		}
	}
	for seed := range uint64(20) {
		f.Add(mailgen.Of(mailgen.Garbage, seed))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		sameForAllPieces(t, message)
		odd := 0
		root, _ := parse(t, message, func() int { odd++; return odd%97*(odd%3) + 1 })
		if want := mimestream.Parse(message); dump(root) != dump(want) {
			t.Error("tree depends on pieces")
		}
	})
}

func benchmark(b *testing.B, message []byte) {
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	for b.Loop() {
		p := mimestream.NewParser(mimestream.NopHandler{})
		for rest := message; len(rest) > 0; {
			n := min(len(rest), 32<<10)
			if _, err := p.Write(rest[:n]); err != nil {
				b.Fatal(err)
			}
			rest = rest[n:]
		}
		if _, err := p.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBase64(b *testing.B) {
	var buf bytes.Buffer
	if _, err := mailgen.Large(&buf, 1, 8<<20); err != nil {
		b.Fatal(err)
	}
	benchmark(b, buf.Bytes())
}

func BenchmarkText(b *testing.B) {
	benchmark(b, append([]byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n"),
		mailgen.Text(1, 1<<20)...))
}

func BenchmarkQuotedPrintable(b *testing.B) {
	benchmark(b, append([]byte("Content-Transfer-Encoding: quoted-printable\r\n\r\n"),
		bytes.Repeat([]byte("Gr=C3=BC=C3=9Fe aus M=C3=BCnchen, und noch etwas mehr von dem Text, "+
			"der so =\r\nlang ist\r\n"), 10000)...))
}

func BenchmarkSmallMail(b *testing.B) { benchmark(b, mailgen.Of(mailgen.Related, 1)) }
