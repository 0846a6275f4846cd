package contents

import (
	"context"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/dedupe"
	"gadwall/internal/database"
)

// A Footprint has the stored sizes of a content, before compression.
type Footprint struct {
	Size   int64 // of the content
	Inline int64 // bytes in the content's own document
	Blobs  []BlobFootprint
}

// BlobFootprint is a blob to which a content refers. A blob to which it refers twice is listed
// twice.
type BlobFootprint struct {
	Hash dedupe.Hash
	Size int64
}

// Decoded is the sum of all bytes, of the content and of its blobs.
func (f *Footprint) Decoded() int64 {
	n := f.Inline
	for _, b := range f.Blobs {
		n += b.Size
	}
	return n
}

func footprint(doc bson.Raw) (Footprint, error) {
	_, segs, _ := doc.Lookup("segs").BinaryOK()
	l, err := readTable(segs)
	if err != nil {
		return Footprint{}, fmt.Errorf("%w: %v: %v", ErrCorrupt, doc.Lookup("_id"), err)
	}
	f := Footprint{Size: l.size}
	for _, s := range l.segments {
		if s.blob {
			f.Blobs = append(f.Blobs, BlobFootprint{s.hash, s.recipe.DecodedSize})
		} else {
			f.Inline += s.recipe.DecodedSize
		}
	}
	return f, nil
}

var footprintProjection = bson.D{{Key: "segs", Value: 1}, {Key: dedupe.FieldRefs, Value: 1}}

// Footprints returns the footprints of those contents that exist.
func (s *Store) Footprints(ctx context.Context, ids []ID) (map[ID]Footprint, error) {
	out := make(map[ID]Footprint, len(ids))
	for batch := range slices.Chunk(ids, loadBatch) {
		err := s.find(ctx, batch, footprintProjection, func(id ID, doc bson.Raw) (err error) {
			out[id], err = footprint(doc)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Distinct returns the number of bytes before compression if every content and every blob with a
// reference counts once. It reads all contents, beside live traffic, a page at a time.
func (s *Store) Distinct(ctx context.Context) (int64, error) {
	var sum int64
	err := s.scan(ctx, footprintProjection, auditBatch, func(doc bson.Raw) error {
		if refs, _ := doc.Lookup(dedupe.FieldRefs).AsInt64OK(); refs <= 0 {
			return nil
		}
		f, err := footprint(doc)
		sum += f.Inline
		return err
	}, func(g database.Gap) error { return g.Err })
	if err != nil {
		return 0, err
	}
	cursor, err := s.blobs.Files().Find(ctx,
		bson.D{{Key: "metadata." + dedupe.FieldRefs, Value: bson.D{{Key: "$gt", Value: 0}}}},
		options.Find().SetProjection(bson.D{{Key: "metadata.size", Value: 1}}))
	if err != nil {
		return 0, fmt.Errorf("sum up blobs: %w", err)
	}
	defer cursor.Close(context.WithoutCancel(ctx))
	for cursor.Next(ctx) {
		size, _ := cursor.Current.Lookup("metadata", "size").AsInt64OK()
		sum += size
	}
	if err := cursor.Err(); err != nil {
		return 0, fmt.Errorf("sum up blobs: %w", err)
	}
	return sum, nil
}
