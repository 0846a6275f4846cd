package database

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Indexes lists the indexes that a collection must have. Each has a name.
type Indexes struct {
	Collection *mongo.Collection
	Models     []mongo.IndexModel
	// Optional are the names of those without which everything works, though slower.
	Optional []string
}

// Only returns the one index of that name.
func (x Indexes) Only(name string) (Indexes, error) {
	for _, m := range x.Models {
		d, err := describe(m)
		if err != nil {
			return Indexes{}, err
		}
		if d.Name == name {
			return Indexes{Collection: x.Collection, Models: []mongo.IndexModel{m}}, nil
		}
	}
	return Indexes{}, fmt.Errorf("%s has no index %s", x.Collection.Name(), name)
}

// CreateIndexes creates the indexes that do not exist, and the collections with them. The server
// refuses, and that is the error, when it has an index of the same name with other keys or options.
func CreateIndexes(ctx context.Context, list []Indexes) error {
	ctx, cancel := Unbounded(ctx)
	defer cancel()
	for _, ix := range list {
		if _, err := ix.Collection.Indexes().CreateMany(ctx, ix.Models); err != nil {
			return fmt.Errorf("create indexes of %s: %w", ix.Collection.Name(), err)
		}
	}
	return nil
}

// CreateWhereEmpty is CreateIndexes for collections without documents, where it costs nothing. It
// returns what other collections lack.
func CreateWhereEmpty(ctx context.Context, list []Indexes) ([]Difference, error) {
	var left []Difference
	for _, ix := range list {
		differences, err := CompareIndexes(ctx, []Indexes{ix})
		if err != nil {
			return nil, err
		}
		missing := make(map[string]bool)
		for _, d := range differences {
			if !d.Missing {
				return nil, fmt.Errorf("create indexes of %s: index %s has other keys or options",
					d.Collection, d.Index)
			}
			missing[d.Index] = true
		}
		if len(missing) == 0 {
			continue
		}
		empty, err := IsEmpty(ctx, ix.Collection)
		if err != nil {
			return nil, fmt.Errorf("look into %s: %w", ix.Collection.Name(), err)
		}
		if !empty {
			left = append(left, differences...)
			continue
		}
		if err := CreateIndexes(ctx, []Indexes{ix}); err != nil {
			return nil, err
		}
	}
	return left, nil
}

// IsEmpty reports whether a collection has no document.
func IsEmpty(ctx context.Context, c *mongo.Collection) (bool, error) {
	err := c.FindOne(ctx, bson.D{}, options.FindOne().SetProjection(bson.D{{Key: "_id", Value: 1}})).Err()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return true, nil
	}
	return false, err
}

// A Difference is an index that the server does not have, or has with other keys or options.
type Difference struct {
	Collection, Index string
	// Missing says that there is no such index yet, Building that the server is making it.
	Missing, Building bool
	// Optional says that everything works without it.
	Optional bool
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
			building := got.building
			got.building = false
			if !ok || got != want || building {
				differences = append(differences, Difference{
					Collection: ix.Collection.Name(), Index: want.Name, Missing: !ok || building && got == want,
					Building: building, Optional: slices.Contains(ix.Optional, want.Name)})
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
	building        bool
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
	// Without the second field MongoDB lists an index like others while it builds it.
	list := bson.D{{Key: "listIndexes", Value: c.Name()}, {Key: "includeBuildUUIDs", Value: true}}
	cur, err := c.Database().RunCommandCursor(ctx, list)
	if HasCode(err, IDLUnknownField, FailedToParse, BadValue) {
		cur, err = c.Database().RunCommandCursor(ctx, list[:1])
	}
	there := make(map[string]description)
	if HasCode(err, NamespaceNotFound) {
		return there, nil
	}
	if err != nil {
		return nil, err
	}
	defer cur.Close(context.WithoutCancel(ctx))
	for cur.Next(ctx) {
		spec := cur.Current
		var d description
		if _, _, d.building = spec.Lookup("buildUUID").BinaryOK(); d.building {
			if inner, ok := spec.Lookup("spec").DocumentOK(); ok {
				spec = inner
			}
		}
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
