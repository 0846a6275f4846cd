package webhooks

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// removeLeft removes what removed hooks have left, and then their documents; not of those that are
// busy. After removeBatches batches it returns that there is more.
func (r *Registry) removeLeft(ctx context.Context, busy func(id string) bool) (more bool, err error) {
	gone, err := r.find(ctx, bson.D{{Key: "removed", Value: true}})
	if err != nil {
		return false, err
	}
	batches := 0
	for _, h := range gone {
		if busy(h.ID) {
			continue
		}
		for _, from := range []struct {
			coll  *mongo.Collection
			field string
		}{{r.readers, readerHook}, {r.letters, letterHook}} {
			for some := true; some; batches++ {
				if batches == removeBatches {
					return true, nil
				}
				if some, err = removeSome(ctx, from.coll, bson.D{{Key: from.field, Value: h.ID}}); err != nil {
					return false, fmt.Errorf("remove webhook %s: %w", h.ID, err)
				}
			}
		}
		if _, err := r.hooks.DeleteOne(ctx, bson.D{{Key: "_id", Value: h.ID}}); err != nil {
			return false, fmt.Errorf("remove webhook %s: %w", h.ID, err)
		}
	}
	return false, nil
}

// removeSome removes up to removeBatch documents, and reports whether there were any.
func removeSome(ctx context.Context, coll *mongo.Collection, filter bson.D) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	cursor, err := coll.Find(ctx, filter, options.Find().SetLimit(removeBatch).
		SetProjection(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		return false, err
	}
	var docs []struct {
		ID any `bson:"_id"`
	}
	if err := cursor.All(ctx, &docs); err != nil || len(docs) == 0 {
		return false, err
	}
	ids := make(bson.A, len(docs))
	for i, d := range docs {
		ids[i] = d.ID
	}
	_, err = coll.DeleteMany(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}})
	return true, err
}

// removeStrays marks the hooks as removed of which there are readers and no document: a process ended
// after it made a reader, before it saw that the hook was gone. It asks once for each hook that has
// readers. Ids are not given out again.
func (r *Registry) removeStrays(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for last := ""; ; {
		var doc struct {
			Hook string `bson:"h"`
		}
		err := r.readers.FindOne(ctx, bson.D{{Key: readerHook, Value: bson.D{{Key: "$gt", Value: last}}}},
			options.FindOne().SetHint(indexDue).
				SetSort(bson.D{{Key: readerHook, Value: 1}, {Key: readerDue, Value: 1}}).
				SetProjection(bson.D{{Key: readerHook, Value: 1}})).Decode(&doc)
		if errors.Is(err, mongo.ErrNoDocuments) {
			return nil
		}
		if err == nil {
			last = doc.Hook
			_, err = r.hooks.UpdateOne(ctx, bson.D{{Key: "_id", Value: doc.Hook}},
				bson.D{{Key: "$setOnInsert", Value: bson.D{{Key: "removed", Value: true}}}},
				options.UpdateOne().SetUpsert(true))
		}
		if err != nil {
			return fmt.Errorf("look for readers without a webhook: %w", err)
		}
	}
}
