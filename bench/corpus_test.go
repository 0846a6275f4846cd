package bench

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"testing"
)

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

// Worlds of different seeds share hardly a name or content word. So a dictionary trained on one
// knows no more of another than of real mail.
func TestWorldsDiffer(t *testing.T) {
	a, b := newWorld(1, languageWeights), newWorld(TrainingSeed, languageWeights)
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
