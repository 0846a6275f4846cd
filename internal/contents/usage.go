package contents

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/blobstore/frame"
	"gadwall/dedupe"
	"gadwall/internal/dictionary"
	"gadwall/mimestream"
)

// A Usage has the number of bytes of one sort in one content, and the space that they take.
type Usage struct {
	// Type is the media type of the leaf whose body the bytes are, as "text/html"; empty for bytes
	// between bodies: headers, boundary lines and the like.
	Type string

	// Logical is the number of bytes in messages: those of the content, times its references.
	Logical int64

	// Decoded is the number of the same bytes without their transfer encodings, as far as these can
	// be made again. Unique counts those of each content once, and its share of those of blobs: what
	// is left is saved by compression.
	Decoded int64
	Unique  float64

	// Stored is the number of compressed bytes in the content's frames and its share of the blobs.
	// A frame with several sorts is divided by the sizes that they have when compressed apart. A
	// blob is divided by the number of its references. The documents around them do not count.
	Stored float64
}

// Usage calls f for every sort of bytes in every content. It works beside live traffic.
func (s *Store) Usage(ctx context.Context, f func(Usage) error) error {
	return s.each(ctx, nil, 0, func(c *Content, refs int64) error {
		list, err := c.usage(ctx, refs)
		if err != nil {
			return err
		}
		for _, u := range list {
			if err := f(u); err != nil {
				return err
			}
		}
		return nil
	})
}

// each calls f for the contents with IDs from from on, in order, at most limit unless that is 0,
// with all their frames.
func (s *Store) each(ctx context.Context, from []byte, limit int64, f func(c *Content, refs int64) error) error {
	filter := bson.D{}
	if from != nil {
		filter = bson.D{{Key: "_id", Value: bson.D{{Key: "$gte", Value: bson.Binary{Data: from}}}}}
	}
	cur, err := s.coll.Find(ctx, filter, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).
		SetLimit(limit).SetBatchSize(16))
	if err != nil {
		return fmt.Errorf("read contents: %w", err)
	}
	defer cur.Close(ctx)
	for cur.Next(ctx) {
		_, key, _ := cur.Current.Lookup("_id").BinaryOK()
		hash, err := dedupe.HashFromBytes(key)
		if err != nil {
			return fmt.Errorf("%w: _id: %v", ErrCorrupt, err)
		}
		c, err := s.newContent(ID(hash), cur.Current, true)
		if err != nil {
			return err
		}
		refs, _ := cur.Current.Lookup(dedupe.FieldRefs).AsInt64OK()
		if err := f(c, refs); err != nil {
			return err
		}
	}
	if err := cur.Err(); err != nil {
		return fmt.Errorf("read contents: %w", err)
	}
	return nil
}

// A stretch is consecutive bytes of a content of one sort.
type stretch struct {
	start, end int64
	leaf       *mimestream.Part // nil between bodies
}

// stretches returns the stretches of a content, without gaps.
func (c *Content) stretches() []stretch {
	var list []stretch
	at := int64(0)
	add := func(end int64, leaf *mimestream.Part) {
		if end > at {
			list = append(list, stretch{at, end, leaf})
			at = end
		}
	}
	var walk func(p *mimestream.Part)
	walk = func(p *mimestream.Part) {
		if p.Kind == mimestream.Leaf {
			add(p.BodyOffset, nil)
			add(p.BodyOffset+p.BodySize, p)
		}
		for _, child := range p.Children {
			walk(child)
		}
	}
	walk(c.root)
	add(c.Size, nil)
	return list
}

// An inlineStretch is consecutive inline bytes of one sort.
type inlineStretch struct {
	start, end int64
	leaf       *mimestream.Part
}

// inlineStretches calls inline for the stretches of inline bytes, in order, and blob for the
// segments that are blobs.
func (c *Content) inlineStretches(stretches []stretch, inline func(inlineStretch),
	blob func(*segment, *mimestream.Part)) {
	i := 0
	for k := range c.table.segments {
		s := &c.table.segments[k]
		for i < len(stretches)-1 && stretches[i].end <= s.start {
			i++
		}
		switch {
		case s.blob:
			blob(s, stretches[i].leaf)
		case !s.recipe.Identity:
			inline(inlineStretch{s.inline, s.inline + s.recipe.DecodedSize, stretches[i].leaf})
		default:
			for at := s.start; at < s.end(); {
				end := min(stretches[i].end, s.end())
				inline(inlineStretch{s.inline + at - s.start, s.inline + end - s.start, stretches[i].leaf})
				if at = end; at < s.end() {
					i++
				}
			}
		}
	}
}

func typeOf(leaf *mimestream.Part) string {
	if leaf == nil {
		return ""
	}
	return leaf.Type + "/" + leaf.Subtype
}

// usage returns what the content's bytes take, by their sorts.
func (c *Content) usage(ctx context.Context, refs int64) ([]Usage, error) {
	sums := make(map[string]*Usage)
	at := func(leaf *mimestream.Part) *Usage {
		t := typeOf(leaf)
		if sums[t] == nil {
			sums[t] = &Usage{Type: t}
		}
		return sums[t]
	}
	stretches := c.stretches()
	for _, s := range stretches {
		at(s.leaf).Logical += (s.end - s.start) * refs
	}
	var inline []inlineStretch
	type part struct {
		leaf    *mimestream.Part
		decoded int64
	}
	blobs := make(map[dedupe.Hash][]part)
	var hashes []dedupe.Hash
	c.inlineStretches(stretches, func(p inlineStretch) {
		inline = append(inline, p)
		at(p.leaf).Decoded += (p.end - p.start) * refs
		at(p.leaf).Unique += float64(p.end - p.start)
	}, func(s *segment, leaf *mimestream.Part) {
		if blobs[s.hash] == nil {
			hashes = append(hashes, s.hash)
		}
		blobs[s.hash] = append(blobs[s.hash], part{leaf, s.recipe.DecodedSize})
		at(leaf).Decoded += s.recipe.DecodedSize * refs
	})
	sizes, err := c.s.blobs.Sizes(ctx, hashes)
	if err != nil {
		return nil, err
	}
	for _, size := range sizes {
		for _, p := range blobs[size.Hash] {
			at(p.leaf).Stored += float64(size.Length) / float64(max(size.Refs, 1))
			at(p.leaf).Unique += float64(p.decoded) / float64(max(size.Refs, 1))
		}
	}
	buf, scratch := frame.Buffer(), frame.Buffer()
	defer frame.Release(buf)
	defer frame.Release(scratch)
	for k, f := range c.table.frames {
		data, err := c.frame(ctx, *buf, k)
		if err != nil {
			return nil, err
		}
		byType := make(map[*Usage][]byte)
		for _, p := range inline {
			start, end := max(p.start, f.start), min(p.end, f.start+int64(f.size))
			if start < end {
				u := at(p.leaf)
				byType[u] = append(byType[u], data[start-f.start:end-f.start]...)
			}
		}
		d, err := c.s.dicts.Get(ctx, f.dict)
		if err != nil {
			return nil, err
		}
		weights, total := make(map[*Usage]float64), 0.0
		for u, b := range byType {
			z, err := d.Compress((*scratch)[:0], b)
			if err != nil {
				return nil, err
			}
			weights[u] = float64(len(z))
			total += weights[u]
		}
		for u, w := range weights {
			u.Stored += float64(len(c.stored[k])) * w / total
		}
	}
	list := make([]Usage, 0, len(sums))
	for _, u := range sums {
		list = append(list, *u)
	}
	return list, nil
}

// maxSampled bounds the number of contents that Sample reads, where mail of one kind is rare.
const maxSampled = 200_000

// errSampled ends the walk of Sample.
var errSampled = errors.New("enough samples")

// Sample returns decoded frames of contents chosen at random, by kind of dictionary, up to limit
// bytes of each kind. IDs are hashes, so contents that follow a random one are a random choice.
// Sample goes on at the first content after the last one, and so sees all of a small store.
func (s *Store) Sample(ctx context.Context, limit int) (samples [dictionary.Kinds][][]byte, err error) {
	from := make([]byte, dedupe.HashSize)
	rand.Read(from) // never fails (crypto/rand)
	return s.sampleFrom(ctx, from, limit)
}

func (s *Store) sampleFrom(ctx context.Context, from []byte,
	limit int) (samples [dictionary.Kinds][][]byte, err error) {
	buf := frame.Buffer()
	defer frame.Release(buf)
	var sizes [dictionary.Kinds]int
	full := func() bool { return slices.Min(sizes[:]) >= limit }
	read := 0
	add := func(c *Content) error {
		for k, kind := range c.frameKinds() {
			if sizes[kind] >= limit {
				continue
			}
			data, err := c.frame(ctx, *buf, k)
			if err != nil {
				return err
			}
			samples[kind] = append(samples[kind], bytes.Clone(data))
			sizes[kind] += len(data)
		}
		if read++; full() || read >= maxSampled {
			return errSampled
		}
		return nil
	}
	err = s.each(ctx, from, 0, func(c *Content, _ int64) error { return add(c) })
	if err == nil {
		err = s.each(ctx, nil, 0, func(c *Content, _ int64) error {
			if bytes.Compare(c.ID[:], from) >= 0 {
				return errSampled // once around
			}
			return add(c)
		})
	}
	if errors.Is(err, errSampled) {
		err = nil
	}
	return samples, err
}

// frameKinds returns the kind of dictionary of each frame.
func (c *Content) frameKinds() []dictionary.Kind {
	kinds := make([]dictionary.Kind, len(c.table.frames))
	c.inlineStretches(c.stretches(), func(p inlineStretch) {
		var sp spool
		sp.begin(p.leaf)
		for k := c.table.frameAt(p.start); k < len(kinds) && c.table.frames[k].start < p.end; k++ {
			kinds[k] = max(kinds[k], sp.adding)
		}
	}, func(*segment, *mimestream.Part) {})
	return kinds
}

// SampleUsage is Usage of contents chosen at random, at most limit. It returns how many it looked at:
// fewer than limit are all.
func (s *Store) SampleUsage(ctx context.Context, limit int64, f func(Usage) error) (read int64, err error) {
	from := make([]byte, dedupe.HashSize)
	rand.Read(from) // never fails (crypto/rand)
	return s.sampleUsageFrom(ctx, from, limit, f)
}

func (s *Store) sampleUsageFrom(ctx context.Context, from []byte, limit int64, f func(Usage) error) (
	read int64, err error,
) {
	add := func(c *Content, refs int64) error {
		list, err := c.usage(ctx, refs)
		if err != nil {
			return err
		}
		read++
		for _, u := range list {
			if err := f(u); err != nil {
				return err
			}
		}
		return nil
	}
	if err := s.each(ctx, from, limit, add); err != nil || read == limit {
		return read, err
	}
	err = s.each(ctx, nil, limit-read, func(c *Content, refs int64) error {
		if bytes.Compare(c.ID[:], from) >= 0 {
			return errSampled // once around
		}
		return add(c, refs)
	})
	if errors.Is(err, errSampled) {
		err = nil
	}
	return read, err
}
