package database

import (
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/dbtest"
)

func model(name, key string, set func(*options.IndexOptionsBuilder)) mongo.IndexModel {
	o := options.Index().SetName(name)
	if set != nil {
		set(o)
	}
	return mongo.IndexModel{Keys: bson.D{{Key: key, Value: 1}, {Key: "n", Value: 1}}, Options: o}
}

func TestCompareIndexes(t *testing.T) {
	db := dbtest.Database(t)
	one, none := db.Collection("one"), db.Collection("none")
	unique := func(o *options.IndexOptionsBuilder) { o.SetUnique(true) }
	partial := func(o *options.IndexOptionsBuilder) {
		o.SetPartialFilterExpression(bson.D{{Key: "refs", Value: int64(0)}})
	}
	ttl := mongo.IndexModel{Keys: bson.D{{Key: "t", Value: 1}}, Options: options.Index().
		SetName("ttl").SetExpireAfterSeconds(60)}
	want := []Indexes{
		{Collection: one, Models: []mongo.IndexModel{model("plain", "a", nil), model("unique", "b", unique),
			model("partial", "c", partial), ttl}},
		{Collection: none, Models: []mongo.IndexModel{model("plain", "a", nil)}},
	}
	compare := func(want []Indexes, differences ...Difference) {
		t.Helper()
		got, err := CompareIndexes(t.Context(), want)
		if err != nil || !slices.Equal(got, differences) {
			t.Errorf("differences %+v, %v; want %+v", got, err, differences)
		}
	}
	missing := func(collection, index string) Difference {
		return Difference{Collection: collection, Index: index, Missing: true}
	}
	compare(want, missing("one", "plain"), missing("one", "unique"), missing("one", "partial"),
		missing("one", "ttl"), missing("none", "plain"))
	if names, err := db.ListCollectionNames(t.Context(), bson.D{}); err != nil || len(names) > 0 {
		t.Errorf("comparing made %v, %v", names, err)
	}
	for range 2 {
		if err := CreateIndexes(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		compare(want)
	}
	if err := one.Indexes().DropOne(t.Context(), "partial"); err != nil {
		t.Fatal(err)
	}
	compare(want, missing("one", "partial"))

	later := mongo.IndexModel{Keys: ttl.Keys, Options: options.Index().SetName("ttl").SetExpireAfterSeconds(61)}
	other := []Indexes{{Collection: one,
		Models: []mongo.IndexModel{model("plain", "z", nil), model("unique", "b", nil), later}}}
	wrong := func(index string) Difference { return Difference{Collection: "one", Index: index} }
	compare(other, wrong("plain"), wrong("unique"), wrong("ttl"))
	if err := CreateIndexes(t.Context(), other); err == nil {
		t.Error("an index of the same name was taken for another")
	}
}

// Indexes are made where there are no documents yet, and only told of elsewhere.
func TestCreateWhereEmpty(t *testing.T) {
	db := dbtest.Database(t)
	full, empty := db.Collection("full"), db.Collection("empty")
	if _, err := full.InsertOne(t.Context(), bson.D{{Key: "a", Value: 1}}); err != nil {
		t.Fatal(err)
	}
	model := func(name string) mongo.IndexModel {
		return mongo.IndexModel{Keys: bson.D{{Key: name, Value: 1}}, Options: options.Index().SetName(name)}
	}
	list := []Indexes{
		{Collection: full, Models: []mongo.IndexModel{model("a"), model("b")}, Optional: []string{"b"}},
		{Collection: empty, Models: []mongo.IndexModel{model("a")}},
	}
	want := []Difference{{Collection: "full", Index: "a", Missing: true},
		{Collection: "full", Index: "b", Missing: true, Optional: true}}
	left, err := CreateWhereEmpty(t.Context(), list)
	if err != nil || !slices.Equal(left, want) {
		t.Errorf("left %+v, %v; want %+v", left, err, want)
	}
	there, err := CompareIndexes(t.Context(), list)
	if err != nil || !slices.Equal(there, want) {
		t.Errorf("then %+v, %v; want %+v", there, err, want)
	}
}
