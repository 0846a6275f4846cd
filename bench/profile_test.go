//go:build !race

package bench

// A test of much mail finds no races, and takes minutes with the race detector.

import (
	"bytes"
	"crypto/sha256"
	"io"
	"math"
	"testing"

	"gadwall/mimestream"
)

// The corpus, but for its broken mails, is valid MIME of a realistic size, with the share and
// compressibility of each class that doc.go names, and with the duplicates asked for. A sample
// differs from the whole corpus, because a few large files decide the shares of bytes.
func TestCorpus(t *testing.T) {
	const mails = 1200
	type class struct{ share, deflate float64 }
	for name, test := range map[string]struct {
		options   CorpusOptions
		duplicate float64
		floor     float64
		classes   map[Class]class
	}{
		"mixed": {CorpusOptions{}, 0.349, 0.334, map[Class]class{
			Headers: {0.062, 0.543}, Text: {0.088, 0.411}, HTML: {0.193, 0.203}, Images: {0.222, 0.965},
			Office: {0.130, 0.723}, PDF: {0.194, 0.858}, Archives: {0.033, 0.998}, Other: {0.078, 0.580}}},
		"packed": {CorpusOptions{Packed: true}, 0.394, 0.385, map[Class]class{
			Headers: {0.053, 0.543}, Text: {0.033, 0.543}, HTML: {0.163, 0.202}, Images: {0.263, 0.994},
			Office: {0.120, 0.962}, PDF: {0.290, 0.984}, Archives: {0.036, 0.999}, Other: {0.041, 0.986}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.options.Seed, test.options.BrokenPercent = MeasureSeed, -1
			p := newProfile(t, NewCorpus(test.options), mails)
			if mean := p.size / mails; mean < 50_000 || mean > 85_000 {
				t.Errorf("mails have %d bytes on average", mean)
			}
			if again := float64(p.again) / float64(p.files); math.Abs(again-test.duplicate) > 0.04 {
				t.Errorf("%.3f of the bytes of attachments were sent before, not %.3f", again, test.duplicate)
			}
			if floor := p.ratio(); math.Abs(floor-test.floor) > 0.02 {
				t.Errorf("the floor is %.3f, not %.3f", floor, test.floor)
			}
			for _, name := range Classes {
				c, want := p.classes[name], test.classes[name]
				if share := float64(c.raw) / float64(p.size); math.Abs(share-want.share) > 0.09 {
					t.Errorf("%s: %.3f of all bytes, not %.3f", name, share, want.share)
				}
				if deflate := float64(c.deflated) / float64(c.decoded); math.Abs(deflate-want.deflate) > 0.07 {
					t.Errorf("%s: deflate to %.3f, not %.3f", name, deflate, want.deflate)
				}
			}
		})
	}
}

// Without duplicates nothing but pictures of companies is sent twice.
func TestNoDuplicates(t *testing.T) {
	p := newProfile(t, NewCorpus(CorpusOptions{Seed: MeasureSeed, DuplicatePercent: -1}), 400)
	if p.again > 0 {
		t.Errorf("%d bytes of attachments were sent before", p.again)
	}
}

// BenchmarkCorpus measures the table in doc.go:
//
//	go test -run '^$' -bench Corpus -benchtime 1x ./bench
func BenchmarkCorpus(b *testing.B) {
	for name, packed := range map[string]bool{"mixed": false, "packed": true} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				p := newProfile(b, NewCorpus(CorpusOptions{Seed: MeasureSeed, Packed: packed}), 5000)
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(float64(p.size), "bytes")
				b.ReportMetric(float64(p.again)/float64(p.files), "duplicate")
				b.ReportMetric(p.ratio(), "floor")
				for name, c := range p.classes {
					b.ReportMetric(float64(c.raw)/float64(p.size), string(name)+"-share")
					b.ReportMetric(float64(c.deflated)/float64(c.decoded), string(name)+"-deflate")
				}
			}
		})
	}
}

// A profile says what mails consist of: a mimestream.Handler.
type profile struct {
	size    int
	classes map[Class]*classProfile
	// files are the bytes of attachments, and again those of them that are there for a second time.
	files, again int
	floor        *Floor

	tb        testing.TB
	seen      map[[sha256.Size]byte]bool
	structure bytes.Buffer // of the mail
	body      bytes.Buffer
}

type classProfile struct{ raw, decoded, deflated int }

func newProfile(tb testing.TB, c *Corpus, mails int) *profile {
	p := &profile{tb: tb, classes: map[Class]*classProfile{}, seen: map[[sha256.Size]byte]bool{}}
	var err error
	if p.floor, err = NewFloor(); err != nil {
		tb.Fatal(err)
	}
	for n := range mails {
		p.add(c.Message(n), n)
	}
	return p
}

func (p *profile) add(m *Message, n int) {
	p.size += len(m.Raw)
	p.structure.Reset()
	parser := mimestream.NewParser(p)
	_, err := parser.Write(m.Raw)
	if err != nil {
		p.tb.Fatal(err)
	}
	root, err := parser.Close()
	if err != nil {
		p.tb.Fatal(err)
	}
	checkPart(p.tb, n, root)
	if root.HeaderSize < 400 || m.From == "" {
		p.tb.Fatalf("mail %d: header of %d bytes, from %q", n, root.HeaderSize, m.From)
	}
	p.class(Headers, p.structure.Len(), p.structure.Bytes())
	if err := p.floor.Add(m.Raw); err != nil {
		p.tb.Fatal(err)
	}
}

func (p *profile) ratio() float64 { return float64(p.floor.Size) / float64(p.size) }

func (p *profile) class(name Class, raw int, decoded []byte) {
	c := p.classes[name]
	if c == nil {
		c = &classProfile{}
		p.classes[name] = c
	}
	c.raw += raw
	c.decoded += len(decoded)
	c.deflated += len(deflated(decoded))
}

func (p *profile) PartBegin(*mimestream.Part) error { return nil }
func (p *profile) Structure(b []byte) error         { p.structure.Write(b); return nil }
func (p *profile) BodyBegin(*mimestream.Part) error { p.body.Reset(); return nil }
func (p *profile) PartEnd(*mimestream.Part) error   { return nil }
func (p *profile) Body(_ *mimestream.Part, b []byte) error {
	p.body.Write(b)
	return nil
}

func (p *profile) BodyEnd(part *mimestream.Part) error {
	raw := p.body.Len()
	decoded, err := io.ReadAll(mimestream.NewDecoder(part.Encoding, &p.body))
	if err != nil {
		return err
	}
	p.class(ClassOf(part.Type+"/"+part.Subtype), raw, decoded)
	if part.Disposition != "attachment" {
		return nil
	}
	p.files += len(decoded)
	if sum := sha256.Sum256(decoded); p.seen[sum] {
		p.again += len(decoded)
	} else {
		p.seen[sum] = true
	}
	return nil
}

func checkPart(t testing.TB, n int, p *mimestream.Part) {
	t.Helper()
	if p.Degraded != 0 || p.HasNUL {
		t.Fatalf("mail %d: part %v: degraded %v, NUL %v", n, p.Path, p.Degraded, p.HasNUL)
	}
	for _, child := range p.Children {
		checkPart(t, n, child)
	}
}
