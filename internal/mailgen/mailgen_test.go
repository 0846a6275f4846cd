package mailgen

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/mail"
	"testing"
)

func TestSameSeedSameMessage(t *testing.T) {
	for seed := range uint64(3 * shapes) {
		a, b := Message(seed), Message(seed)
		if !bytes.Equal(a, b) {
			t.Fatalf("seed %d (%v) gave two different messages", seed, Shape(seed%uint64(shapes)))
		}
		other := Message(seed + uint64(shapes))
		switch Shape(seed % uint64(shapes)) {
		case Empty:
		default:
			if bytes.Equal(a, other) {
				t.Errorf("seeds %d and %d gave the same message", seed, seed+uint64(shapes))
			}
		}
	}
}

// The messages are part of recorded measurements: a change must be deliberate.
func TestMessagesDoNotChange(t *testing.T) {
	h := sha256.New()
	for seed := range uint64(2 * shapes) {
		h.Write(Message(seed))
	}
	c := NewCorpus(1, CorpusOptions{})
	for n := range 50 {
		h.Write(c.Message(n))
	}
	const want = "d6744b8e98b78728f804e880eb48892bba5b1c3dc8dde537a0f98f5002097927"
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		t.Errorf("hash is %s, want %s", got, want)
	}
}

func TestGoodMailHasFields(t *testing.T) {
	for _, s := range Shapes() {
		if !s.Good() {
			continue
		}
		m, err := mail.ReadMessage(bytes.NewReader(Of(s, 7)))
		if err != nil {
			t.Errorf("%v: %v", s, err)
			continue
		}
		if _, err := m.Header.Date(); err != nil {
			t.Errorf("%v: %v", s, err)
		}
		for _, name := range []string{"From", "To"} {
			if _, err := m.Header.AddressList(name); err != nil {
				t.Errorf("%v: %s: %v", s, name, err)
			}
		}
	}
}

func TestOnlyLineEndShapesHaveBareLineEnds(t *testing.T) {
	for _, s := range Shapes() {
		for seed := range uint64(3) {
			m := Of(s, seed)
			bare := bytes.Count(m, []byte("\n")) != bytes.Count(m, []byte("\r\n"))
			switch s {
			case BareLF, MixedLineEnds:
				if !bare {
					t.Errorf("%v has no bare LF", s)
				}
			case Garbage, Raw8bit:
			default:
				if bare {
					t.Errorf("%v has a bare LF", s)
				}
			}
		}
	}
}

func TestLarge(t *testing.T) {
	var a, b bytes.Buffer
	n, err := Large(&a, 1, 300_000)
	if err != nil || n != int64(a.Len()) || n < 300_000 {
		t.Fatalf("n=%d, wrote %d: %v", n, a.Len(), err)
	}
	if _, err := Large(&b, 1, 300_000); err != nil || !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("not the same twice")
	}
}

func TestCorpusProportions(t *testing.T) {
	c := NewCorpus(3, CorpusOptions{LargestFile: 200_000})
	files, total := 0, 0
	const n = 400
	for i := range n {
		m := c.Message(i)
		total += len(m)
		if bytes.Contains(m, []byte("Content-Type: multipart/mixed")) {
			files++
		}
	}
	if files < n*14/100 || files > n*27/100 {
		t.Errorf("%d of %d mails have files, want about 20%%", files, n)
	}
	if mean := total / n; mean < 10_000 || mean > 100_000 {
		t.Errorf("mean size %d", mean)
	}
}
