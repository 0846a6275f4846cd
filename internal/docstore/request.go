package docstore

import (
	"context"
	"math"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"gadwall/internal/docstore/engine"
	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/rawdoc"
	"gadwall/internal/docstore/wire"
)

// A request is one command, its generic arguments parsed.
type request struct {
	srv  *Server
	conn *conn
	name string
	db   string
	body bson.Raw
	seqs []wire.Sequence

	maxTime    time.Duration
	hasMaxTime bool
	lsid       sessionID
	// hasLsid reports that the client named a session.
	hasLsid   bool
	txnNumber int64
	// hasTxnNumber without inTransaction marks a retryable write.
	hasTxnNumber  bool
	inTransaction bool
	startTxn      bool
	// durable reports that the write concern asks for a synced log.
	durable         bool
	hasWriteConcern bool
	// concernError is what keeps the write concern from being satisfied.
	concernError   *mongoerr.Error
	hasReadConcern bool
	readLevel      string // of the read concern; "" for none
	after          uint64 // afterClusterTime of the read concern; 0 for none

	session *session
}

// parseRequest reads the command's name and generic arguments.
func parseRequest(s *Server, c *conn, m *wire.Message) (*request, error) {
	r := &request{srv: s, conn: c, body: m.Body, seqs: m.Sequences, durable: true}
	it := rawdoc.Over(m.Body)
	if !it.Next() {
		return nil, mongoerr.New(mongoerr.FailedToParse, "no command in the request")
	}
	r.name = string(it.Key())
	hasAutocommit := false
	for it.Next() {
		v := it.Value()
		var err error
		switch string(it.Key()) {
		case "$db":
			r.db, err = r.stringArg("$db", v)
		case "maxTimeMS":
			r.maxTime, err = parseMaxTime(v)
			r.hasMaxTime = true
		case "lsid":
			r.lsid, err = parseSessionID(r.name, v)
			r.hasLsid = true
		case "txnNumber":
			r.txnNumber, err = r.intArg("txnNumber", v)
			r.hasTxnNumber = true
		case "autocommit":
			var on bool
			if on, err = r.strictBool("autocommit", v); err == nil && on {
				err = mongoerr.New(mongoerr.InvalidOptions, "Specifying autocommit=true is not allowed.")
			}
			hasAutocommit = true
		case "startTransaction":
			r.startTxn, err = r.strictBool("startTransaction", v)
		case "readConcern":
			err = r.parseReadConcern(v)
		case "writeConcern":
			err = r.parseWriteConcern(v)
		case "$clusterTime":
			err = r.gossip(v)
		}
		if err != nil {
			return nil, err
		}
	}
	r.inTransaction = hasAutocommit
	if m.Legacy {
		r.db = databaseOf(m.Namespace)
	}
	if r.db == "" {
		return nil, mongoerr.New(mongoerr.MissingField, "OP_MSG requests require a $db argument")
	}
	return r, r.checkTransactionArgs()
}

func (r *request) checkTransactionArgs() error {
	switch {
	case r.hasTxnNumber && !r.hasLsid:
		return mongoerr.New(mongoerr.InvalidOptions, "Transaction number requires a session ID to also be specified")
	case r.hasTxnNumber && r.txnNumber < 0:
		return mongoerr.New(mongoerr.InvalidOptions, "Transaction number cannot be negative")
	case r.inTransaction && !r.hasTxnNumber:
		return mongoerr.New(mongoerr.InvalidOptions,
			"'autocommit' field requires a transaction number to also be specified")
	case r.startTxn && !r.inTransaction:
		return mongoerr.New(mongoerr.InvalidOptions,
			"'startTransaction' field requires 'autocommit' field to also be specified")
	}
	return nil
}

// isGeneric reports that a field is an argument of every command, parsed by parseRequest or without
// effect here.
func isGeneric(key string) bool {
	switch key {
	case "$db", "maxTimeMS", "lsid", "txnNumber", "autocommit", "startTransaction", "readConcern", "writeConcern",
		"$readPreference", "$clusterTime", "comment":
		return true
	}
	return false
}

// args calls f for each of the command's own arguments, the command's name first. f returns false
// for a field it does not know.
func (r *request) args(f func(key string, v bson.RawValue) (known bool, err error)) error {
	it := rawdoc.Over(r.body)
	for first := true; it.Next(); first = false {
		key := string(it.Key())
		if !first && isGeneric(key) {
			continue
		}
		known, err := f(key, it.Value())
		if err != nil {
			return err
		}
		if !known {
			return errUnknownField(r.name, key)
		}
	}
	return nil
}

// context bounds the command's time.
func (r *request) context(ctx context.Context) (context.Context, context.CancelFunc) {
	if r.maxTime > 0 {
		return context.WithTimeout(ctx, r.maxTime)
	}
	return context.WithCancel(ctx)
}

// parseMaxTime reads a time in milliseconds; 0 is no limit.
func parseMaxTime(v bson.RawValue) (time.Duration, error) {
	if !rawdoc.IsNumber(v) {
		return 0, mongoerr.New(mongoerr.BadValue, "maxTimeMS must be a number")
	}
	ms, ok := rawdoc.Integer(v)
	switch {
	case !ok:
		return 0, mongoerr.New(mongoerr.BadValue, "maxTimeMS has non-integral value")
	case ms < 0 || ms > math.MaxInt32:
		return 0, mongoerr.New(mongoerr.BadValue, "%d value for maxTimeMS is out of range [0, %d]", ms, math.MaxInt32)
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// databaseOf is the database part of a namespace.
func databaseOf(ns string) string {
	db, _, _ := strings.Cut(ns, ".")
	return db
}

// documents returns the documents of a field, sent as an array or as a section of its own.
func (r *request) documents(field string) ([]bson.Raw, error) {
	for _, s := range r.seqs {
		if s.Name == field {
			return s.Docs, nil
		}
	}
	v := rawdoc.Get(r.body, field)
	if rawdoc.IsMissing(v) {
		return nil, errMissingField(r.name, field)
	}
	if v.Type != bson.TypeArray {
		return nil, errWrongType(r.name, field, v, "array")
	}
	var docs []bson.Raw
	it := rawdoc.Over(v.Value)
	for it.Next() {
		if it.Type() != bson.TypeEmbeddedDocument {
			return nil, errWrongType(r.name, field, it.Value(), "object")
		}
		docs = append(docs, bson.Raw(it.Value().Value))
	}
	return docs, nil
}

func (r *request) stringArg(field string, v bson.RawValue) (string, error) {
	if v.Type != bson.TypeString {
		return "", errWrongType(r.name, field, v, "string")
	}
	return string(rawdoc.String(v)), nil
}

func (r *request) docArg(field string, v bson.RawValue) (bson.Raw, error) {
	if v.Type != bson.TypeEmbeddedDocument {
		return nil, errWrongType(r.name, field, v, "object")
	}
	return bson.Raw(v.Value), nil
}

// strictBool takes no number for a boolean.
func (r *request) strictBool(field string, v bson.RawValue) (bool, error) {
	if v.Type != bson.TypeBoolean {
		return false, errWrongType(r.name, field, v, "bool")
	}
	return v.Value[0] != 0, nil
}

// longArg takes no other number for an int64.
func (r *request) longArg(field string, v bson.RawValue) (int64, error) {
	if v.Type != bson.TypeInt64 {
		return 0, errWrongType(r.name, field, v, "long")
	}
	return rawdoc.Int64(v), nil
}

func (r *request) boolArg(field string, v bson.RawValue) (bool, error) {
	if v.Type == bson.TypeBoolean {
		return v.Value[0] != 0, nil
	}
	if rawdoc.IsNumber(v) {
		n, ok := rawdoc.Integer(v)
		return !ok || n != 0, nil
	}
	return false, errWrongType(r.name, field, v, "bool")
}

func (r *request) intArg(field string, v bson.RawValue) (int64, error) {
	if !rawdoc.IsNumber(v) {
		return 0, errWrongType(r.name, field, v, "long")
	}
	n, ok := rawdoc.Integer(v)
	if !ok {
		return 0, mongoerr.New(mongoerr.FailedToParse, "Expected an integer: %s.%s", r.name, field)
	}
	return n, nil
}

// collectionName reads the value beside the command's name.
func (r *request) collectionName(v bson.RawValue) (string, error) {
	name, err := r.stringArg(r.name, v)
	if err == nil {
		err = engine.CheckNamespace(r.db, name)
	}
	return name, err
}

// okReply is a reply that holds what f appends.
func okReply(f func(dst []byte) []byte) bson.Raw {
	i, dst := bsoncore.AppendDocumentStart(make([]byte, 0, 256))
	if f != nil {
		dst = f(dst)
	}
	dst = bsoncore.AppendDoubleElement(dst, "ok", 1)
	dst, _ = bsoncore.AppendDocumentEnd(dst, i)
	return dst
}
