package docstore_test

import (
	"context"
	"fmt"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/internal/docstore/query"
)

// fields makes a document of n fields.
func fields(n int, value any) bson.D {
	var out bson.D
	for i := range n {
		out = append(out, bson.E{Key: fmt.Sprint("f", i), Value: value})
	}
	return out
}

// conditions makes a list of n conditions, each of a field of its own.
func conditions(n int) bson.A {
	var out bson.A
	for i := range n {
		out = append(out, d(fmt.Sprint("f", i), -1))
	}
	return out
}

// What a command may consist of is bounded, up to the bound it works, and beyond it is an error.
func TestCommandsAreBounded(t *testing.T) {
	s := openMem(t)
	client := must(mongo.Connect(s.ClientOptions()))(t)
	defer closeAll(t, s, client)
	db := client.Database("d")
	insertAll(t, db.Collection("c"), append(d("_id", 1), fields(50, 1)...))
	update := func(n int) bson.D {
		return d("findAndModify", "c", "query", d("_id", 1), "update", d("$set", fields(n, 2)))
	}
	for _, test := range []struct {
		name    string
		command func(n int) bson.D
		most    int
		code    int
	}{
		{"projection", func(n int) bson.D { return d("find", "c", "projection", fields(n, 1)) },
			query.MaxProjectionFields, 2},
		{"nested projection", func(n int) bson.D {
			return d("find", "c", "projection",
				d("a", fields(n, 1)))
		}, query.MaxProjectionFields - 1, 2},
		{"filter", func(n int) bson.D { return d("find", "c", "filter", fields(n, 1)) }, query.MaxFilterNodes - 1, 2},
		{"or", func(n int) bson.D { return d("find", "c", "filter", d("$or", conditions(n))) },
			query.MaxFilterNodes - 2, 2},
		{"elemMatch", func(n int) bson.D {
			return d("count", "c", "query", d("a", d("$elemMatch", d("$nor", conditions(n)))))
		}, query.MaxFilterNodes - 5, 2},
		{"sort", func(n int) bson.D { return d("find", "c", "sort", fields(n, 1)) }, query.MaxSortFields, 13103},
		{"update", update, query.MaxUpdatePaths, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx := testContext(t)
			if err := db.RunCommand(ctx, test.command(test.most)).Err(); err != nil {
				t.Errorf("with %d: %.200v", test.most, err)
			}
			wantCode(t, db.RunCommand(ctx, test.command(test.most+1)).Err(), test.code)
		})
	}
}

// A command whose time is over ends also in the middle of a document.
func TestTimeEndsWithinDocument(t *testing.T) {
	s := openMem(t)
	client := must(mongo.Connect(s.ClientOptions()))(t)
	defer closeAll(t, s, client)
	db := client.Database("d")
	insertAll(t, db.Collection("c"), append(d("_id", 1), fields(100_000, 1)...))
	filter := d("$or", conditions(query.MaxFilterNodes-10))
	for _, command := range []bson.D{
		d("find", "c", "filter", filter),
		d("count", "c", "query", filter),
		d("findAndModify", "c", "query", d("_id", 1, "$or", filter[0].Value), "remove", true),
		d("aggregate", "c", "cursor", d(), "pipeline", bson.A{d("$match", filter)}),
	} {
		// With a deadline in the context the driver would set a maxTimeMS of its own.
		wantCode(t, db.RunCommand(context.Background(), append(command, bson.E{Key: "maxTimeMS", Value: 1})).Err(), 50)
	}
	if n := must(db.Collection("c").CountDocuments(testContext(t), d()))(t); n != 1 {
		t.Errorf("%d documents", n)
	}
}
