package mailstore

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/internal/contents"
	"gadwall/internal/ranges"
)

// previewBatch is how many contents are read at a time for their previews.
const previewBatch = 32

// migratePreviews gives messages that were stored before there were previews theirs, as a delivery
// does. A message whose content cannot be read stays without.
func (s *Store) migratePreviews(ctx context.Context, g *ranges.Range) error {
	return s.migrateMessages(ctx, g, bson.D{{Key: DocContent, Value: 1}, {Key: DocPreview, Value: 1}},
		func(doc bson.Raw) bool {
			_, err := doc.LookupErr(DocPreview)
			return err != nil
		},
		func(ctx context.Context, docs []bson.Raw) ([]mongo.WriteModel, error) {
			previews, err := s.previews(ctx, docs)
			if err != nil {
				return nil, err
			}
			var updates []mongo.WriteModel
			for _, doc := range docs {
				id, _ := contentOf(doc)
				preview, ok := previews[id]
				if !ok {
					continue
				}
				updates = append(updates, mongo.NewUpdateOneModel().
					SetFilter(bson.D{{Key: DocID, Value: doc.Lookup(DocID)},
						{Key: DocContent, Value: doc.Lookup(DocContent)}, notSet(DocPreview)}).
					SetUpdate(bson.D{{Key: "$set", Value: bson.D{{Key: DocPreview, Value: preview}}}}).
					SetHint(bson.D{{Key: "_id", Value: 1}}))
			}
			return updates, nil
		})
}

// previews makes the previews of the messages' contents, of those that can be read.
func (s *Store) previews(ctx context.Context, docs []bson.Raw) (map[contents.ID]string, error) {
	seen := make(map[contents.ID]bool)
	var ids []contents.ID
	for _, doc := range docs {
		if id, ok := contentOf(doc); ok && !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	previews := make(map[contents.ID]string, len(ids))
	for part := range slices.Chunk(ids, previewBatch) {
		loaded, err := s.contents.Load(ctx, part, contents.Want{Parts: true, RootHeader: true, All: true})
		if err != nil && !contents.IsUnreadable(err) {
			return nil, err
		}
		for id, c := range loaded {
			preview, err := c.Preview(ctx)
			if err != nil && !contents.IsUnreadable(err) {
				return nil, err
			}
			if err == nil {
				previews[id] = preview
			}
		}
	}
	return previews, nil
}
