package contents

import (
	"context"

	"gadwall/blobstore"
	"gadwall/dedupe"
)

// ReadAhead opens the blobs of ranges, by one query (for up to 256 of them; one more for each
// further 256), and starts to read what the ranges need of them, in their order. WriteRange takes
// the bytes from there, so a caller that writes the ranges in this order does not wait for a query
// each. It may leave out ranges, or write them in another order.
//
// The caller closes the result when the ranges are written. The result is nil if no blob is needed.
// Prepare and WriteRange report missing blobs.
func (s *Store) ReadAhead(ctx context.Context, ranges []Range) (*blobstore.Ahead, error) {
	var hashes []dedupe.Hash
	seen := make(map[dedupe.Hash]bool)
	needs := blobNeeds(ranges)
	if len(needs) == 0 {
		return nil, nil
	}
	for _, n := range needs {
		if hash := n.segment().hash; !seen[hash] && n.content.blobs[n.cut.segment] == nil {
			seen[hash] = true
			hashes = append(hashes, hash)
		}
	}
	blobs, err := s.blobs.OpenAll(ctx, hashes)
	if err != nil {
		return nil, err
	}
	spans := make([]blobstore.Span, 0, len(needs))
	for _, n := range needs {
		b := n.content.blobs[n.cut.segment]
		if b == nil {
			b = blobs[n.segment().hash]
			if b == nil || b.Size() != n.segment().recipe.DecodedSize {
				continue
			}
			n.content.setBlob(n.cut.segment, b)
		}
		from, size := n.stored()
		spans = append(spans, blobstore.Span{Blob: b, Off: from, N: size})
	}
	ahead := s.blobs.ReadAhead(ctx, spans)
	for _, r := range ranges {
		r.Content.ahead = ahead
	}
	return ahead, nil
}

// Prepare takes the first steps of WriteRange for a range: it loads inline bytes and opens blobs.
// So the caller learns of missing documents before it writes anything. It may still learn of
// damaged bytes later.
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

// blobNeeds returns the cuts of ranges that need blobs, in their order. It ignores ranges outside
// of their content, which WriteRange refuses.
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
