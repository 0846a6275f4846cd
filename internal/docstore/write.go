package docstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"gadwall/internal/docstore/bsonkey"
	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/query"
	"gadwall/internal/docstore/rawdoc"
	"gadwall/internal/docstore/wire"
)

// A writer runs the statements of one write command. In a transaction they all go to its unit.
// Otherwise statements share units of a bounded size, and each unit is one batch with the results that a
// retry of the command will find.
type writer struct {
	r    *request
	eng  *engine
	coll string
	unit *unit
	// results are those of statements in unit, not yet committed.
	results []stmtResult
	// docs counts the statements or documents since the last commit.
	docs int
	// steps counts the statements and documents of the command.
	steps int
	turn  turn
}

func (r *request) newWriter(collection string) *writer {
	w := &writer{r: r, eng: r.srv.eng, coll: collection}
	if r.inTransaction {
		w.unit = r.session.unit
	} else {
		w.unit = w.eng.newUnit()
	}
	return w
}

// retryable reports that the results must be remembered.
func (w *writer) retryable() bool { return w.r.session != nil && !w.r.inTransaction }

// done returns what the statement gave when it was run before, by an earlier try of this command.
func (w *writer) done(stmt int32) *stmtResult {
	if !w.retryable() {
		return nil
	}
	return w.r.session.result(stmt)
}

// statement runs f, which writes to w.unit, until it goes through. When f meets a lock that it may not wait for, or
// a changed collection, what was written before is committed, and f runs again. f must
// not have written anything when it returns an error. A conflict within a transaction is the caller's.
func (w *writer) statement(ctx context.Context, f func(c *collection) error) error {
	if err := w.eng.space.checkFloor(); err != nil {
		return err
	}
	w.step()
	for {
		c, err := w.collection(ctx)
		if err == nil {
			if err = w.unit.enter(ctx, c); err == nil {
				err = f(c)
			}
		}
		if w.r.inTransaction || err == nil {
			return err
		}
		var busy *busyError
		switch {
		case errors.As(err, &busy):
			if err := w.flush(); err != nil {
				return err
			}
			// The gate comes before any lock: who waits for a closed gate must hold nothing.
			if err := w.unit.enter(ctx, c); err != nil && !errors.Is(err, errStaleCollection) {
				return err
			}
			if err := w.eng.locks.acquire(ctx, w.unit, busy.key); err != nil {
				return err
			}
		case errors.Is(err, errStaleCollection):
			if err := w.flush(); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

// step is called for each statement and document.
func (w *writer) step() {
	if w.steps++; w.steps%yieldEvery == 0 {
		w.turn.giveWay()
	}
}

// A turn is how long a command has had its processor.
type turn struct{ since time.Time }

// giveWay lets the goroutines that are ready on this processor run first, once a command has had it for maxTurn. Go takes it away only
// after 10 ms, and each of the many short steps of a small command may have to wait for so long.
func (t *turn) giveWay() {
	now := time.Now()
	if t.since.IsZero() {
		t.since = now
	}
	if now.Sub(t.since) >= maxTurn {
		runtime.Gosched()
		t.since = time.Now()
	}
}

// nowhere reports that there is no collection: what changes documents finds none, which is no reason to make one.
func (w *writer) nowhere() bool { return w.eng.catalog.Load().lookup(w.r.db, w.coll) == nil }

func (w *writer) collection(ctx context.Context) (*collection, error) {
	if w.r.inTransaction {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, gateWait)
		defer cancel()
	}
	c, err := w.eng.collectionFor(ctx, w.r.db, w.coll)
	if w.r.inTransaction && errors.Is(err, context.DeadlineExceeded) {
		err = mongoerr.Transient(mongoerr.New(mongoerr.LockTimeout, "Unable to acquire a lock on the catalogue within %v", gateWait))
	}
	return c, err
}

// wrote notes a finished statement, and commits when enough has gathered.
func (w *writer) wrote(res stmtResult) error {
	if w.r.inTransaction {
		return nil
	}
	if w.retryable() {
		w.results = append(w.results, res)
	}
	return w.spill()
}

// spill commits when enough has gathered.
func (w *writer) spill() error {
	if w.docs++; w.r.inTransaction || w.unit.writes.bytes < writeChunk && w.docs < writeChunkDocs {
		return nil
	}
	return w.flush()
}

// flush commits what has gathered and starts a new unit. A transaction for which there is no space learns it
// here, and not from its commit, the outcome of which would then seem unknown.
func (w *writer) flush() error {
	if w.r.inTransaction {
		return w.unit.checkSpace()
	}
	var extra func(*pebble.Batch) error
	var record retryRecord
	if len(w.results) > 0 {
		var err error
		if record, err = w.r.session.retry.with(w.results); err != nil {
			w.unit.abort()
			return err
		}
		if w.unit.writes.len() > 0 { // what changed nothing may as well be tried again
			extra = func(b *pebble.Batch) error { return w.r.session.put(b, record) }
		}
	}
	u := w.unit
	w.unit = w.eng.newUnit()
	err := u.commit(w.r.durable, extra)
	var unsettled *unsettledError
	if err != nil && !errors.As(err, &unsettled) {
		return err
	}
	if len(w.results) > 0 {
		w.r.session.retry = record
	}
	w.results, w.docs = nil, 0
	return err
}

// close ends the writer's unit if it is not a transaction's.
func (w *writer) close() {
	if !w.r.inTransaction {
		w.unit.abort()
	}
}

// insertDoc inserts doc, whose _id has been checked.
func (u *unit) insertDoc(ctx context.Context, c *collection, doc bson.Raw) error {
	id := rawdoc.Get(doc, "_id")
	idKey := bsonkey.Append(nil, id)
	key := c.docKey(idKey)
	if err := u.lock(ctx, key); err != nil {
		return err
	}
	switch _, release, err := u.view().get(key); {
	case err == nil:
		if err := release.Close(); err != nil {
			return err
		}
		return duplicateKey(c, "_id_", bson.Raw(rawdoc.Get(idIndexSpec(false), "key").Value), []bson.RawValue{id})
	case !errors.Is(err, errNotFound):
		return fmt.Errorf("read a document of %s: %w", c.ns(), err)
	}
	return u.writeDoc(ctx, c, idKey, nil, doc)
}

// prepareInsert checks a document and puts its _id first; it gives it one if it has none.
func prepareInsert(doc bson.Raw) (bson.Raw, error) {
	if len(doc) > wire.MaxDocumentSize {
		return nil, mongoerr.New(mongoerr.BSONObjectTooLarge, "object to insert too large. size in bytes: %d, max size: %d", len(doc), wire.MaxDocumentSize)
	}
	if err := checkNesting(doc); err != nil {
		return nil, err
	}
	it := rawdoc.Over(doc)
	for first := true; it.Next(); first = false {
		if string(it.Key()) != "_id" {
			continue
		}
		id := it.Value()
		if err := checkID(id); err != nil {
			return nil, err
		}
		for it.Next() {
			if string(it.Key()) == "_id" {
				return nil, mongoerr.New(mongoerr.BadValue, "can't have multiple _id fields in one document")
			}
		}
		if first {
			return doc, nil
		}
		return withIDFirst(doc, id), nil
	}
	return withIDFirst(doc, newObjectID()), nil
}

func checkNesting(doc bson.Raw) error {
	if rawdoc.DeeperThan(doc, maxNesting) {
		return mongoerr.New(mongoerr.Overflow, "Document exceeds maximum nested object depth: %d", maxNesting)
	}
	return nil
}

func checkID(v bson.RawValue) error {
	switch v.Type {
	case bson.TypeArray, bson.TypeRegex, bson.TypeUndefined:
		return mongoerr.New(mongoerr.InvalidIDField, "The '_id' value cannot be of type %s", rawdoc.TypeName(v.Type))
	case bson.TypeEmbeddedDocument:
		for it := rawdoc.Over(v.Value); it.Next(); {
			if key := it.Key(); len(key) > 0 && key[0] == '$' {
				return mongoerr.New(mongoerr.DollarPrefixedFieldName, "_id fields may not contain '$'-prefixed fields: %s is not valid for storage.", key)
			}
		}
	}
	return nil
}

func newObjectID() bson.RawValue {
	id := bson.NewObjectID()
	return bson.RawValue{Type: bson.TypeObjectID, Value: id[:]}
}

func withIDFirst(doc bson.Raw, id bson.RawValue) bson.Raw {
	i, dst := bsoncore.AppendDocumentStart(make([]byte, 0, len(doc)+32))
	dst = rawdoc.AppendElem(dst, "_id", id)
	it := rawdoc.Over(doc)
	for it.Next() {
		if string(it.Key()) != "_id" {
			dst = rawdoc.AppendElem(dst, it.Key(), it.Value())
		}
	}
	dst, _ = bsoncore.AppendDocumentEnd(dst, i)
	return dst
}

// A target is a document that a statement changes.
type target struct {
	idKey []byte
	doc   bson.Raw
}

// lockTarget locks the document and returns it as it is now, or nil if it does not match (any more).
// What does not match is left alone, so that nobody waits for a lock on what he will not write.
func (u *unit) lockTarget(ctx context.Context, c *collection, filter *query.Filter, idKey []byte) (*target, error) {
	key := c.docKey(idKey)
	value, release, err := u.view().get(key)
	if errors.Is(err, errNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read a document of %s: %w", c.ns(), err)
	}
	matches := filter.Match(value)
	if err := release.Close(); err != nil || !matches {
		return nil, err
	}
	if err := u.lock(ctx, key); err != nil {
		return nil, err
	}
	doc, err := u.readDoc(c, idKey)
	if err != nil || doc == nil || !filter.Match(doc) {
		return nil, err
	}
	return &target{idKey: idKey, doc: doc}, nil
}

// findOne locks the first document that matches, in the order of sort; nil if there is none.
func (u *unit) findOne(ctx context.Context, c *collection, filter *query.Filter, sort *query.Sort, h hint) (*target, error) {
	if id, ok := filter.IDEquals(); ok {
		return u.lockTarget(ctx, c, filter, bsonkey.Append(nil, id))
	}
	for {
		found, t, err := u.tryOne(ctx, c, filter, sort, h)
		if err != nil || t != nil || !found {
			return t, err
		}
		// The documents found changed before they were locked: look again.
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

// tryOne looks once. found without a target reports that what was found did not match any more.
func (u *unit) tryOne(ctx context.Context, c *collection, filter *query.Filter, sort *query.Sort, h hint) (found bool, t *target, err error) {
	v, done := u.scanView()
	defer func() { err = errors.Join(err, done()) }()
	p, err := planQuery(v, c, filter, sort, h)
	if err != nil {
		return false, nil, err
	}
	scan := newDocScan(v, p)
	defer func() { err = errors.Join(err, scan.close()) }()
	if p.sorted {
		for {
			idKey, _, err := scan.next(ctx)
			if err == io.EOF {
				return found, nil, nil
			}
			if err != nil {
				return false, nil, err
			}
			found = true
			if t, err := u.lockTarget(ctx, c, filter, clone(idKey)); t != nil || err != nil {
				return true, t, err
			}
		}
	}
	s := sorter{sort: sort, keep: 1}
	if err := s.fill(ctx, scan); err != nil {
		return false, nil, err
	}
	doc, err := s.next()
	if err == io.EOF {
		return false, nil, nil
	}
	if err != nil {
		return false, nil, err
	}
	t, err = u.lockTarget(ctx, c, filter, idKeyOf(doc))
	return true, t, err
}

// scanView is the view in which a statement looks for documents to write to: a transaction's own, or a
// snapshot, to which the statement's own writes do not show.
func (u *unit) scanView() (v view, done func() error) {
	if u.isTransaction() {
		return u.view(), func() error { return nil }
	}
	snap := u.eng.db.NewSnapshot()
	return overlayView{base: pebbleView{snap}, writes: u.writes}, snap.Close
}

// retryUpsert is how often an upsert that lost against another one looks again.
const retryUpsert = 10

// writeError is a failed statement in the reply of a write command.
type writeError struct {
	index int
	err   error
}

// writeReply builds the reply of insert, update and delete.
func writeReply(n int32, extra func(dst []byte) []byte, failed []writeError) bson.Raw {
	return okReply(func(dst []byte) []byte {
		dst = bsoncore.AppendInt32Element(dst, "n", n)
		if extra != nil {
			dst = extra(dst)
		}
		if len(failed) == 0 {
			return dst
		}
		i, dst := bsoncore.AppendArrayElementStart(dst, "writeErrors")
		for k, f := range failed {
			e := wireError(f.err, false)
			d, item := bsoncore.AppendDocumentStart(nil)
			item = bsoncore.AppendInt32Element(item, "index", int32(f.index))
			item = bsoncore.AppendInt32Element(item, "code", e.Code)
			item = appendDuplicate(item, f.err)
			item = bsoncore.AppendStringElement(item, "errmsg", e.Message)
			item, _ = bsoncore.AppendDocumentEnd(item, d)
			dst = appendItem(dst, int64(k), item)
		}
		dst, _ = bsoncore.AppendArrayEnd(dst, i)
		return dst
	})
}

// fatal reports an error that ends the whole command rather than one statement of it.
func (w *writer) fatal(err error) bool {
	var qe *mongoerr.Error
	if !errors.As(err, &qe) || qe.Code == mongoerr.OutOfDiskSpace {
		return true // conflicts, the context, the disk
	}
	return qe.Has(mongoerr.LabelTransient)
}

// pauseBeforeRetry keeps a statement that lost a race from spinning.
func pauseBeforeRetry(ctx context.Context, try int) error {
	t := time.NewTimer(time.Duration(try) * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
