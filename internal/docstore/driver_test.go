package docstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/dbtest"
)

type (
	D = bson.D
	E = bson.E
	A = bson.A
)

// d makes a document of keys and values that follow each other.
func d(kv ...any) D {
	doc := make(D, 0, len(kv)/2)
	for i := 0; i < len(kv); i += 2 {
		doc = append(doc, E{Key: kv[i].(string), Value: kv[i+1]})
	}
	return doc
}

// testContext ends what waits in vain; no test takes so long, also on a busy machine.
func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// ids returns the _ids a find yields, in order.
func ids(t testing.TB, c *mongo.Collection, ctx context.Context, filter any,
	opts ...options.Lister[options.FindOptions]) []any {
	t.Helper()
	cur, err := c.Find(ctx, filter, opts...)
	if err != nil {
		t.Fatal(err)
	}
	var docs []bson.M
	if err := cur.All(ctx, &docs); err != nil {
		t.Fatal(err)
	}
	out := []any{}
	for _, doc := range docs {
		out = append(out, doc["_id"])
	}
	return out
}

func wantIDs(t testing.TB, got []any, want ...any) {
	t.Helper()
	if g, w := fmt.Sprintf("%v", got), fmt.Sprintf("%v", append([]any{}, want...)); g != w {
		t.Errorf("got _ids %v, want %v", g, w)
	}
}

func wantCode(t testing.TB, err error, code int) {
	t.Helper()
	var se mongo.ServerError
	if !errors.As(err, &se) {
		t.Errorf("got error %v, want a server error with code %d", err, code)
		return
	}
	if !se.HasErrorCode(code) {
		t.Errorf("got error %v, want code %d", err, code)
	}
}

func hasLabel(err error, label string) bool {
	var le mongo.LabeledError
	return errors.As(err, &le) && le.HasErrorLabel(label)
}

func insertAll(t testing.TB, c *mongo.Collection, docs ...any) {
	t.Helper()
	if _, err := c.InsertMany(testContext(t), docs); err != nil {
		t.Fatal(err)
	}
}

func TestInsert(t *testing.T) {
	ctx := testContext(t)
	c := dbtest.Database(t).Collection("c")
	res := must(c.InsertMany(ctx, []any{d("_id", 1), d("a", 1), d("b", 1, "_id", "x")}))(t)
	if len(res.InsertedIDs) != 3 {
		t.Fatalf("inserted %v", res.InsertedIDs)
	}
	_, err := c.InsertOne(ctx, d("_id", 1.0))
	if !mongo.IsDuplicateKeyError(err) {
		t.Errorf("a second _id of equal value: %v", err)
	}
	_, err = c.InsertOne(ctx, d("_id", A{1}))
	wantCode(t, err, 53)
	_, err = c.InsertOne(ctx, d("a", bson.Binary{Data: make([]byte, 16<<20)}))
	if err == nil {
		t.Error("a document of more than 16 MiB was inserted")
	}

	_, err = c.InsertMany(ctx, []any{d("_id", 5), d("_id", 1), d("_id", 6)})
	if !mongo.IsDuplicateKeyError(err) {
		t.Errorf("ordered: %v", err)
	}
	_, err = c.InsertMany(ctx, []any{d("_id", 7), d("_id", 1), d("_id", 8)}, options.InsertMany().SetOrdered(false))
	if !mongo.IsDuplicateKeyError(err) {
		t.Errorf("unordered: %v", err)
	}
	wantIDs(t, ids(t, c, ctx, d("_id", d("$gt", 1, "$lt", 100))), 5, 7, 8)
}

// The documents of one command, larger than what one unit holds, are all there.
func TestInsertMany(t *testing.T) {
	ctx := testContext(t)
	c := dbtest.Database(t).Collection("c")
	const n = 5000
	var docs []any
	for i := range n {
		docs = append(docs, d("_id", i, "pad", bson.Binary{Data: make([]byte, 1000)}))
	}
	must(c.InsertMany(ctx, docs))(t)
	if got := must(c.CountDocuments(ctx, d()))(t); got != n {
		t.Errorf("counted %d", got)
	}
	if got := must(c.EstimatedDocumentCount(ctx))(t); got != n {
		t.Errorf("estimated %d", got)
	}
}

func TestFindOptions(t *testing.T) {
	ctx := testContext(t)
	c := dbtest.Database(t).Collection("c")
	for i := range 20 {
		insertAll(t, c, d("_id", i, "mod", i%3, "neg", -i))
	}
	f := options.Find
	wantIDs(t, ids(t, c, ctx, d(), f().SetLimit(3)), 0, 1, 2)
	wantIDs(t, ids(t, c, ctx, d(), f().SetSkip(18)), 18, 19)
	wantIDs(t, ids(t, c, ctx, d(), f().SetSort(d("_id", -1)).SetLimit(2).SetSkip(1)), 18, 17)
	wantIDs(t, ids(t, c, ctx, d(), f().SetSort(d("neg", 1)).SetLimit(2).SetSkip(2)), 17, 16)
	wantIDs(t, ids(t, c, ctx, d(), f().SetSort(d("mod", -1, "_id", -1)).SetLimit(8)), 17, 14, 11, 8, 5, 2, 19, 16)
	wantIDs(t, ids(t, c, ctx, d("mod", 1), f().SetBatchSize(2)), 1, 4, 7, 10, 13, 16, 19)
	wantIDs(t, ids(t, c, ctx, d("_id", d("$in", A{7, 3, 100, 3}))), 3, 7)
	wantIDs(t, ids(t, c, ctx, d("_id", d("$in", A{7, 3})), f().SetSort(d("_id", -1))), 7, 3)

	var doc bson.M
	must(0, c.FindOne(ctx, d("_id", 4), options.FindOne().SetProjection(d("mod", 1, "_id", 0))).Decode(&doc))(t)
	if fmt.Sprint(doc) != `{"mod":{"$numberInt":"1"}}` {
		t.Errorf("projection gave %v", doc)
	}
	if err := c.FindOne(ctx, d("_id", 400)).Err(); !errors.Is(err, mongo.ErrNoDocuments) {
		t.Errorf("find of nothing: %v", err)
	}
}

func TestCursors(t *testing.T) {
	ctx := testContext(t)
	c := dbtest.Database(t).Collection("c")
	for i := range 300 {
		insertAll(t, c, d("_id", i, "k", i%10))
	}
	must(c.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: d("k", 1, "_id", -1)}))(t)
	for _, tc := range []struct {
		name   string
		filter D
		sort   D
		n      int
	}{
		{"forward", d(), d("_id", 1), 300},
		{"backward", d(), d("_id", -1), 300},
		{"index", d("k", d("$in", A{1, 2, 5})), d("k", 1, "_id", -1), 90},
		{"index backward", d("k", d("$gte", 5)), d("k", -1, "_id", 1), 150},
		{"sorted in memory", d(), d("k", -1, "_id", 1), 300},
	} {
		for _, batch := range []int32{1, 7, 100, 1000} {
			t.Run(fmt.Sprintf("%s %d", tc.name, batch), func(t *testing.T) {
				all := ids(t, c, ctx, tc.filter, options.Find().SetSort(tc.sort).SetBatchSize(1_000_000))
				got := ids(t, c, ctx, tc.filter, options.Find().SetSort(tc.sort).SetBatchSize(batch))
				if len(got) != tc.n || !slices.Equal(got, all) {
					t.Errorf("batches of %d gave %d documents %v; all at once %d %v", batch,
						len(got), got, len(all), all)
				}
			})
		}
	}
}

// A cursor goes on in the state of the database in which it began.
func TestCursorIsolation(t *testing.T) {
	ctx := testContext(t)
	c := dbtest.Database(t).Collection("c")
	for i := range 10 {
		insertAll(t, c, d("_id", i))
	}
	cur := must(c.Find(ctx, d(), options.Find().SetBatchSize(2)))(t)
	must(c.DeleteMany(ctx, d("_id", d("$gt", 0))))(t)
	insertAll(t, c, d("_id", 4.5))
	n := 0
	for cur.Next(ctx) {
		n++
	}
	if cur.Err() != nil {
		t.Fatal(cur.Err())
	}
	if dbtest.Embedded() && n != 10 { // MongoDB promises no snapshot here
		t.Errorf("the cursor saw %d documents", n)
	}
}

func TestKilledCursor(t *testing.T) {
	ctx := testContext(t)
	db := dbtest.Database(t)
	c := db.Collection("c")
	insertAll(t, c, d("_id", 1), d("_id", 2), d("_id", 3))
	cur := must(c.Find(ctx, d(), options.Find().SetBatchSize(1)))(t)
	id := cur.ID()
	if id == 0 {
		t.Fatal("no cursor was left open")
	}
	must(0, cur.Close(ctx))(t)
	err := db.RunCommand(ctx, d("getMore", id, "collection", "c")).Err()
	wantCode(t, err, 43)
}

func TestUpdate(t *testing.T) {
	ctx := testContext(t)
	c := dbtest.Database(t).Collection("c")
	insertAll(t, c, d("_id", 1, "n", 1), d("_id", 2, "n", 1), d("_id", 3, "n", 5))

	r := must(c.UpdateOne(ctx, d("n", 1), d("$inc", d("n", 1))))(t)
	if r.MatchedCount != 1 || r.ModifiedCount != 1 {
		t.Errorf("update of one: %+v", r)
	}
	r = must(c.UpdateMany(ctx, d(), d("$set", d("n", 5))))(t)
	if r.MatchedCount != 3 || r.ModifiedCount != 2 {
		t.Errorf("update of many: %+v", r)
	}
	r = must(c.UpdateOne(ctx, d("_id", 9), d("$set", d("a", 1), "$setOnInsert", d("b", 2)),
		options.UpdateOne().SetUpsert(true)))(t)
	if r.MatchedCount != 0 || r.UpsertedCount != 1 || fmt.Sprint(r.UpsertedID) != "9" {
		t.Errorf("upsert: %+v", r)
	}
	r = must(c.ReplaceOne(ctx, d("_id", 9), d("z", 1)))(t)
	if r.ModifiedCount != 1 {
		t.Errorf("replacement: %+v", r)
	}
	_, err := c.UpdateOne(ctx, d("_id", 9), d("$set", d("_id", 10)))
	wantCode(t, err, 66)
	wantIDs(t, ids(t, c, ctx, d("z", 1)), 9)
}

func TestDelete(t *testing.T) {
	ctx := testContext(t)
	c := dbtest.Database(t).Collection("c")
	if r := must(c.DeleteMany(ctx, d()))(t); r.DeletedCount != 0 {
		t.Errorf("deleted %d of nothing", r.DeletedCount)
	}
	insertAll(t, c, d("_id", 1, "n", 1), d("_id", 2, "n", 1), d("_id", 3, "n", 1))
	if r := must(c.DeleteOne(ctx, d("n", 1)))(t); r.DeletedCount != 1 {
		t.Errorf("deleted %d", r.DeletedCount)
	}
	if r := must(c.DeleteMany(ctx, d("n", 1)))(t); r.DeletedCount != 2 {
		t.Errorf("deleted %d", r.DeletedCount)
	}
}

func TestFindAndModify(t *testing.T) {
	ctx := testContext(t)
	c := dbtest.Database(t).Collection("c")
	insertAll(t, c, d("_id", 1, "n", 3), d("_id", 2, "n", 7))
	var doc struct{ ID, N int }
	must(0, c.FindOneAndUpdate(ctx, d(), d("$inc", d("n", 1)), options.FindOneAndUpdate().
		SetSort(d("n", -1))).Decode(&doc))(t)
	if doc.N != 7 {
		t.Errorf("before: %+v", doc)
	}
	must(0, c.FindOneAndUpdate(ctx, d("_id", 2), d("$inc", d("n", 1)), options.FindOneAndUpdate().
		SetReturnDocument(options.After)).Decode(&doc))(t)
	if doc.N != 9 {
		t.Errorf("after: %+v", doc)
	}
	must(0, c.FindOneAndUpdate(ctx, d("_id", 5), d("$set", d("n", 1)),
		options.FindOneAndUpdate().SetReturnDocument(options.After).SetUpsert(true)).Decode(&doc))(t)
	if doc.N != 1 {
		t.Errorf("upserted: %+v", doc)
	}
	must(0, c.FindOneAndDelete(ctx, d("_id", 5)).Decode(&doc))(t)
	if err := c.FindOneAndDelete(ctx, d("_id", 5)).Err(); !errors.Is(err, mongo.ErrNoDocuments) {
		t.Errorf("deleting again: %v", err)
	}
}

func TestUnknownThings(t *testing.T) {
	ctx := testContext(t)
	db := dbtest.Database(t)
	if !dbtest.Embedded() {
		t.Skip("about what the embedded database leaves out")
	}
	for _, tc := range []struct {
		cmd  D
		code int
	}{
		{d("noSuchCommand", 1), 59},
		{d("find", "c", "noSuchOption", 1), 40415},
		{d("find", "c", "collation", d("locale", "de")), 238},
		{d("find", "c", "let", d("x", 1)), 238},
		{d("find", 1), 14},
		{d("find", "c", "limit", -1), 51024},
		{d("insert", "c", "documents", A{}), 16},
		{d("insert", "c"), 40414},
		{d("create", "c", "capped", true, "size", 100), 238},
		{d("createIndexes", "c", "indexes", A{d("key", d("a", "text"), "name", "t")}), 67},
		{d("createIndexes", "c", "indexes", A{d("key", d("a", 1), "name", "t", "weights", 1)}), 197},
		{d("create", "a$b"), 73},
		{d("find", "c", "hint", "nope"), 2},
	} {
		if tc.cmd[0].Key == "find" && tc.code == 2 && tc.cmd[1].Key == "hint" {
			insertAll(t, db.Collection("c"), d())
		}
		err := db.RunCommand(ctx, tc.cmd).Err()
		if err == nil {
			t.Errorf("%v went through", tc.cmd)
			continue
		}
		wantCode(t, err, tc.code)
	}
}
