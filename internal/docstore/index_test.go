package docstore_test

import (
	"fmt"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/dbtest"
)

func createIndex(t testing.TB, c *mongo.Collection, keys D, opts *options.IndexOptionsBuilder) string {
	t.Helper()
	m := mongo.IndexModel{Keys: keys}
	if opts != nil {
		m.Options = opts
	}
	return must(c.Indexes().CreateOne(testContext(t), m))(t)
}

func TestPlans(t *testing.T) {
	c := dbtest.Database(t).Collection("c")
	var docs []any
	for i := range 500 {
		docs = append(docs, d("_id", i, "a", i%10, "b", i, "s", fmt.Sprint(i)))
	}
	insertAll(t, c, docs...)
	createIndex(t, c, d("a", 1, "b", 1), nil)
	createIndex(t, c, d("b", -1), options.Index().SetPartialFilterExpression(d("a", 3)))
	for _, tc := range []struct {
		name         string
		filter, sort D
		stage, index string
		// docs is how many may be examined.
		docs, returned int
		sorts          bool
	}{
		{"by _id", d("_id", 7), nil, "IDHACK", "", 1, 1, false},
		{"range of _id", d("_id", d("$gte", 10, "$lt", 20)), d("_id", 1), "CLUSTERED_IXSCAN", "", 10, 10, false},
		{"range of _id backwards", d("_id", d("$gte", 10, "$lt", 20)), d("_id", -1),
			"CLUSTERED_IXSCAN", "", 10, 10, false},
		{"nothing to go by", d("s", "5"), nil, "COLLSCAN", "", 500, 1, false},
		{"equality", d("a", 4), nil, "IXSCAN", "a_1_b_1", 50, 50, false},
		{"equality and range", d("a", 4, "b", d("$lt", 50)), d("b", -1), "IXSCAN", "a_1_b_1", 5, 5, false},
		{"equality and order", d("a", 4), d("b", 1), "IXSCAN", "a_1_b_1", 50, 50, false},
		{"in and range", d("a", d("$in", A{1, 2}), "b", d("$gt", 480)), d("a", 1, "b", 1), "IXSCAN",
			"a_1_b_1", 4, 4, false},
		{"sort in memory", d("a", d("$in", A{1, 2})), d("b", 1), "IXSCAN", "a_1_b_1", 100, 100, true},
		{"partial index", d("a", 3, "b", d("$gt", 400)), nil, "IXSCAN", "", 10, 10, false},
		{"impossible", d("_id", d("$gt", 5, "$lt", 3)), nil, "", "", 0, 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var sort any
			if tc.sort != nil {
				sort = tc.sort
			}
			p := dbtest.Explain(t, c, tc.filter, sort, nil)
			if tc.stage != "" && p.Stage != tc.stage && (dbtest.Embedded() || tc.stage != "CLUSTERED_IXSCAN") {
				t.Errorf("stage %s: %v", p.Stage, p)
			}
			if tc.index != "" && p.Index != tc.index {
				t.Errorf("index %s: %v", p.Index, p)
			}
			if p.DocsExamined > tc.docs || p.NReturned != tc.returned || p.Sorts() != tc.sorts {
				t.Errorf("want %d examined, %d returned, sort %v: %v", tc.docs, tc.returned, tc.sorts, p)
			}
		})
	}
}

// Bounds that lie close together in their encoding are kept apart.
func TestAdjacentBounds(t *testing.T) {
	ctx := testContext(t)
	c := dbtest.Database(t).Collection("c")
	at := func(n int64) bson.DateTime { return bson.DateTime(n) }
	for _, n := range []int64{0x00ff, 0x0100, 0x0180, 0x01fe, 0x01ff, 0x0200} {
		insertAll(t, c, d("_id", at(n), "a", at(n)))
	}
	createIndex(t, c, d("a", 1), nil)
	for _, field := range []string{"_id", "a"} {
		for _, tc := range []struct {
			filter D
			want   int
		}{
			{d("$gt", at(0x00ff), "$lte", at(0x01ff)), 4},
			{d("$gte", at(0x00ff), "$lt", at(0x01ff)), 4},
			{d("$gt", at(0x0100), "$lt", at(0x0180)), 0},
			{d("$gte", at(0x0100), "$lte", at(0x0100)), 1},
			{d("$in", A{at(0x0100), at(0x01ff), at(7)}), 2},
		} {
			if got := ids(t, c, ctx, d(field, tc.filter)); len(got) != tc.want {
				t.Errorf("%s %v found %v, want %d", field, tc.filter, got, tc.want)
			}
		}
	}
}

func TestUniqueIndex(t *testing.T) {
	ctx := testContext(t)
	c := dbtest.Database(t).Collection("c")
	createIndex(t, c, d("u", 1, "path", 1), options.Index().SetUnique(true))
	insertAll(t, c, d("_id", 1, "u", 1, "path", "a"), d("_id", 2, "u", 1, "path", "b"))
	_, err := c.InsertOne(ctx, d("_id", 3, "u", 1, "path", "a"))
	if !mongo.IsDuplicateKeyError(err) {
		t.Errorf("insert: %v", err)
	}
	_, err = c.UpdateOne(ctx, d("_id", 2), d("$set", d("path", "a")))
	if !mongo.IsDuplicateKeyError(err) {
		t.Errorf("update: %v", err)
	}
	must(c.UpdateOne(ctx, d("_id", 1), d("$set", d("path", "c"))))(t)
	must(c.UpdateOne(ctx, d("_id", 2), d("$set", d("path", "a"))))(t)
	must(c.DeleteOne(ctx, d("_id", 2)))(t)
	must(c.InsertOne(ctx, d("_id", 3, "u", 1, "path", "a")))(t)
	wantIDs(t, ids(t, c, ctx, d("u", 1), options.Find().SetSort(d("path", 1))), 3, 1)

	// An index that the documents already break is not built.
	insertAll(t, c, d("_id", 10, "x", 1), d("_id", 11, "x", 1, "path", "y"))
	_, err = c.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: d("x", 1), Options: options.Index().SetUnique(true)})
	if !mongo.IsDuplicateKeyError(err) {
		t.Errorf("index over duplicates: %v", err)
	}
	specs := must(c.Indexes().ListSpecifications(ctx))(t)
	if len(specs) != 2 {
		t.Errorf("%d indexes are left", len(specs))
	}
}

func TestMultikeyIndex(t *testing.T) {
	ctx := testContext(t)
	c := dbtest.Database(t).Collection("c")
	createIndex(t, c, d("tags", 1), nil)
	insertAll(t, c,
		d("_id", 1, "tags", A{"a", "b"}),
		d("_id", 2, "tags", A{"b", "c"}),
		d("_id", 3, "tags", "d"),
		d("_id", 4, "tags", A{}),
		d("_id", 5))
	wantIDs(t, ids(t, c, ctx, d("tags", "b")), 1, 2)
	wantIDs(t, ids(t, c, ctx, d("tags", d("$gte", "a")), options.Find().SetSort(d("_id", 1))), 1, 2, 3)
	// Two elements may satisfy the two bounds.
	wantIDs(t, ids(t, c, ctx, d("tags", d("$gt", "b", "$lt", "bb"))), 2)
	wantIDs(t, ids(t, c, ctx, d("tags", nil)), 5)
	wantIDs(t, ids(t, c, ctx, d(), options.Find().SetSort(d("tags", 1))), 4, 5, 1, 2, 3)
	must(c.UpdateOne(ctx, d("_id", 2), d("$pull", d("tags", "b"))))(t)
	wantIDs(t, ids(t, c, ctx, d("tags", "b")), 1)
	wantIDs(t, ids(t, c, ctx, d("tags", "c")), 2)
}

func TestSparseAndPartial(t *testing.T) {
	ctx := testContext(t)
	c := dbtest.Database(t).Collection("c")
	createIndex(t, c, d("e", 1), options.Index().SetUnique(true).SetSparse(true))
	createIndex(t, c, d("n", 1), options.Index().SetUnique(true).SetPartialFilterExpression(d("live", true)))
	insertAll(t, c, d("_id", 1, "n", 1), d("_id", 2, "n", 1), d("_id", 3, "e", "x", "n", 1, "live", true))
	_, err := c.InsertOne(ctx, d("e", "x"))
	if !mongo.IsDuplicateKeyError(err) {
		t.Errorf("sparse: %v", err)
	}
	_, err = c.UpdateOne(ctx, d("_id", 1), d("$set", d("live", true)))
	if !mongo.IsDuplicateKeyError(err) {
		t.Errorf("partial: %v", err)
	}
	wantIDs(t, ids(t, c, ctx, d("e", nil), options.Find().SetSort(d("_id", 1))), 1, 2)
	wantIDs(t, ids(t, c, ctx, d(), options.Find().SetSort(d("e", 1, "_id", 1))), 1, 2, 3)
	wantIDs(t, ids(t, c, ctx, d("n", 1, "live", true)), 3)
}

func TestTTL(t *testing.T) {
	if !dbtest.Embedded() {
		t.Skip("MongoDB looks once a minute")
	}
	ctx := testContext(t)
	c := dbtest.Database(t).Collection("c")
	createIndex(t, c, d("at", 1), options.Index().SetExpireAfterSeconds(3600))
	now := time.Now()
	insertAll(t, c,
		d("_id", 1, "at", now.Add(-2*time.Hour)),
		d("_id", 2, "at", now),
		d("_id", 3),
		d("_id", 4, "at", "yesterday"),
		d("_id", 5, "at", A{now, now.Add(-3 * time.Hour)}))
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if len(ids(t, c, ctx, d("_id", d("$in", A{1, 5})))) == 0 {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("nothing expired")
		}
	}
	wantIDs(t, ids(t, c, ctx, d()), 2, 3, 4)
}

func TestIndexCommands(t *testing.T) {
	ctx := testContext(t)
	db := dbtest.Database(t)
	c := db.Collection("c")
	createIndex(t, c, d("a", 1), nil)
	createIndex(t, c, d("a", 1), nil) // again is nothing
	_, err := c.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: d("a", 1), Options: options.Index().SetUnique(true)})
	wantCode(t, err, 86)
	_, err = c.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: d("b", 1), Options: options.Index().SetName("a_1")})
	wantCode(t, err, 86)
	_, err = c.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: d("a", 1), Options: options.Index().SetName("other")})
	wantCode(t, err, 85)
	must(0, c.Indexes().DropOne(ctx, "a_1"))(t)
	wantCode(t, c.Indexes().DropOne(ctx, "a_1"), 27)
	specs := must(c.Indexes().ListSpecifications(ctx))(t)
	if len(specs) != 1 || specs[0].Name != "_id_" {
		t.Errorf("%d indexes are left", len(specs))
	}
}

func TestCollections(t *testing.T) {
	ctx := testContext(t)
	db := dbtest.Database(t)
	clustered := options.CreateCollection().SetClusteredIndex(d("key", d("_id", 1), "unique", true))
	must(0, db.CreateCollection(ctx, "one", clustered))(t)
	wantCode(t, db.CreateCollection(ctx, "one"), 48)
	insertAll(t, db.Collection("two"), d("_id", 1))
	names := must(db.ListCollectionNames(ctx, d()))(t)
	if len(names) != 2 {
		t.Errorf("collections: %v", names)
	}
	names = must(db.ListCollectionNames(ctx, d("name", "two")))(t)
	if len(names) != 1 {
		t.Errorf("filtered: %v", names)
	}
	specs := must(db.ListCollectionSpecifications(ctx, d("name", "one")))(t)
	if _, err := bson.Raw(specs[0].Options).LookupErr("clusteredIndex"); err != nil {
		t.Errorf("options of a clustered collection: %v", specs[0].Options)
	}
	must(0, db.Collection("two").Drop(ctx))(t)
	must(0, db.Collection("two").Drop(ctx))(t)
	wantIDs(t, ids(t, db.Collection("two"), ctx, d()))
	insertAll(t, db.Collection("two"), d("_id", 2))
	wantIDs(t, ids(t, db.Collection("two"), ctx, d()), 2)
	dbs := must(dbtest.Client(t).ListDatabaseNames(ctx, d("name", db.Name())))(t)
	if len(dbs) != 1 {
		t.Errorf("databases: %v", dbs)
	}
}
