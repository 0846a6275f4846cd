package docstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/dbtest"
)

const (
	transientLabel = "TransientTransactionError"
)

// A txn is a session with an open transaction.
type txn struct {
	*mongo.Session
	ctx context.Context
}

func begin(t testing.TB, db *mongo.Database) txn {
	t.Helper()
	s := must(db.Client().StartSession())(t)
	t.Cleanup(func() { s.EndSession(context.Background()) })
	must(0, s.StartTransaction())(t)
	return txn{s, mongo.NewSessionContext(testContext(t), s)}
}

func wantConflict(t testing.TB, err error) {
	t.Helper()
	wantCode(t, err, 112)
	if !hasLabel(err, transientLabel) {
		t.Errorf("%v lacks the label %s", err, transientLabel)
	}
}

func TestTransaction(t *testing.T) {
	ctx := testContext(t)
	db := dbtest.Database(t)
	c := db.Collection("c")
	insertAll(t, c, d("_id", 1, "n", 0), d("_id", 2, "n", 0))

	tx := begin(t, db)
	must(c.UpdateOne(tx.ctx, d("_id", 1), d("$inc", d("n", 1))))(t)
	must(c.InsertOne(tx.ctx, d("_id", 3, "n", 7)))(t)
	must(c.DeleteOne(tx.ctx, d("_id", 2)))(t)
	wantIDs(t, ids(t, c, tx.ctx, d()), 1, 3)
	wantIDs(t, ids(t, c, tx.ctx, d(), options.Find().SetSort(d("_id", -1))), 3, 1)
	wantIDs(t, ids(t, c, ctx, d()), 1, 2)
	wantIDs(t, ids(t, c, ctx, d("n", 1)))
	must(0, tx.CommitTransaction(tx.ctx))(t)
	must(0, tx.CommitTransaction(tx.ctx))(t) // once more is nothing
	wantIDs(t, ids(t, c, ctx, d()), 1, 3)
	wantIDs(t, ids(t, c, ctx, d("n", 1)), 1)

	tx = begin(t, db)
	must(c.DeleteMany(tx.ctx, d()))(t)
	wantIDs(t, ids(t, c, tx.ctx, d()))
	must(0, tx.AbortTransaction(tx.ctx))(t)
	wantIDs(t, ids(t, c, ctx, d()), 1, 3)
}

func TestTransactionSnapshot(t *testing.T) {
	ctx := testContext(t)
	db := dbtest.Database(t)
	c := db.Collection("c")
	createIndex(t, c, d("n", 1), nil)
	insertAll(t, c, d("_id", 1, "n", 1), d("_id", 2, "n", 2))
	tx := begin(t, db)
	wantIDs(t, ids(t, c, tx.ctx, d()), 1, 2)
	insertAll(t, c, d("_id", 3, "n", 1))
	must(c.UpdateOne(ctx, d("_id", 1), d("$set", d("n", 9))))(t)
	wantIDs(t, ids(t, c, tx.ctx, d()), 1, 2)
	wantIDs(t, ids(t, c, tx.ctx, d("n", 1)), 1)
	must(c.InsertOne(tx.ctx, d("_id", 4, "n", 1)))(t)
	wantIDs(t, ids(t, c, tx.ctx, d("n", 1), options.Find().SetSort(d("_id", 1))), 1, 4)
	must(0, tx.CommitTransaction(tx.ctx))(t)
	wantIDs(t, ids(t, c, ctx, d("n", 1), options.Find().SetSort(d("_id", 1))), 3, 4)
}

func TestWriteConflicts(t *testing.T) {
	ctx := testContext(t)
	db := dbtest.Database(t)
	c := db.Collection("c")
	createIndex(t, c, d("u", 1), options.Index().SetUnique(true))
	for i := range 6 {
		insertAll(t, c, d("_id", i, "u", i))
	}
	inc := d("$inc", d("n", 1))

	t.Run("with an open transaction", func(t *testing.T) {
		a, b := begin(t, db), begin(t, db)
		must(c.UpdateOne(a.ctx, d("_id", 1), inc))(t)
		_, err := c.UpdateOne(b.ctx, d("_id", 1), inc)
		wantConflict(t, err)
		must(0, a.CommitTransaction(a.ctx))(t)
		err = b.CommitTransaction(b.ctx)
		wantCode(t, err, 251)
	})
	t.Run("with what was committed since the snapshot", func(t *testing.T) {
		a := begin(t, db)
		wantIDs(t, ids(t, c, a.ctx, d("_id", 1)), 1)
		must(c.UpdateOne(ctx, d("_id", 1), inc))(t)
		_, err := c.UpdateOne(a.ctx, d("_id", 1), inc)
		wantConflict(t, err)
	})
	t.Run("over a deleted document", func(t *testing.T) {
		a := begin(t, db)
		wantIDs(t, ids(t, c, a.ctx, d("_id", 5)), 5)
		must(c.DeleteOne(ctx, d("_id", 5)))(t)
		_, err := c.UpdateOne(a.ctx, d("_id", 5), inc)
		wantConflict(t, err)
	})
	t.Run("over a new document", func(t *testing.T) {
		a := begin(t, db)
		wantIDs(t, ids(t, c, a.ctx, d("_id", 50)))
		insertAll(t, c, d("_id", 50, "u", 50))
		_, err := c.InsertOne(a.ctx, d("_id", 50, "u", 51))
		wantConflict(t, err)
	})
	t.Run("over a key of a unique index", func(t *testing.T) {
		a, b := begin(t, db), begin(t, db)
		must(c.InsertOne(a.ctx, d("_id", 100, "u", 100)))(t)
		_, err := c.InsertOne(b.ctx, d("_id", 101, "u", 100))
		wantConflict(t, err)
		must(0, a.AbortTransaction(a.ctx))(t)
		insertAll(t, c, d("_id", 102, "u", 100))
	})
	t.Run("no conflict but a duplicate", func(t *testing.T) {
		a := begin(t, db)
		_, err := c.InsertOne(a.ctx, d("_id", 200, "u", 1))
		if !mongo.IsDuplicateKeyError(err) {
			t.Error(err)
		}
		_, err = c.InsertOne(a.ctx, d("_id", 201, "u", 201))
		wantCode(t, err, 251) // the error ended the transaction
	})
	t.Run("different documents", func(t *testing.T) {
		a, b := begin(t, db), begin(t, db)
		must(c.UpdateOne(a.ctx, d("_id", 2), inc))(t)
		must(c.UpdateOne(b.ctx, d("_id", 3), inc))(t)
		must(0, a.CommitTransaction(a.ctx))(t)
		must(0, b.CommitTransaction(b.ctx))(t)
	})
}

// A write outside a transaction waits for the transaction in its way.
func TestPlainWriteWaits(t *testing.T) {
	ctx := testContext(t)
	db := dbtest.Database(t)
	c := db.Collection("c")
	insertAll(t, c, d("_id", 1, "n", 0))
	a := begin(t, db)
	must(c.UpdateOne(a.ctx, d("_id", 1), d("$set", d("n", 10))))(t)

	// With a deadline in the context the driver would set a maxTimeMS of its own.
	err := db.RunCommand(context.Background(), d("update", "c", "maxTimeMS", 50,
		"updates", A{d("q", d("_id", 1), "u", d("$inc", d("n", 1)))})).Err()
	wantCode(t, err, 50)

	done := make(chan error, 1)
	go func() {
		_, err := c.UpdateOne(ctx, d("_id", 1), d("$inc", d("n", 1)))
		done <- err
	}()
	wantIDs(t, ids(t, c, ctx, d("n", 0)), 1) // reads do not wait
	must(0, a.CommitTransaction(a.ctx))(t)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	wantIDs(t, ids(t, c, ctx, d("n", 11)), 1)
}

// Counters that many transactions move at once come out right, through the driver's own retry loop.
func TestConcurrentTransactions(t *testing.T) {
	ctx := testContext(t)
	db := dbtest.Database(t)
	boxes, messages := db.Collection("boxes"), db.Collection("messages")
	insertAll(t, boxes, d("_id", 1, "next", 0, "count", 0))
	const writers, each = 8, 20
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			s, err := db.Client().StartSession()
			if err != nil {
				t.Error(err)
				return
			}
			defer s.EndSession(ctx)
			for i := range each {
				_, err := s.WithTransaction(ctx, func(ctx context.Context) (any, error) {
					var box struct{ Next int }
					err := boxes.FindOneAndUpdate(ctx, d("_id", 1), d("$inc", d("next", 1, "count", 1)),
						options.FindOneAndUpdate().SetReturnDocument(options.After)).Decode(&box)
					if err != nil {
						return nil, err
					}
					return messages.InsertOne(ctx, d("_id", box.Next, "by", fmt.Sprintf("%d/%d", w, i)))
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	var box struct{ Next, Count int }
	must(0, boxes.FindOne(ctx, d()).Decode(&box))(t)
	got := ids(t, messages, ctx, d())
	if box.Next != writers*each || box.Count != writers*each || len(got) != writers*each {
		t.Errorf("%+v and %d messages, want %d", box, len(got), writers*each)
	}
	for i, id := range got {
		if fmt.Sprint(id) != fmt.Sprint(i+1) {
			t.Fatalf("message %d has _id %v", i, id)
		}
	}
}

// The same without transactions: single updates are atomic.
func TestConcurrentUpdates(t *testing.T) {
	ctx := testContext(t)
	c := dbtest.Database(t).Collection("c")
	const writers, each = 16, 30
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				_, err := c.UpdateOne(ctx, d("_id", "x"), d("$inc", d("n", 1)), options.UpdateOne().SetUpsert(true))
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	var doc struct{ N int }
	must(0, c.FindOne(ctx, d("_id", "x")).Decode(&doc))(t)
	if doc.N != writers*each {
		t.Errorf("n = %d, want %d", doc.N, writers*each)
	}
}

// numberedSession returns a database with a client of its own, and a context with a session whose
// transaction numbers the test gives itself.
func numberedSession(t testing.TB) (*mongo.Database, context.Context) {
	t.Helper()
	db, _ := dbtest.Monitored(t)
	s := must(db.Client().StartSession())(t)
	t.Cleanup(func() { s.EndSession(context.Background()) })
	return db, mongo.NewSessionContext(testContext(t), s)
}

// A write that the client sends again, because it never saw the answer, is not done again.
func TestRetriedWrite(t *testing.T) {
	ctx := testContext(t)
	db, numbered := numberedSession(t)
	c := db.Collection("c")
	insertAll(t, c, d("_id", 1, "n", 0))
	send := func(number int64, cmd D) bson.Raw {
		t.Helper()
		return must(db.RunCommand(numbered, append(cmd, E{Key: "txnNumber", Value: number})).Raw())(t)
	}
	update := d("update", "c", "updates", A{d("q", d("_id", 1), "u", d("$inc", d("n", 1)))})
	modify := d("findAndModify", "c", "query", d("_id", 1), "update", d("$inc", d("n", 1)), "new", true)
	insert := d("insert", "c", "documents", A{d("_id", 5), d("_id", 6)})
	upsert := d("update", "c", "updates", A{d("q", d("_id", 9), "u", d("$set", d("n", 1)), "upsert", true)})
	remove := d("delete", "c", "deletes", A{d("q", d("_id", 5), "limit", 1)})
	for i, cmd := range []D{update, modify, insert, upsert, remove} {
		number := int64(1000 + i)
		first, second := send(number, cmd), send(number, cmd)
		for _, field := range []string{"n", "nModified", "value", "upserted", "lastErrorObject", "writeErrors"} {
			if a, b := first.Lookup(field), second.Lookup(field); !a.Equal(b) {
				t.Errorf("%v: field %s was %v, then %v", cmd, field, a, b)
			}
		}
	}
	var doc struct{ N int }
	must(0, c.FindOne(ctx, d("_id", 1)).Decode(&doc))(t)
	if doc.N != 2 {
		t.Errorf("n = %d", doc.N)
	}
	wantIDs(t, ids(t, c, ctx, d()), 1, 6, 9)
	err := db.RunCommand(numbered, append(update, E{Key: "txnNumber", Value: int64(1001)})).Err()
	wantCode(t, err, 225)
}

func TestTransactionErrors(t *testing.T) {
	db, numbered := numberedSession(t)
	c := db.Collection("c")
	insertAll(t, c, d("_id", 1))
	find := d("find", "c", "txnNumber", int64(1000), "autocommit", false)
	err := db.RunCommand(numbered, find).Err()
	wantCode(t, err, 251)
	if !hasLabel(err, transientLabel) {
		t.Errorf("%v lacks its label", err)
	}
	tx := begin(t, db)
	_, err = c.Indexes().CreateOne(tx.ctx, mongo.IndexModel{Keys: d("a", 1)})
	if err == nil && dbtest.Embedded() {
		t.Error("an index was created in a transaction")
	}
}

// A collection that changes under a transaction's snapshot is not written to in it.
func TestTransactionAndIndexBuild(t *testing.T) {
	ctx := testContext(t)
	db := dbtest.Database(t)
	c := db.Collection("c")
	insertAll(t, c, d("_id", 1, "a", 1))
	tx := begin(t, db)
	wantIDs(t, ids(t, c, tx.ctx, d()), 1)
	createIndex(t, c, d("a", 1), options.Index().SetUnique(true))
	_, err := c.InsertOne(tx.ctx, d("_id", 2, "a", 1))
	if err == nil || !hasLabel(err, transientLabel) {
		t.Errorf("insert after an index was built: %v", err)
	}

	// An index is built when the transactions in its way are over.
	tx = begin(t, db)
	must(c.InsertOne(tx.ctx, d("_id", 3, "a", 3)))(t)
	built := make(chan error, 1)
	go func() {
		_, err := c.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: d("b", 1)})
		built <- err
	}()
	select {
	case err := <-built:
		t.Fatalf("the index was built under an open transaction: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	must(0, tx.CommitTransaction(tx.ctx))(t)
	if err := <-built; err != nil {
		t.Fatal(err)
	}
	wantIDs(t, ids(t, c, ctx, d("b", nil), options.Find().SetHint("b_1")), 1, 3)
}

// A cursor opened in a transaction ends with it.
func TestTransactionCursor(t *testing.T) {
	db := dbtest.Database(t)
	c := db.Collection("c")
	for i := range 10 {
		insertAll(t, c, d("_id", i))
	}
	tx := begin(t, db)
	must(c.InsertOne(tx.ctx, d("_id", 10)))(t)
	wantIDs(t, ids(t, c, tx.ctx, d(), options.Find().SetBatchSize(3)), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
	cur := must(c.Find(tx.ctx, d(), options.Find().SetBatchSize(3)))(t)
	must(0, tx.AbortTransaction(tx.ctx))(t)
	n := 0
	for cur.Next(tx.ctx) {
		n++
	}
	if n > 3 || cur.Err() == nil {
		t.Errorf("the cursor went on for %d documents: %v", n, cur.Err())
	}
	var se mongo.ServerError
	if !errors.As(cur.Err(), &se) {
		t.Errorf("the cursor ended with %v", cur.Err())
	}
}
