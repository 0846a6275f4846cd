package docstore

import (
	"context"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/rawdoc"
	"gadwall/internal/docstore/wire"
)

// Any well-formed document is answered as a command: with a result or with an error, and the server
// goes on.
func FuzzCommand(f *testing.F) {
	s, err := Open(Options{Dir: "db", FS: vfs.NewMem()})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	doc := func(id int) bson.D {
		return bson.D{{Key: "_id", Value: id}, {Key: "a", Value: bson.A{1, "x", bson.D{}}}}
	}
	statement := func(kv ...any) bson.A {
		var d bson.D
		for i := 0; i < len(kv); i += 2 {
			d = append(d, bson.E{Key: kv[i].(string), Value: kv[i+1]})
		}
		return bson.A{d}
	}
	for _, seed := range []bson.D{
		{{Key: "insert", Value: "c"}, {Key: "documents", Value: bson.A{doc(1), doc(2)}}},
		{{Key: "find", Value: "c"}, {Key: "filter", Value: bson.D{{Key: "a", Value: "x"}}},
			{Key: "sort", Value: bson.D{{Key: "a", Value: -1}}},
			{Key: "projection", Value: bson.D{{Key: "a", Value: 1}}}, {Key: "hint", Value: "a_1"},
			{Key: "limit", Value: 3}, {Key: "batchSize", Value: 1}},
		{{Key: "update", Value: "c"},
			{Key: "updates", Value: statement("q", bson.D{}, "u",
				bson.D{{Key: "$push", Value: bson.D{{Key: "a", Value: 1}}}}, "multi", true, "upsert", true)}},
		{{Key: "delete", Value: "c"},
			{Key: "deletes", Value: statement("q", bson.D{{Key: "_id", Value: 1}}, "limit", 1)}},
		{{Key: "findAndModify", Value: "c"}, {Key: "query", Value: bson.D{}},
			{Key: "remove", Value: true}, {Key: "sort", Value: bson.D{{Key: "a", Value: 1}}}},
		{{Key: "aggregate", Value: "c"}, {Key: "pipeline", Value: statement("$match", bson.D{})},
			{Key: "cursor", Value: bson.D{}}},
		{{Key: "createIndexes", Value: "c"},
			{Key: "indexes", Value: statement("key", bson.D{{Key: "a", Value: 1}}, "name", "a_1", "unique", true)}},
		{{Key: "explain", Value: bson.D{{Key: "find", Value: "c"}}}, {Key: "verbosity", Value: "executionStats"}},
		{{Key: "count", Value: "c"},
			{Key: "lsid", Value: bson.D{{Key: "id", Value: bson.Binary{Subtype: 4, Data: make([]byte, 16)}}}},
			{Key: "txnNumber", Value: int64(1)}, {Key: "autocommit", Value: false},
			{Key: "startTransaction", Value: true}},
		{{Key: "dropIndexes", Value: "c"}, {Key: "index", Value: "*"}},
		{{Key: "listCollections", Value: 1}, {Key: "filter", Value: bson.D{{Key: "name", Value: "c"}}}},
	} {
		raw, err := bson.Marshal(append(seed, bson.E{Key: "$db", Value: "d"}))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if rawdoc.Validate(in) != nil {
			return
		}
		// A transaction left open would keep the next inputs waiting.
		defer s.expireAll()
		reply := s.handle(context.Background(), &conn{srv: s, host: "fuzz"}, &wire.Message{Body: in})
		if err := reply.Validate(); err != nil {
			t.Fatalf("reply %x: %v", []byte(reply), err)
		}
		if ok, isDouble := reply.Lookup("ok").DoubleOK(); !isDouble || ok == 0 &&
			reply.Lookup("code").Type != bson.TypeInt32 {
			t.Fatalf("reply %v", reply)
		}
	})
}

// expireAll ends all transactions and cursors.
func (s *Server) expireAll() {
	s.cursors.kill(func(*cursor) bool { return true })
	s.sessions.abortAll()
}
