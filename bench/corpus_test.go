package bench

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"testing"

	"gadwall/mimestream"
)

// tally is the mimestream.Handler that counts the bytes of classes.
type tally map[Class]int

func (t tally) PartBegin(*mimestream.Part) error { return nil }
func (t tally) Structure(b []byte) error         { t[Headers] += len(b); return nil }
func (t tally) BodyBegin(*mimestream.Part) error { return nil }
func (t tally) Body(p *mimestream.Part, b []byte) error {
	t[ClassOf(p.Type+"/"+p.Subtype)] += len(b)
	return nil
}
func (t tally) BodyEnd(*mimestream.Part) error { return nil }
func (t tally) PartEnd(*mimestream.Part) error { return nil }

// The corpus is what it says: all classes in it, a realistic size, valid MIME, and the duplicates asked for.
func TestCorpus(t *testing.T) {
	const mails = 1000
	c := NewCorpus(CorpusOptions{Seed: 1})
	sums := tally{}
	var size, files, again int
	for n := range mails {
		m := c.Message(n)
		size += len(m.Raw)
		p := mimestream.NewParser(sums)
		if _, err := p.Write(m.Raw); err != nil {
			t.Fatal(err)
		}
		root, err := p.Close()
		if err != nil {
			t.Fatal(err)
		}
		checkPart(t, n, root)
		if root.HeaderSize < 400 || m.From == "" {
			t.Fatalf("mail %d: header of %d bytes, from %q", n, root.HeaderSize, m.From)
		}
		for slot := range c.files(n) {
			number, repeated := c.fileNumber(n, slot)
			f := len(c.w.newFile(number).data)
			files += f
			if repeated {
				again += f
			}
		}
	}
	if mean := size / mails; mean < 30_000 || mean > 120_000 {
		t.Errorf("mails have %d bytes on average", mean)
	}
	if percent := 100 * again / files; percent < 25 || percent > 45 {
		t.Errorf("%d %% of attachment bytes were sent before", percent)
	}
	for _, class := range Classes {
		if sums[class] < size/500 {
			t.Errorf("%v: %d bytes of %d", class, sums[class], size)
		}
	}
}

func checkPart(t *testing.T, n int, p *mimestream.Part) {
	t.Helper()
	if p.Degraded != 0 || p.HasNUL {
		t.Fatalf("mail %d: part %v: degraded %v, NUL %v", n, p.Path, p.Degraded, p.HasNUL)
	}
	for _, child := range p.Children {
		checkPart(t, n, child)
	}
}

func TestCorpusIsDeterministic(t *testing.T) {
	a, b := NewCorpus(CorpusOptions{Seed: 5}), NewCorpus(CorpusOptions{Seed: 5})
	hash := sha256.New()
	for n := 40; n >= 0; n-- { // in any order
		want := b.Message(n)
		if !bytes.Equal(a.Message(n).Raw, want.Raw) {
			t.Fatalf("mail %d differs", n)
		}
		hash.Write(want.Raw)
	}
	if bytes.Equal(NewCorpus(CorpusOptions{Seed: 6}).Message(3).Raw, a.Message(3).Raw) {
		t.Error("another seed makes the same mail")
	}
}

// Worlds of different seeds have hardly a name or content word in common: what is trained on one says nothing
// of another that real mail would not say as well.
func TestWorldsDiffer(t *testing.T) {
	a, b := newWorld(1), newWorld(TrainingSeed)
	for code, l := range a.lexicon {
		if code == "ja" {
			continue // its words have two characters or three
		}
		have := map[string]bool{}
		for _, w := range l.content {
			have[w] = true
		}
		common := 0
		for _, w := range b.lexicon[code].content {
			if have[w] && len(w) > 4 {
				common++
			}
		}
		if common > contentWords/10 {
			t.Errorf("%s: %d of %d content words are common", code, common, contentWords)
		}
	}
	domains := map[string]bool{}
	for _, p := range a.people {
		domains[p.domain] = true
	}
	for _, p := range b.people {
		if domains[p.domain] {
			t.Errorf("domain %s in both", p.domain)
		}
	}
	for i := range a.bulk {
		if a.bulk[i].style == b.bulk[i].style {
			t.Errorf("newsletter %d has one style in both", i)
		}
	}
}

func TestThreads(t *testing.T) {
	c := NewCorpus(CorpusOptions{Seed: 2})
	replies, quoting := 0, 0
	for n := range 300 {
		_, _, position := c.place(n)
		if position == 0 {
			continue
		}
		replies++
		raw := string(c.Message(n).Raw)
		if !strings.Contains(raw, "\r\nIn-Reply-To: <") && !strings.Contains(raw, "\r\nIn-Reply-To:\r\n") {
			t.Errorf("mail %d is a reply without In-Reply-To", n)
		}
		if strings.Contains(raw, "\r\n> ") {
			quoting++
		}
	}
	if replies < 40 || quoting < replies/5 {
		t.Errorf("%d replies, %d of which quote as text", replies, quoting)
	}
}
