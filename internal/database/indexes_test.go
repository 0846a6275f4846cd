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
		{one, []mongo.IndexModel{model("plain", "a", nil), model("unique", "b", unique),
			model("partial", "c", partial), ttl}},
		{none, []mongo.IndexModel{model("plain", "a", nil)}},
	}
	compare := func(want []Indexes, differences ...Difference) {
		t.Helper()
		got, err := CompareIndexes(t.Context(), want)
		if err != nil || !slices.Equal(got, differences) {
			t.Errorf("differences %+v, %v; want %+v", got, err, differences)
		}
	}
	compare(want, Difference{"one", "plain", true}, Difference{"one", "unique", true},
		Difference{"one", "partial", true},
		Difference{"one", "ttl", true}, Difference{"none", "plain", true})
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
	compare(want, Difference{"one", "partial", true})

	later := mongo.IndexModel{Keys: ttl.Keys, Options: options.Index().SetName("ttl").SetExpireAfterSeconds(61)}
	other := []Indexes{{one, []mongo.IndexModel{model("plain", "z", nil), model("unique", "b", nil), later}}}
	compare(other, Difference{"one", "plain", false}, Difference{"one", "unique", false},
		Difference{"one", "ttl", false})
	if err := CreateIndexes(t.Context(), other); err == nil {
		t.Error("an index of the same name was taken for another")
	}
}
