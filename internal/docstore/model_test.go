package docstore_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"pgregory.net/rapid"

	"gadwall/internal/dbtest"
)

// modelDoc is a document of the model: _id, a unique u, and two fields with indexes.
type modelDoc struct {
	ID, U, N int
	Tags     []int
}

// A modelTxn is an open transaction: what it sees, and the keys it has written.
type modelTxn struct {
	txn
	docs   map[int]modelDoc
	locked map[string]bool
	dirty  map[string]bool // those locked keys under which something changed
	began  int
}

// model is snapshot isolation in its plainest form.
type model struct {
	coll    *mongo.Collection
	docs    map[int]modelDoc
	written map[string]int // key -> the commit that wrote it last
	commits int
	txns    [3]*modelTxn
}

const (
	codeConflict  = 112
	codeDuplicate = 11000
)

func (doc modelDoc) equal(other modelDoc) bool {
	return doc.ID == other.ID && doc.U == other.U && doc.N == other.N && slices.Equal(doc.Tags, other.Tags)
}

func keyOfID(id int) string { return fmt.Sprint("id ", id) }
func keyOfU(u int) string   { return fmt.Sprint("u ", u) }

// heldByOthers reports that another transaction has written key.
func (m *model) heldByOthers(tx *modelTxn, key string) bool {
	for _, other := range m.txns {
		if other != nil && other != tx && other.locked[key] {
			return true
		}
	}
	return false
}

// write is a change of one document: nil for none. It returns the code of the error to expect, and
// whether a plain write would have to wait.
func (m *model) write(tx *modelTxn, before, after *modelDoc) (code int, waits bool) {
	docs := m.docs
	if tx != nil {
		docs = tx.docs
	}
	var claimed []string
	claim := func(key string) bool {
		if m.heldByOthers(tx, key) {
			waits = tx == nil
			code = codeConflict
			return false
		}
		if tx != nil && !tx.locked[key] && m.written[key] > tx.began {
			code = codeConflict
			return false
		}
		if tx != nil {
			tx.locked[key] = true
		}
		claimed = append(claimed, key)
		return true
	}
	doc := before
	if doc == nil {
		doc = after
	}
	if !claim(keyOfID(doc.ID)) {
		return code, waits
	}
	if _, there := docs[doc.ID]; before == nil && there {
		return codeDuplicate, false
	}
	if before != nil && (after == nil || after.U != before.U) && !claim(keyOfU(before.U)) {
		return code, waits
	}
	if after != nil && (before == nil || after.U != before.U) {
		if !claim(keyOfU(after.U)) {
			return code, waits
		}
		for _, other := range docs {
			if other.U == after.U && other.ID != after.ID {
				return codeDuplicate, false
			}
		}
	}
	if before != nil && after != nil && before.equal(*after) {
		return 0, false
	}
	for _, key := range claimed {
		if tx != nil {
			tx.dirty[key] = true
		}
	}
	if tx == nil {
		m.commits++
		for _, key := range claimed {
			m.written[key] = m.commits
		}
	}
	if after == nil {
		delete(docs, doc.ID)
	} else {
		docs[after.ID] = *after
	}
	return 0, false
}

// TestModel runs random operations of several transactions and none against the model.
func TestModel(t *testing.T) {
	db := dbtest.Database(t)
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		m := &model{coll: db.Collection(fmt.Sprint("c", round)), docs: map[int]modelDoc{}, written: map[string]int{}}
		createIndex(t, m.coll, d("u", 1), options.Index().SetUnique(true))
		createIndex(t, m.coll, d("n", -1, "id", 1), nil)
		createIndex(t, m.coll, d("tags", 1), nil)
		defer func() {
			for i := range m.txns {
				m.end(rt, i, false)
			}
		}()
		rt.Repeat(map[string]func(*rapid.T){
			"begin": func(rt *rapid.T) {
				i := rapid.IntRange(0, len(m.txns)-1).Draw(rt, "txn")
				if m.txns[i] == nil {
					m.begin(t, rt, i)
				}
			},
			"write":  m.randomWrite,
			"write2": m.randomWrite, // most operations shall be writes
			"read":   m.randomRead,
			"commit": func(rt *rapid.T) { m.end(rt, rapid.IntRange(0, len(m.txns)-1).Draw(rt, "txn"), true) },
			"abort":  func(rt *rapid.T) { m.end(rt, rapid.IntRange(0, len(m.txns)-1).Draw(rt, "txn"), false) },
			"":       func(rt *rapid.T) {},
		})
	})
}

func (m *model) begin(t *testing.T, rt *rapid.T, i int) {
	tx := &modelTxn{docs: maps.Clone(m.docs), locked: map[string]bool{}, dirty: map[string]bool{}, began: m.commits}
	s, err := m.coll.Database().Client().StartSession()
	if err == nil {
		err = s.StartTransaction()
	}
	if err != nil {
		rt.Fatal(err)
	}
	tx.txn = txn{s, mongo.NewSessionContext(context.Background(), s)}
	// The snapshot is taken by the first operation.
	if err := m.coll.FindOne(tx.ctx, d("_id", -1)).Err(); err != mongo.ErrNoDocuments {
		rt.Fatal(err)
	}
	m.txns[i] = tx
}

// pick chooses a transaction, or none, and the context to use.
func (m *model) pick(rt *rapid.T) (int, *modelTxn, context.Context) {
	i := rapid.IntRange(-1, len(m.txns)-1).Draw(rt, "in")
	if i < 0 || m.txns[i] == nil {
		return -1, nil, context.Background()
	}
	return i, m.txns[i], m.txns[i].ctx
}

func (m *model) randomWrite(rt *rapid.T) {
	i, tx, ctx := m.pick(rt)
	docs := m.docs
	if tx != nil {
		docs = tx.docs
	}
	doc := modelDoc{
		ID:   rapid.IntRange(0, 5).Draw(rt, "id"),
		U:    rapid.IntRange(0, 5).Draw(rt, "u"),
		N:    rapid.IntRange(0, 3).Draw(rt, "n"),
		Tags: rapid.SliceOfN(rapid.IntRange(0, 3), 0, 3).Draw(rt, "tags"),
	}
	var before *modelDoc
	if old, ok := docs[doc.ID]; ok {
		before = &old
	}
	kind := rapid.SampledFrom([]string{"insert", "update", "delete"}).Draw(rt, "kind")
	var code int
	var waits bool
	switch {
	case kind == "insert":
		code, waits = m.write(tx, nil, &doc)
	case before == nil: // nothing matches
	case kind == "update":
		code, waits = m.write(tx, before, &doc)
	default:
		code, waits = m.write(tx, before, nil)
	}
	if waits {
		return
	}
	var err error
	switch kind {
	case "insert":
		_, err = m.coll.InsertOne(ctx, doc.bson())
	case "update":
		_, err = m.coll.ReplaceOne(ctx, d("_id", doc.ID), doc.bson())
	case "delete":
		_, err = m.coll.DeleteOne(ctx, d("_id", doc.ID))
	}
	m.expect(rt, kind, err, code)
	if code != 0 && tx != nil {
		m.end(rt, i, false)
	}
}

func (m *model) expect(rt *rapid.T, what string, err error, code int) {
	switch {
	case code == 0 && err != nil:
		rt.Fatalf("%s: %v", what, err)
	case code != 0 && err == nil:
		rt.Fatalf("%s went through, want error %d", what, code)
	case code != 0:
		se, ok := err.(mongo.ServerError)
		if !ok || !se.HasErrorCode(code) {
			rt.Fatalf("%s: %v, want error %d", what, err, code)
		}
	}
}

func (doc modelDoc) bson() D {
	tags := A{}
	for _, tag := range doc.Tags {
		tags = append(tags, tag)
	}
	return d("_id", doc.ID, "id", doc.ID, "u", doc.U, "n", doc.N, "tags", tags)
}

// randomRead compares what one query finds with what the model does.
func (m *model) randomRead(rt *rapid.T) {
	_, tx, ctx := m.pick(rt)
	docs := m.docs
	if tx != nil {
		docs = tx.docs
	}
	x := rapid.IntRange(0, 5).Draw(rt, "x")
	q := []struct {
		filter, sort D
		match        func(modelDoc) bool
	}{
		{d(), d("_id", 1), func(modelDoc) bool { return true }},
		{d("_id", d("$gte", x)), d("_id", -1), func(doc modelDoc) bool { return doc.ID >= x }},
		{d("u", x), nil, func(doc modelDoc) bool { return doc.U == x }},
		{d("n", d("$lt", x)), d("n", -1, "id", 1), func(doc modelDoc) bool { return doc.N < x }},
		{d("n", x), d("n", 1, "id", -1), func(doc modelDoc) bool { return doc.N == x }},
		{d("tags", x), nil, func(doc modelDoc) bool { return slices.Contains(doc.Tags, x) }},
		{d("tags", d("$size", 0)), nil, func(doc modelDoc) bool { return len(doc.Tags) == 0 }},
	}[rapid.IntRange(0, 6).Draw(rt, "query")]
	want := map[int]bool{}
	for _, doc := range docs {
		if q.match(doc) {
			want[doc.ID] = true
		}
	}
	opts := options.Find().SetBatchSize(int32(rapid.IntRange(1, 4).Draw(rt, "batch")))
	if q.sort != nil {
		opts.SetSort(q.sort)
	}
	cur, err := m.coll.Find(ctx, q.filter, opts)
	if err != nil {
		rt.Fatal(err)
	}
	var got []modelDoc
	if err := cur.All(ctx, &got); err != nil {
		rt.Fatal(err)
	}
	for _, doc := range got {
		if !want[doc.ID] {
			rt.Fatalf("%v found document %d, which does not match or came twice", q.filter, doc.ID)
		}
		delete(want, doc.ID)
		if model := docs[doc.ID]; !model.equal(doc) {
			rt.Fatalf("%v found %+v, want %+v", q.filter, doc, model)
		}
	}
	if len(want) > 0 {
		rt.Fatalf("%v did not find %v", q.filter, want)
	}
	if q.sort != nil && !slices.IsSortedFunc(got, func(a, b modelDoc) int { return compareBy(q.sort, a, b) }) {
		rt.Fatalf("%v is not sorted by %v", got, q.sort)
	}
}

func compareBy(sort D, a, b modelDoc) int {
	for _, e := range sort {
		x, y := a.ID, b.ID
		if e.Key == "n" {
			x, y = a.N, b.N
		}
		if x != y {
			return (x - y) * e.Value.(int)
		}
	}
	return 0
}

// end commits or aborts transaction i, if there is one.
func (m *model) end(rt *rapid.T, i int, commit bool) {
	tx := m.txns[i]
	if tx == nil {
		return
	}
	m.txns[i] = nil
	defer tx.EndSession(context.Background())
	if !commit {
		if err := tx.AbortTransaction(tx.ctx); err != nil {
			rt.Fatal(err)
		}
		return
	}
	if err := tx.CommitTransaction(tx.ctx); err != nil {
		rt.Fatal(err)
	}
	m.commits++
	for key := range tx.dirty {
		m.written[key] = m.commits
		var n int
		if _, err := fmt.Sscanf(key, "id %d", &n); err != nil {
			continue
		}
		if doc, ok := tx.docs[n]; ok {
			m.docs[n] = doc
		} else {
			delete(m.docs, n)
		}
	}
}
