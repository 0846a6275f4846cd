package blobstore

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/dedupe"
)

// Collector returns the collector of blobs that no content refers to. It deletes the files document
// first, and then the blob is gone for everybody. If it stops in between, it leaves the chunks to
// Check.
func (s *Store) Collector(guard func(context.Context) error) *dedupe.Collector {
	return &dedupe.Collector{
		Counter: s.refs,
		Bytes: func(doc bson.Raw) int64 {
			n, _ := doc.Lookup("length").AsInt64OK()
			return n
		},
		Deleted: func(ctx context.Context, doc bson.Raw) error {
			id, ok := doc.Lookup("_id").ObjectIDOK()
			if !ok {
				return fmt.Errorf("%w: id of a file", ErrCorrupt)
			}
			length, _ := doc.Lookup("length").AsInt64OK()
			return s.deleteChunks(ctx, id, chunkCount(length))
		},
		Guard: guard,
	}
}

// deleteChunks deletes the chunks of a file that does not exist any more, about count of them, a
// bounded number at a time.
func (s *Store) deleteChunks(ctx context.Context, id bson.ObjectID, count int64) error {
	for n := int64(0); ; n += deleteBatch {
		numbers := bson.D{{Key: "$gte", Value: n}}
		more := n+deleteBatch < count
		if more {
			numbers = append(numbers, bson.E{Key: "$lt", Value: n + deleteBatch})
		}
		if _, err := s.chunks.DeleteMany(ctx, bson.D{{Key: "files_id", Value: id},
			{Key: "n", Value: numbers}}); err != nil {
			return fmt.Errorf("delete chunks: %w", err)
		}
		if !more {
			return nil
		}
	}
}

// chunkCount is the number of chunks that hold so many stored bytes.
func chunkCount(length int64) int64 { return (length + ChunkSize - 1) / ChunkSize }
