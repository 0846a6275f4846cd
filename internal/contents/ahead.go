package contents

import (
	"context"

	"gadwall/blobstore"
	"gadwall/dedupe"
)

// ReadAhead opens the blobs of ranges, by one query (for up to 256 of them; one more for each
// further 256), and starts to read what the ranges need of them, in their order. WriteRange takes
// it from there, so ranges that are written in this order do not wait for a query each. Ranges that
// are passed over, or written out of turn, do no harm.
//
// The caller closes the result, which is nil if no blob is needed, when the ranges are written. A
// blob that is missing is left to Prepare and WriteRange.
func (s *Store) ReadAhead(ctx context.Context, ranges []Range) (*blobstore.Ahead, error) {
	var hashes []dedupe.Hash
	seen := make(map[dedupe.Hash]bool)
	needs := blobNeeds(ranges)
	for _, n := range needs {
		if hash := n.segment().hash; !seen[hash] {
			seen[hash] = true
			hashes = append(hashes, hash)
		}
	}
	if len(hashes) == 0 {
		return nil, nil
	}
	blobs, err := s.blobs.OpenAll(ctx, hashes)
	if err != nil {
		return nil, err
	}
	spans := make([]blobstore.Span, 0, len(needs))
	for _, n := range needs {
		b := blobs[n.segment().hash]
		if b == nil || b.Size() != n.segment().recipe.DecodedSize {
			continue
		}
		n.content.setBlob(n.cut.segment, b)
		from, size := n.stored()
		spans = append(spans, blobstore.Span{Blob: b, Off: from, N: size})
	}
	ahead := s.blobs.ReadAhead(ctx, spans)
	for _, r := range ranges {
		r.Content.ahead = ahead
	}
	return ahead, nil
}

// Prepare does for a range what WriteRange would do first: it loads inline bytes and opens blobs.
// What is missing is noticed before anything is written then; what is damaged inside may still not
// be.
func (c *Content) Prepare(ctx context.Context, off, n int64) error {
	missing, err := c.missing(off, n)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		if err := c.s.Prefetch(ctx, []Range{{c, off, n}}); err != nil {
			return err
		}
	}
	for _, need := range blobNeeds([]Range{{c, off, n}}) {
		if _, err := c.openBlob(ctx, need.cut.segment); err != nil {
			return err
		}
	}
	return nil
}

// A blobNeed is a cut that needs bytes of a blob.
type blobNeed struct {
	content *Content
	cut     cut
}

func (n blobNeed) segment() *segment { return &n.content.table.segments[n.cut.segment] }

// stored returns which bytes of the blob it needs.
func (n blobNeed) stored() (off, size int64) { return n.segment().recipe.Map(n.cut.off, n.cut.n) }

// blobNeeds returns what ranges need of blobs, in their order. Ranges outside of their content are
// for WriteRange to refuse.
func blobNeeds(ranges []Range) []blobNeed {
	var needs []blobNeed
	for _, r := range ranges {
		if r.Content.check(r.Off, r.N) != nil {
			continue
		}
		for p := range r.Content.cuts(r.Off, r.N) {
			need := blobNeed{r.Content, p}
			if !need.segment().blob {
				continue
			}
			if _, size := need.stored(); size > 0 {
				needs = append(needs, need)
			}
		}
	}
	return needs
}
