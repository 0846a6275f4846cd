package properties

import (
	"bytes"
	"crypto/sha256"
	"io"
	"math/bits"
	"strings"

	"gadwall/bench"
	"gadwall/mimestream"
)

// Properties sums up messages. The zero value has none.
type Properties struct {
	Messages int64
	Octets   int64
	// Sizes counts messages by size: at n those of 2^(n-1) to 2^n - 1 octets.
	Sizes histogram
	// Leaves counts messages by number of leaves.
	Leaves histogram
	// Classes has the octets of each class as they are in messages.
	Classes map[bench.Class]int64
	// Charsets counts the leaves of type text by their charset, without one as "none".
	Charsets map[string]int64
	// Ancestors counts messages by the number of message IDs in References, which a thread adds up.
	Ancestors histogram
	// Files counts attachments by the size of their decoded bodies, as Sizes does messages. Kinds
	// counts them by class.
	Files histogram
	Kinds map[bench.Class]int64
	// Broken counts messages by what is wrong with them. See defects.
	Broken map[string]int64
	// Attachments are the leaves with that disposition, and the octets of their decoded bodies;
	// Duplicates are those of them that were there before.
	Attachments, Duplicates Sum

	seen map[[sha256.Size]byte]bool
}

// Sum is a number of things and of their octets.
type Sum struct{ Number, Octets int64 }

func (s *Sum) add(octets int64) {
	s.Number++
	s.Octets += octets
}

// histogram counts by value.
type histogram map[int]int64

// Add adds a message.
func (p *Properties) Add(raw []byte) error {
	if p.Classes == nil {
		p.Sizes, p.Leaves, p.Classes = make(histogram), make(histogram), make(map[bench.Class]int64)
		p.Charsets, p.Broken = make(map[string]int64), make(map[string]int64)
		p.Ancestors, p.Files, p.Kinds = make(histogram), make(histogram), make(map[bench.Class]int64)
		p.seen = make(map[[sha256.Size]byte]bool)
	}
	p.Messages++
	p.Octets += int64(len(raw))
	p.Sizes[bits.Len(uint(len(raw)))]++
	leaves, bodies := 0, int64(0)
	var err error
	root := mimestream.Parse(raw)
	references, _ := root.Header.Get("references")
	p.Ancestors[strings.Count(references, "<")]++
	for _, what := range defects(root, raw) {
		p.Broken[what]++
	}
	root.Walk(func(part *mimestream.Part) bool {
		if part.Kind != mimestream.Leaf {
			return true
		}
		leaves++
		bodies += part.BodySize
		p.Classes[bench.ClassOf(part.MediaType())] += part.BodySize
		if part.Type == "text" {
			p.Charsets[charset(part)]++
		}
		if part.Disposition == "attachment" {
			err = p.attachment(part, raw[part.BodyOffset:part.BodyOffset+part.BodySize])
		}
		return err == nil
	})
	p.Leaves[leaves]++
	p.Classes[bench.Headers] += int64(len(raw)) - bodies
	return err
}

func (p *Properties) attachment(part *mimestream.Part, body []byte) error {
	hash := sha256.New()
	size, err := io.Copy(hash, mimestream.NewDecoder(part.Encoding, bytes.NewReader(body)))
	if err != nil {
		return err
	}
	p.Attachments.add(size)
	p.Files[bits.Len64(uint64(size))]++
	p.Kinds[bench.ClassOf(part.MediaType())]++
	sum := [sha256.Size]byte(hash.Sum(nil))
	if p.seen[sum] {
		p.Duplicates.add(size)
	}
	p.seen[sum] = true
	return nil
}
