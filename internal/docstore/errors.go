package docstore

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"gadwall/internal/docstore/query"
	"gadwall/internal/docstore/rawdoc"
)

// Error codes of MongoDB that only this package uses.
const (
	codeUnauthorized                   int32 = 13
	codeLockTimeout                    int32 = 24
	codeUnknownReplWriteConcern        int32 = 79
	codeUnsatisfiableWriteConcern      int32 = 100
	codeConflictingOperationInProgress int32 = 117
	codeCommandFailed                  int32 = 125
	codeSnapshotUnavailable            int32 = 246
	codeTransactionTooLarge            int32 = 257
	codeNotARetryableWriteCommand      int32 = 50768
	codeOutOfBounds                    int32 = 51024
	codeOutOfDiskSpace                 int32 = 14031
	codeMissingField                   int32 = 40414
	codeUnknownField                   int32 = 40415
)

var codeNames = map[int32]string{
	codeUnauthorized:                   "Unauthorized",
	codeLockTimeout:                    "LockTimeout",
	codeUnknownReplWriteConcern:        "UnknownReplWriteConcern",
	codeUnsatisfiableWriteConcern:      "UnsatisfiableWriteConcern",
	codeConflictingOperationInProgress: "ConflictingOperationInProgress",
	codeSnapshotUnavailable:            "SnapshotUnavailable",
	codeTransactionTooLarge:            "TransactionTooLarge",
	codeCommandFailed:                  "CommandFailed",
	codeNotARetryableWriteCommand:      "NotARetryableWriteCommand",
	codeOutOfDiskSpace:                 "OutOfDiskSpace",
	codeMissingField:                   "IDLFailedToParse",
	codeUnknownField:                   "IDLUnknownField",
}

const (
	labelTransient     = "TransientTransactionError"
	labelUnknownCommit = "UnknownTransactionCommitResult"
)

// newError makes an error that goes to the client as it is.
func newError(code int32, format string, args ...any) *query.Error {
	return &query.Error{Code: code, CodeName: codeName(code), Message: fmt.Sprintf(format, args...)}
}

func codeName(code int32) string {
	if name, ok := codeNames[code]; ok {
		return name
	}
	return query.CodeName(code)
}

// transient marks an error after which a transaction may be tried again as a whole.
func transient(err *query.Error) *query.Error {
	marked := *err
	marked.Labels = append(append([]string(nil), err.Labels...), labelTransient)
	return &marked
}

func errCatalogChanged(ns string) *query.Error {
	return transient(newError(codeSnapshotUnavailable,
		"Unable to read from a snapshot due to pending collection catalog changes; please retry the operation. Collection %s", ns))
}

func errUnknownField(command, field string) *query.Error {
	return newError(codeUnknownField, "BSON field '%s.%s' is an unknown field.", command, field)
}

func errMissingField(command, field string) *query.Error {
	return newError(codeMissingField, "BSON field '%s.%s' is missing but a required field", command, field)
}

func errWrongType(command, field string, v bson.RawValue, want string) *query.Error {
	return newError(query.CodeTypeMismatch, "BSON field '%s.%s' is the wrong type '%s', expected type '%s'", command, field, rawdoc.TypeName(v.Type), want)
}

// A duplicateKeyError is error 11000 with the key pattern and value that MongoDB reports beside it.
type duplicateKeyError struct {
	err            *query.Error
	pattern, value bson.Raw
}

func (e *duplicateKeyError) Error() string { return e.err.Error() }
func (e *duplicateKeyError) Unwrap() error { return e.err }

// duplicateKey is the error about a key with these values in the fields of an index.
func duplicateKey(c *collection, indexName string, keySpec bson.Raw, vals []bson.RawValue) error {
	start, value := bsoncore.AppendDocumentStart(nil)
	it := rawdoc.Over(keySpec)
	for i := 0; it.Next(); i++ {
		v := vals[i]
		if rawdoc.IsMissing(v) {
			v = rawdoc.Null
		}
		value = rawdoc.AppendElem(value, it.Key(), v)
	}
	value, _ = bsoncore.AppendDocumentEnd(value, start)
	return &duplicateKeyError{
		err: newError(query.CodeDuplicateKey, "E11000 duplicate key error collection: %s index: %s dup key: %s",
			c.ns(), indexName, bson.Raw(value)),
		pattern: keySpec,
		value:   value,
	}
}

// wireError turns any error into the one that goes to the client. Trouble of our own keeps its text,
// since the client is an operator of this same store.
func wireError(err error, inTransaction bool) *query.Error {
	var qe *query.Error
	switch {
	case errors.As(err, &qe):
		return qe
	case errors.Is(err, errConflict):
		e := newError(query.CodeWriteConflict, "Caused by :: Write conflict during plan execution and yielding is disabled. :: Please retry your operation or multi-document transaction.")
		if inTransaction {
			return transient(e)
		}
		return e
	case errors.Is(err, context.DeadlineExceeded):
		return newError(query.CodeMaxTimeMSExpired, "operation exceeded time limit")
	case errors.Is(err, context.Canceled):
		return newError(query.CodeShutdownInProgress, "the server is shutting down or the client has gone")
	}
	return newError(query.CodeInternalError, "%v", err)
}

// appendError appends the fields of a failed command's reply.
func appendError(dst []byte, err error, e *query.Error) []byte {
	dst = bsoncore.AppendDoubleElement(dst, "ok", 0)
	dst = bsoncore.AppendStringElement(dst, "errmsg", e.Message)
	dst = bsoncore.AppendInt32Element(dst, "code", e.Code)
	name := e.CodeName
	if name == "" {
		name = codeName(e.Code)
	}
	dst = bsoncore.AppendStringElement(dst, "codeName", name)
	dst = appendDuplicate(dst, err)
	if len(e.Labels) > 0 {
		dst = appendLabels(dst, e.Labels)
	}
	return dst
}

func appendDuplicate(dst []byte, err error) []byte {
	var dup *duplicateKeyError
	if errors.As(err, &dup) {
		dst = bsoncore.AppendDocumentElement(dst, "keyPattern", bsoncore.Document(dup.pattern))
		dst = bsoncore.AppendDocumentElement(dst, "keyValue", bsoncore.Document(dup.value))
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
