package docstore

import (
	"context"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"gadwall/internal/docstore/engine"
	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/rawdoc"
)

func (s *Server) getMore(ctx context.Context, r *request) (bson.Raw, error) {
	var id, batch int64
	var collection string
	err := r.args(func(key string, v bson.RawValue) (bool, error) {
		var err error
		switch key {
		case "getMore":
			id, err = r.longArg(key, v)
		case "collection":
			collection, err = r.stringArg(key, v)
		case "batchSize":
			batch, err = r.notNegative(key, v)
		default:
			return false, nil
		}
		return true, err
	})
	if err != nil {
		return nil, err
	}
	if collection == "" {
		return nil, errMissingField(r.name, "collection")
	}
	c, err := s.cursors.take(id)
	if err != nil {
		return nil, err
	}
	done := false
	defer func() { s.cursors.give(c, done) }()
	switch {
	case c.ns != r.db+"."+collection:
		err = mongoerr.New(mongoerr.Unauthorized,
			"Requested getMore on namespace '%s.%s', but cursor belongs to a different namespace "+
				"%s", r.db, collection, c.ns)
	case !r.owns(c):
		err = r.notOwner(c)
	case r.hasMaxTime:
		err = mongoerr.New(mongoerr.BadValue, "cannot set maxTimeMS on getMore command for a non-awaitData cursor")
	}
	if err != nil {
		return nil, err
	}
	if batch == 0 {
		batch = 1 << 40 // only the bytes bound it
	}
	start, dst := bsoncore.AppendDocumentStart(r.conn.replyBuffer())
	i, dst := bsoncore.AppendDocumentElementStart(dst, "cursor")
	done = true // also when the stream fails
	dst, _, done, err = c.fill(ctx, dst, "nextBatch", batch)
	if err != nil {
		done = true
		return nil, err
	}
	next := c.id
	if done {
		next = 0
	}
	return c.endReply(dst, start, i, next), nil
}

// owns reports that the cursor was made in the session, and the transaction, of the request.
func (r *request) owns(c *cursor) bool {
	return r.hasLsid == c.hasLsid && r.lsid == c.lsid && r.transaction() == c.unit
}

func (r *request) transaction() *engine.Unit {
	if !r.inTransaction {
		return nil
	}
	return r.session.unit
}

// notOwner tells what is wrong about the request's session or transaction for the cursor.
func (r *request) notOwner(c *cursor) error {
	switch u := r.transaction(); {
	case r.hasLsid && !c.hasLsid:
		return mongoerr.New(mongoerr.CursorWithoutSession,
			"Cannot run getMore on cursor %d, which was not created in a session, in a session", c.id)
	case !r.hasLsid && c.hasLsid:
		return mongoerr.New(mongoerr.CursorNeedsSession,
			"Cannot run getMore on cursor %d, which was created in a session, without an lsid", c.id)
	case r.lsid != c.lsid:
		return mongoerr.New(mongoerr.CursorOfAnotherSession,
			"Cannot run getMore on cursor %d, which was created in another session", c.id)
	case c.unit == nil:
		return mongoerr.New(mongoerr.CursorWithoutTransaction,
			"Cannot run getMore on cursor %d, which was not created in a transaction, in a transaction", c.id)
	case u == nil:
		return mongoerr.New(mongoerr.CursorNeedsTransaction,
			"Cannot run getMore on cursor %d, which was created in a transaction, without a txnNumber", c.id)
	}
	return mongoerr.New(mongoerr.CursorOfAnotherTransaction,
		"Cannot run getMore on cursor %d, which was created in another transaction", c.id)
}

func (s *Server) killCursors(_ context.Context, r *request) (bson.Raw, error) {
	var ids []int64
	named := false
	err := r.args(func(key string, v bson.RawValue) (bool, error) {
		switch key {
		case "killCursors":
			_, err := r.collectionName(v)
			return true, err
		case "cursors":
			named = true
			if v.Type != bson.TypeArray {
				return true, errWrongType(r.name, key, v, "array")
			}
			it := rawdoc.Over(v.Value)
			for it.Next() {
				id, err := r.longArg(key, it.Value())
				if err != nil {
					return true, err
				}
				ids = append(ids, id)
			}
			return true, nil
		}
		return false, nil
	})
	if err == nil && !named {
		err = errMissingField(r.name, "cursors")
	}
	if err != nil {
		return nil, err
	}
	killed := map[int64]bool{}
	for _, id := range s.cursors.killIDs(ids) {
		killed[id] = true
	}
	return okReply(func(dst []byte) []byte {
		list := func(field string, want bool) {
			i, d := bsoncore.AppendArrayElementStart(dst, field)
			n := 0
			for _, id := range ids {
				if killed[id] == want {
					d = bsoncore.AppendInt64Element(d, strconv.Itoa(n), id)
					n++
				}
			}
			dst, _ = bsoncore.AppendArrayEnd(d, i)
		}
		list("cursorsKilled", true)
		list("cursorsNotFound", false)
		for _, field := range []string{"cursorsAlive", "cursorsUnknown"} {
			dst = bsoncore.AppendArrayElement(dst, field, bsoncore.NewArrayBuilder().Build())
		}
		return dst
	}), nil
}
