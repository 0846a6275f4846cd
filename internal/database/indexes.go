package database

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Indexes lists the indexes that a collection must have. Each has a name.
type Indexes struct {
	Collection *mongo.Collection
	Models     []mongo.IndexModel
}

// CreateIndexes creates the indexes that do not exist, and the collections with them. The server
// refuses, and that is the error, when it has an index of the same name with other keys or options.
func CreateIndexes(ctx context.Context, list []Indexes) error {
	for _, ix := range list {
		if _, err := ix.Collection.Indexes().CreateMany(ctx, ix.Models); err != nil {
			return fmt.Errorf("create indexes of %s: %w", ix.Collection.Name(), err)
		}
	}
	return nil
}

// A Difference is an index that the server does not have, or has with other keys or options.
type Difference struct {
	Collection, Index string
	Missing           bool
}

// CompareIndexes returns how the server's indexes differ from those in the list. It changes
// nothing.
func CompareIndexes(ctx context.Context, list []Indexes) ([]Difference, error) {
	var differences []Difference
	for _, ix := range list {
		there, err := indexesOf(ctx, ix.Collection)
		if err != nil {
			return nil, fmt.Errorf("list indexes of %s: %w", ix.Collection.Name(), err)
		}
		for _, m := range ix.Models {
			want, err := describe(m)
			if err != nil {
				return nil, err
			}
			got, ok := there[want.Name]
			if !ok || got != want {
				differences = append(differences, Difference{ix.Collection.Name(), want.Name, !ok})
			}
		}
	}
	return differences, nil
}

// A description has what CompareIndexes compares. Of a partial index's filter it has only that
// there is one.
type description struct {
	Name, keys      string
	unique, partial bool
	expires         bool
	seconds         int64
}

func describe(m mongo.IndexModel) (description, error) {
	var o options.IndexOptions
	for _, set := range m.Options.List() {
		if err := set(&o); err != nil {
			return description{}, fmt.Errorf("options of an index: %w", err)
		}
	}
	d := description{Name: *o.Name, unique: o.Unique != nil && *o.Unique, partial: o.PartialFilterExpression != nil}
	if o.ExpireAfterSeconds != nil {
		d.expires, d.seconds = true, int64(*o.ExpireAfterSeconds)
	}
	keys, err := bson.Marshal(m.Keys)
	if err != nil {
		return d, fmt.Errorf("keys of index %s: %w", d.Name, err)
	}
	d.keys = keysOf(keys)
	return d, nil
}

// keysOf writes keys so that 1, 1.0 and NumberLong(1) are the same.
func keysOf(keys bson.Raw) string {
	var text string
	elements, err := keys.Elements()
	if err != nil {
		return err.Error()
	}
	for _, e := range elements {
		if n, ok := e.Value().AsInt64OK(); ok {
			text += fmt.Sprintf("%s:%d ", e.Key(), n)
		} else {
			text += fmt.Sprintf("%s:%v ", e.Key(), e.Value())
		}
	}
	return text
}

func indexesOf(ctx context.Context, c *mongo.Collection) (map[string]description, error) {
	cur, err := c.Indexes().List(ctx)
	if err != nil {
		return nil, err
	}
	defer cur.Close(context.WithoutCancel(ctx))
	there := make(map[string]description)
	for cur.Next(ctx) {
		spec := cur.Current
		var d description
		d.Name, _ = spec.Lookup("name").StringValueOK()
		keys, _ := spec.Lookup("key").DocumentOK()
		d.keys = keysOf(keys)
		d.unique, _ = spec.Lookup("unique").BooleanOK()
		_, d.partial = spec.Lookup("partialFilterExpression").DocumentOK()
		d.seconds, d.expires = spec.Lookup("expireAfterSeconds").AsInt64OK()
		there[d.Name] = d
	}
	return there, cur.Err()
}
