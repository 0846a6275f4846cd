package blobstore

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// A group is the result of one query: consecutive chunks of one file, or the chunks with one number
// of several files.
type group struct {
	pieces []piece // in the order of the spans
	chunks []chunk // of the query
	bytes  int64   // of chunks; the cache bounds its frames
}

// A piece has some bytes of a span: a frame from the cache, or stored bytes.
type piece struct {
	span    int
	decoded bool
	data    []byte
	err     error

	chunk    int    // index in the group
	from, to int64  // in the chunk
	rest     []byte // of the chunk, behind data
}

// A chunk is a document of blobs.chunks.
type chunk struct {
	*layout
	s    *Store
	n    int64
	data []byte // nil: not found
}

// len returns the number of bytes that the chunk must have.
func (c *chunk) len() int64 { return min(ChunkSize, c.length-c.n*ChunkSize) }

// planGroups calls f for the groups that together have all spans, until f returns false. It leaves
// out spans before wanted.
func planGroups(spans []Span, wanted func() int, f func(*group) bool) {
	g := new(group)
	// room makes room for a chunk.
	room := func(c chunk, limit int64) bool {
		if g.fits(c, limit) {
			return true
		}
		full := g
		g = new(group)
		return f(full)
	}
	for i, span := range spans {
		b := span.Blob
		k, last := span.frames()
		for k <= last && i >= wanted() {
			if data := b.s.cache.Get(b.hash, k); data != nil {
				g.pieces = append(g.pieces, piece{span: i, decoded: true, data: data})
				k++
				continue
			}
			run := k
			for run < last && !b.s.cache.has(b.hash, run+1) {
				run++
			}
			from, _ := b.stored(k)
			_, to := b.stored(run)
			k = run + 1
			first, end := from/ChunkSize, (to-1)/ChunkSize+1
			limit := int64(groupBytes)
			if end-first > groupBytes/ChunkSize {
				limit = ChunkSize
			}
			for n := first; n < end && i >= wanted(); n++ {
				c := chunk{layout: b.layout, s: b.s, n: n}
				if !room(c, limit) {
					return
				}
				start := n * ChunkSize
				g.add(c, piece{span: i, from: max(from-start, 0), to: min(to-start, c.len())})
			}
		}
	}
	if len(g.pieces) > 0 {
		f(g)
	}
}

// fits reports whether the group's query can also read c, within limit bytes in all.
func (g *group) fits(c chunk, limit int64) bool {
	if len(g.pieces) == 0 || g.find(c) >= 0 {
		return true
	}
	if g.bytes+c.len() > limit || len(g.chunks) == openBatch {
		return false
	}
	if len(g.chunks) == 0 {
		return true
	}
	first, last := g.chunks[0], g.chunks[len(g.chunks)-1]
	if first.id == last.id && c.id == last.id && c.n == last.n+1 {
		return true // of one file
	}
	return first.n == last.n && c.n == last.n // of one number
}

// find returns the index of a chunk, or -1: the same blob may be in several spans.
func (g *group) find(c chunk) int {
	for i := range g.chunks {
		if g.chunks[i].id == c.id && g.chunks[i].n == c.n {
			return i
		}
	}
	return -1
}

func (g *group) add(c chunk, p piece) {
	if p.chunk = g.find(c); p.chunk < 0 {
		p.chunk = len(g.chunks)
		g.chunks = append(g.chunks, c)
		g.bytes += c.len()
	}
	g.pieces = append(g.pieces, p)
}

// read sets the bytes of each piece, or its error: damage of one blob is not an error of another.
func (g *group) read(ctx context.Context) {
	if len(g.chunks) == 0 {
		return
	}
	err := g.query(ctx)
	for i := range g.pieces {
		p := &g.pieces[i]
		if p.decoded {
			continue
		}
		c := &g.chunks[p.chunk]
		switch {
		case err != nil:
			p.err = fmt.Errorf("read chunks of blob %v: %w", c.hash, err)
		case c.data == nil:
			p.err = fmt.Errorf("%w: %v: chunk %d is missing", ErrCorrupt, c.hash, c.n)
		case int64(len(c.data)) != c.len():
			p.err = fmt.Errorf("%w: %v: chunk %d has %d bytes, not %d", ErrCorrupt, c.hash, c.n, len(c.data), c.len())
		default:
			p.data, p.rest = c.data[p.from:p.to], c.data[p.to:]
		}
	}
}

// errChunk reports a chunk whose fields have other types than those of GridFS.
var errChunk = errors.New("malformed chunk")

// query reads the chunks. Their bytes are those of the answer, which nothing else uses.
func (g *group) query(ctx context.Context) error {
	first, last := &g.chunks[0], &g.chunks[len(g.chunks)-1]
	filter := bson.D{{Key: "files_id", Value: first.id}, {Key: "n", Value: int32(first.n)}}
	switch {
	case first.n != last.n:
		filter[1].Value = bson.D{{Key: "$gte", Value: int32(first.n)}, {Key: "$lte", Value: int32(last.n)}}
	case len(g.chunks) > 1:
		ids := make(bson.A, len(g.chunks))
		for i := range g.chunks {
			ids[i] = g.chunks[i].id
		}
		filter[0].Value = bson.D{{Key: "$in", Value: ids}}
	}
	// There is no projection, because the database would copy the documents for it. The batch size
	// is one more than the number of documents, so that the database knows at once that no more
	// follow.
	cur, err := first.s.reads.Find(ctx, filter, options.Find().SetBatchSize(int32(len(g.chunks)+1)))
	if err != nil {
		return err
	}
	defer cur.Close(ctx)
	for cur.Next(ctx) {
		id, okID := cur.Current.Lookup("files_id").ObjectIDOK()
		n, okN := cur.Current.Lookup("n").AsInt64OK()
		_, data, okData := cur.Current.Lookup("data").BinaryOK()
		if !okID || !okN || !okData {
			return fmt.Errorf("%w: %w", ErrCorrupt, errChunk)
		}
		if i := g.find(chunk{layout: &layout{id: id}, n: n}); i >= 0 {
			g.chunks[i].data = data
		}
	}
	return cur.Err()
}

// readStored calls f with the stored bytes [0, to), in pieces that are valid during the call only:
// one query for each chunk.
func (s *Store) readStored(ctx context.Context, l *layout, to int64, f func([]byte) error) error {
	for n := int64(0); n*ChunkSize < to; n++ {
		var g group
		g.add(chunk{layout: l, s: s, n: n}, piece{to: min(ChunkSize, to-n*ChunkSize)})
		g.read(ctx)
		if err := g.pieces[0].err; err != nil {
			return err
		}
		if err := f(g.pieces[0].data); err != nil {
			return err
		}
	}
	return nil
}
