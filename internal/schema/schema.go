// Package schema makes the indexes that are relied on, and says which are not there.
//
// An index of the right name with other keys is not touched: making it again may take long, and is for people to decide. Without
// an index everything may go slower, and a unique one keeps what must not be there twice from being so.
package schema

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Indexes are those that a collection must have. All have names.
type Indexes struct {
	Collection *mongo.Collection
	Models     []mongo.IndexModel
}

// Create creates the indexes that do not exist, and the collections with them. The error is that of the server if an index has
// the name of one of these and is another.
func Create(ctx context.Context, list []Indexes) error {
	for _, ix := range list {
		if _, err := ix.Collection.Indexes().CreateMany(ctx, ix.Models); err != nil {
			return fmt.Errorf("create indexes of %s: %w", ix.Collection.Name(), err)
		}
	}
	return nil
}

// A Difference is an index that is not there, or is another.
type Difference struct {
	Collection, Index string
	Missing           bool
}

// Compare returns how the indexes that are there differ from those that must be, and changes nothing.
func Compare(ctx context.Context, list []Indexes) ([]Difference, error) {
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

// description is what makes an index what it is. A partial index is compared only by being one.
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
