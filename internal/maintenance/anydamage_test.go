package maintenance

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// damagedCollections are those in which TestAnyDamage changes a field.
var damagedCollections = []string{"users", "addresses", "mailboxes", "subscriptions", "messages",
	"journal", "contents", "blobs.files",
	"blobs.chunks", "dictionaries"}

// Whatever a field of a document becomes, checks, repairs and collections come to their end: one
// damaged document keeps nobody from seeing to the others.
func TestAnyDamage(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			f := fill(t)
			f.train()
			if err := f.Subscribe(t.Context(), f.ada.ID, "nowhere", true); err != nil {
				t.Fatal(err)
			}
			what := f.damageAny(rand.New(rand.NewPCG(77, seed)),
				damagedCollections[seed%uint64(len(damagedCollections))])
			for _, repair := range []bool{false, true} {
				if _, err := Check(t.Context(), f.Store, CheckOptions{Repair: repair, Deep: true,
					Offline: true, Found: func(Finding) {}}); err != nil {
					t.Errorf("%s: check, repair=%v: %v", what, repair, err)
				}
			}
			if _, err := PlanCollection(t.Context(), f.Store, CollectOptions{Orphans: true}); err != nil {
				t.Errorf("%s: plan: %v", what, err)
			}
			if _, err := Collect(t.Context(), f.Store, CollectOptions{Deletions: true, Orphans: true}); err != nil {
				t.Errorf("%s: collect: %v", what, err)
			}
		})
	}
}

// damageAny changes or removes a field of a document, and returns what it did.
func (f *filled) damageAny(rng *rand.Rand, collection string) string {
	cursor, err := f.db.Collection(collection).Find(f.t.Context(), bson.D{})
	if err != nil {
		f.t.Fatal(err)
	}
	var docs []bson.D
	if err := cursor.All(f.t.Context(), &docs); err != nil {
		f.t.Fatal(err)
	}
	doc := docs[rng.IntN(len(docs))]
	field := doc[1+rng.IntN(len(doc)-1)] // the first is _id
	path := field.Key
	if inner, ok := field.Value.(bson.D); ok && len(inner) > 0 && rng.IntN(4) > 0 {
		path += "." + inner[rng.IntN(len(inner))].Key
	}
	values := []any{"text", int32(7), int64(-9), nil, 3.5, true, bson.DateTime(0), bson.NewObjectID(), bson.Binary{},
		bson.Binary{Data: []byte("x")}, bson.Binary{Data: make([]byte, 16)}, bson.A{1, "x"},
		bson.D{{Key: "a", Value: 1}}}
	value := values[rng.IntN(len(values))]
	update := bson.D{{Key: "$set", Value: bson.D{{Key: path, Value: value}}}}
	if rng.IntN(5) == 0 {
		update = bson.D{{Key: "$unset", Value: bson.D{{Key: path, Value: ""}}}}
	}
	if _, err := f.db.Collection(collection).UpdateOne(f.t.Context(), bson.D{doc[0]}, update); err != nil {
		f.t.Fatal(err)
	}
	return fmt.Sprintf("%s: %v", collection, update)
}
