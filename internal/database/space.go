package database

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// A CollectionSpace has the space that a collection takes, as the database reports it ($collStats).
type CollectionSpace struct {
	Name      string
	Documents int64
	Bytes     int64 // of the documents
	Stored    int64 // what they take on disk, compressed
	Indexes   int64 // what the indexes take on disk
}

// MeasureCollections measures all collections of a database, in the order of their names. It adds
// up shards. It does not see documents that the database has not written to its tables yet.
func MeasureCollections(ctx context.Context, db *mongo.Database) ([]CollectionSpace, error) {
	names, err := db.ListCollectionNames(ctx, bson.D{{Key: "type", Value: "collection"}})
	if err != nil {
		return nil, fmt.Errorf("list collections: %w", err)
	}
	slices.Sort(names)
	var list []CollectionSpace
	for _, name := range names {
		if strings.HasPrefix(name, "system.") {
			continue
		}
		c, err := measureCollection(ctx, db.Collection(name))
		if err != nil {
			return nil, fmt.Errorf("statistics of %s: %w", name, err)
		}
		list = append(list, c)
	}
	return list, nil
}

func measureCollection(ctx context.Context, coll *mongo.Collection) (CollectionSpace, error) {
	c := CollectionSpace{Name: coll.Name()}
	cur, err := coll.Aggregate(ctx,
		mongo.Pipeline{{{Key: "$collStats", Value: bson.D{{Key: "storageStats", Value: bson.D{}}}}}})
	if err != nil {
		return c, err
	}
	var shards []bson.Raw
	if err := cur.All(ctx, &shards); err != nil {
		return c, err
	}
	for _, doc := range shards {
		for field, sum := range map[string]*int64{"count": &c.Documents, "size": &c.Bytes,
			"storageSize": &c.Stored, "totalIndexSize": &c.Indexes} {
			n, ok := number(doc.Lookup("storageStats", field))
			if !ok {
				return c, fmt.Errorf("no number storageStats.%s", field)
			}
			*sum += n
		}
	}
	return c, nil
}

// CollectionSize is the size of the documents of a collection, not compressed.
func CollectionSize(ctx context.Context, coll *mongo.Collection) (int64, error) {
	c, err := measureCollection(ctx, coll)
	return c.Bytes, err
}

// number reads a number of any type, since the database chooses the type.
func number(v bson.RawValue) (int64, bool) {
	if n, ok := v.AsInt64OK(); ok {
		return n, true
	}
	f, ok := v.DoubleOK()
	return int64(f), ok
}
