package docstore

import (
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"gadwall/internal/docstore/engine"
)

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

// newWriter starts the writing of a command.
func (r *request) newWriter(collection string) *engine.Writer {
	o := engine.WriterOptions{DB: r.db, Collection: collection, Durable: r.durable}
	switch {
	case r.inTransaction:
		o.Transaction = r.session.unit
	case r.session != nil:
		o.Retries = &r.session.retries
	}
	return r.srv.eng.NewWriter(o)
}

// finish commits what is left and builds the reply.
func (r *request) finish(w *engine.Writer, n int32, extra func(dst []byte) []byte,
	failed []writeError) (bson.Raw, error) {
	if err := w.Flush(); err != nil {
		return nil, err
	}
	if len(failed) > 0 && r.inTransaction {
		r.failTransaction()
	}
	return writeReply(n, extra, failed), nil
}
