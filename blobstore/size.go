package blobstore

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/dedupe"
)

// A Size says what a blob takes.
type Size struct {
	Hash   dedupe.Hash
	Length int64 // stored bytes, without those of documents
	Refs   int64
}

// Sizes returns the sizes of those blobs that exist.
func (s *Store) Sizes(ctx context.Context, hashes []dedupe.Hash) ([]Size, error) {
	if len(hashes) == 0 {
		return nil, nil
	}
	keys := make(bson.A, len(hashes))
	for i, h := range hashes {
		keys[i] = h.Binary()
	}
	cur, err := s.files.Find(ctx, bson.D{{Key: "metadata.hash", Value: bson.D{{Key: "$in", Value: keys}}}},
		options.Find().SetProjection(bson.D{{Key: "length", Value: 1},
			{Key: "metadata.hash", Value: 1}, {Key: "metadata.refs", Value: 1}}))
	if err != nil {
		return nil, fmt.Errorf("read sizes of blobs: %w", err)
	}
	defer cur.Close(ctx)
	var sizes []Size
	for cur.Next(ctx) {
		_, key, _ := cur.Current.Lookup("metadata", "hash").BinaryOK()
		hash, err := dedupe.HashFromBytes(key)
		if err != nil {
			return nil, fmt.Errorf("%w: %v", ErrCorrupt, err)
		}
		length, _ := cur.Current.Lookup("length").AsInt64OK()
		refs, _ := cur.Current.Lookup("metadata", "refs").AsInt64OK()
		sizes = append(sizes, Size{hash, length, refs})
	}
	if err := cur.Err(); err != nil {
		return nil, fmt.Errorf("read sizes of blobs: %w", err)
	}
	return sizes, nil
}
