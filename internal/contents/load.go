package contents

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/dedupe"
)

// Want lists what Load loads at once. The Content loads everything else when it is used.
type Want struct {
	Parts      bool // the part table, for Root
	RootHeader bool // the bytes of the root header
	All        bool // the inline bytes (not those of blobs)
}

// A Range is the bytes [Off, Off+N) of a content that the caller is going to write.
type Range struct {
	Content *Content
	Off, N  int64
}

// Load returns the contents of ids, by one query (for up to 256 of them; one more for each further
// 256). Those that do not exist are absent from the result. It holds the part tables in memory, and
// with Want.All usually all the inline bytes, compressed. The caller bounds the number of ids
// accordingly.
func (s *Store) Load(ctx context.Context, ids []ID, want Want) (map[ID]*Content, error) {
	projection := bson.D{{Key: "segs", Value: 1}}
	if want.Parts {
		projection = append(projection, bson.E{Key: "parts", Value: 1})
	}
	frames := 0
	if want.RootHeader {
		frames = 1
	}
	if want.All {
		frames = allFrames
	}
	for k := range frames {
		projection = append(projection, bson.E{Key: frameField(k), Value: 1})
	}
	out := make(map[ID]*Content, len(ids))
	for batch := range slices.Chunk(ids, loadBatch) {
		err := s.find(ctx, batch, projection, func(id ID, doc bson.Raw) error {
			c, err := s.newContent(id, doc, want.Parts)
			if err == nil {
				out[id] = c
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Prefetch loads the inline bytes of all ranges, by one query (for up to 256 contents), so that
// WriteRange needs none for them, except for blobs.
func (s *Store) Prefetch(ctx context.Context, ranges []Range) error {
	contents := make(map[ID]*Content)
	frames := make(map[int]bool)
	for _, r := range ranges {
		missing, err := r.Content.missing(r.Off, r.N)
		if err != nil {
			return err
		}
		for _, k := range missing {
			contents[r.Content.ID] = r.Content
			frames[k] = true
		}
	}
	if len(contents) == 0 {
		return nil
	}
	ids := make([]ID, 0, len(contents))
	for id := range contents {
		ids = append(ids, id)
	}
	projection := make(bson.D, 0, len(frames))
	for k := range frames {
		projection = append(projection, bson.E{Key: frameField(k), Value: 1})
	}
	for batch := range slices.Chunk(ids, loadBatch) {
		err := s.find(ctx, batch, projection, func(id ID, doc bson.Raw) error {
			return contents[id].addFrames(doc)
		})
		if err != nil {
			return err
		}
	}
	// Several objects may stand for the same content.
	for _, r := range ranges {
		if c := contents[r.Content.ID]; c != nil && c != r.Content {
			for k, data := range c.stored {
				r.Content.stored[k] = data
			}
		}
	}
	return nil
}

// find calls f for every document of ids that exists.
func (s *Store) find(ctx context.Context, ids []ID, projection bson.D, f func(ID, bson.Raw) error) error {
	keys := make(bson.A, len(ids))
	for i, id := range ids {
		keys[i] = dedupe.Hash(id).Binary()
	}
	filter := bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: keys}}}}
	if len(keys) == 1 {
		filter = bson.D{{Key: "_id", Value: keys[0]}}
	}
	// The batch size is one more than the number of documents, so that the database knows at once
	// that no more follow.
	cur, err := s.reads.Find(ctx, filter, options.Find().SetProjection(projection).SetBatchSize(int32(len(keys)+1)))
	if err != nil {
		return fmt.Errorf("load contents: %w", err)
	}
	defer cur.Close(ctx)
	for cur.Next(ctx) {
		_, key, _ := cur.Current.Lookup("_id").BinaryOK()
		hash, err := dedupe.HashFromBytes(key)
		if err != nil {
			return fmt.Errorf("%w: _id: %v", ErrCorrupt, err)
		}
		if err := f(ID(hash), cur.Current); err != nil {
			return err
		}
	}
	if err := cur.Err(); err != nil {
		return fmt.Errorf("load contents: %w", err)
	}
	return nil
}

func frameField(k int) string { return "f." + strconv.Itoa(k) }
