package docstore

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"gadwall/internal/docstore/engine"
	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/rawdoc"
)

func errUnknownField(command, field string) *mongoerr.Error {
	return mongoerr.New(mongoerr.UnknownField, "BSON field '%s.%s' is an unknown field.", command, field)
}

func errMissingField(command, field string) *mongoerr.Error {
	return mongoerr.New(mongoerr.MissingField, "BSON field '%s.%s' is missing but a required field", command, field)
}

func errWrongType(command, field string, v bson.RawValue, want string) *mongoerr.Error {
	return mongoerr.New(mongoerr.TypeMismatch,
		"BSON field '%s.%s' is the wrong type '%s', expected type '%s'", command, field, rawdoc.TypeName(v.Type), want)
}

// wireError turns any error into the one that goes to the client. Trouble of our own keeps its
// text, since the client is an operator of this same store.
func wireError(err error, inTransaction bool) *mongoerr.Error {
	var qe *mongoerr.Error
	switch {
	case errors.As(err, &qe):
		return qe
	case errors.Is(err, engine.ErrConflict):
		e := mongoerr.New(mongoerr.WriteConflict,
			"Caused by :: Write conflict during plan execution and yielding is disabled. :: "+
				"Please retry your operation or multi-document transaction.")
		if inTransaction {
			return mongoerr.Transient(e)
		}
		return e
	case engine.IsDamage(err):
		// Neither this code nor a missing label makes a driver try again.
		return mongoerr.New(mongoerr.DataCorruptionDetected, "the database is damaged: %v", err)
	case errors.Is(err, context.DeadlineExceeded):
		return mongoerr.New(mongoerr.MaxTimeMSExpired, "operation exceeded time limit")
	case errors.Is(err, context.Canceled):
		return mongoerr.New(mongoerr.ShutdownInProgress, "the server is shutting down or the client has gone")
	}
	return mongoerr.New(mongoerr.InternalError, "%v", err)
}

// appendError appends the fields of a failed command's reply.
func appendError(dst []byte, err error, e *mongoerr.Error) []byte {
	dst = bsoncore.AppendDoubleElement(dst, "ok", 0)
	dst = bsoncore.AppendStringElement(dst, "errmsg", e.Message)
	dst = bsoncore.AppendInt32Element(dst, "code", e.Code)
	name := e.CodeName
	if name == "" {
		name = mongoerr.CodeName(e.Code)
	}
	dst = bsoncore.AppendStringElement(dst, "codeName", name)
	dst = appendDuplicate(dst, err)
	if len(e.Labels) > 0 {
		dst = appendLabels(dst, e.Labels)
	}
	return dst
}

func appendDuplicate(dst []byte, err error) []byte {
	var dup *engine.DuplicateKeyError
	if errors.As(err, &dup) {
		dst = bsoncore.AppendDocumentElement(dst, "keyPattern", bsoncore.Document(dup.Pattern))
		dst = bsoncore.AppendDocumentElement(dst, "keyValue", bsoncore.Document(dup.Value))
	}
	return dst
}

func appendLabels(dst []byte, labels []string) []byte {
	i, dst := bsoncore.AppendArrayElementStart(dst, "errorLabels")
	for n, l := range labels {
		dst = bsoncore.AppendStringElement(dst, fmt.Sprint(n), l)
	}
	dst, _ = bsoncore.AppendArrayEnd(dst, i)
	return dst
}
