// Package mongoerr has the errors that the embedded database answers with: MongoDB's codes, their
// names and the labels by which a driver decides whether to try again.
//
// Every part of the embedded database that refuses something makes an Error here. An error of
// another type is trouble of the database itself; the connection reports it as InternalError.
package mongoerr

import (
	"fmt"
	"slices"
)

// Error is an error as MongoDB reports it to clients.
type Error struct {
	Code     int32
	CodeName string
	Message  string
	// Labels tell a driver what it may do about the error.
	Labels []string
}

func (e *Error) Error() string { return fmt.Sprintf("(%s) %s", e.CodeName, e.Message) }

// New makes an error with the name that belongs to code.
func New(code int32, format string, args ...any) *Error {
	return &Error{Code: code, CodeName: CodeName(code), Message: fmt.Sprintf(format, args...)}
}

// Labels of errors.
const (
	// LabelTransient says that the client may try the whole transaction again.
	LabelTransient = "TransientTransactionError"
	// LabelUnknownCommit says that a commit may take effect all the same; the client may ask again.
	LabelUnknownCommit = "UnknownTransactionCommitResult"
	// LabelRetryableWrite says that the client may send the same write once more.
	LabelRetryableWrite = "RetryableWriteError"
)

// With returns a copy of the error with one more label.
func (e *Error) With(label string) *Error {
	marked := *e
	marked.Labels = append(slices.Clone(e.Labels), label)
	return &marked
}

// Has reports whether the error carries a label.
func (e *Error) Has(label string) bool { return slices.Contains(e.Labels, label) }

// Transient marks an error after which the client may try the whole transaction again.
func Transient(err *Error) *Error { return err.With(LabelTransient) }

// Codes that have a name in MongoDB.
const (
	InternalError                   int32 = 1
	BadValue                        int32 = 2
	FailedToParse                   int32 = 9
	Unauthorized                    int32 = 13
	TypeMismatch                    int32 = 14
	Overflow                        int32 = 15
	InvalidLength                   int32 = 16
	IllegalOperation                int32 = 20
	InvalidBSON                     int32 = 22
	LockTimeout                     int32 = 24
	NamespaceNotFound               int32 = 26
	IndexNotFound                   int32 = 27
	PathNotViable                   int32 = 28
	CannotBackfillArray             int32 = 34
	ConflictingUpdateOperators      int32 = 40
	CursorNotFound                  int32 = 43
	NamespaceExists                 int32 = 48
	MaxTimeMSExpired                int32 = 50
	DollarPrefixedFieldName         int32 = 52
	InvalidIDField                  int32 = 53
	NotSingleValueField             int32 = 54
	EmptyFieldName                  int32 = 56
	DottedFieldName                 int32 = 57
	CommandNotFound                 int32 = 59
	ImmutableField                  int32 = 66
	CannotCreateIndex               int32 = 67
	InvalidOptions                  int32 = 72
	InvalidNamespace                int32 = 73
	UnknownReplWriteConcern         int32 = 79
	IndexOptionsConflict            int32 = 85
	IndexKeySpecsConflict           int32 = 86
	ShutdownInProgress              int32 = 91
	OperationFailed                 int32 = 96
	UnsatisfiableWriteConcern       int32 = 100
	NotExactValueField              int32 = 111
	WriteConflict                   int32 = 112
	CommandNotSupported             int32 = 115
	ConflictingOperationInProgress  int32 = 117
	CommandFailed                   int32 = 125
	ExceededMemoryLimit             int32 = 146
	CannotIndexParallelArrays       int32 = 171
	InvalidIndexSpecOption          int32 = 197
	TransactionTooOld               int32 = 225
	NotImplemented                  int32 = 238
	SnapshotUnavailable             int32 = 246
	NoSuchTransaction               int32 = 251
	TransactionCommitted            int32 = 256
	TransactionTooLarge             int32 = 257
	NotSupportedInTransaction       int32 = 263
	QueryExceededMemoryLimit        int32 = 292
	DataCorruptionDetected          int32 = 298
	UnsupportedOpQueryCommand       int32 = 352
	BSONObjectTooLarge              int32 = 10334
	DuplicateKey                    int32 = 11000
	InterruptedAtShutdown           int32 = 11600
	Interrupted                     int32 = 11601
	OutOfDiskSpace                  int32 = 14031
	MissingField                    int32 = 40414
	UnknownField                    int32 = 40415
	HostUnreachable                 int32 = 6
	HostNotFound                    int32 = 7
	NetworkTimeout                  int32 = 89
	PrimarySteppedDown              int32 = 189
	ClusterTimeFailsRateLimiter     int32 = 206
	ExceededTimeLimit               int32 = 262
	PreparedTransactionInProgress   int32 = 267
	SocketException                 int32 = 9001
	NotWritablePrimary              int32 = 10107
	InterruptedDueToReplStateChange int32 = 11602
	NotPrimaryNoSecondaryOk         int32 = 13435
	NotPrimaryOrSecondary           int32 = 13436
	NotARetryableWriteCommand       int32 = 50768
)

// Codes without a name in MongoDB, which calls each after its number ("Location40324").
const (
	SortTooManyKeys              int32 = 13103
	GroupNotObject               int32 = 15947
	GroupUnknownAccumulator      int32 = 15952
	GroupNoID                    int32 = 15955
	LimitNotPositive             int32 = 15958
	MatchNotObject               int32 = 15959
	SortNotObject                int32 = 15973
	SortOrderNotNumber           int32 = 15974
	SortOrder                    int32 = 15975
	SortEmpty                    int32 = 15976
	FieldPathEmptyName           int32 = 15998
	FieldPathDollarName          int32 = 16410
	UpdateTooLarge               int32 = 17419
	UpsertTooLarge               int32 = 17420
	ProjectionCollisionPrefix    int32 = 31249
	ProjectionCollision          int32 = 31250
	ProjectionInclusionExclusion int32 = 31253
	ProjectionExclusionInclusion int32 = 31254
	CountFieldNotString          int32 = 40156
	CountFieldEmpty              int32 = 40157
	CountFieldDollar             int32 = 40158
	CountFieldNull               int32 = 40159
	CountFieldDotted             int32 = 40160
	GroupFieldNotAccumulator     int32 = 40234
	GroupDottedField             int32 = 40235
	GroupOperatorField           int32 = 40236
	GroupFieldNotSingle          int32 = 40238
	StageNotSingle               int32 = 40323
	UnrecognizedStage            int32 = 40324
	FieldPathEmpty               int32 = 40352
	FieldPathEndsWithDot         int32 = 40353
	CursorWithoutSession         int32 = 50736
	CursorNeedsSession           int32 = 50737
	CursorOfAnotherSession       int32 = 50738
	CursorWithoutTransaction     int32 = 50739
	CursorNeedsTransaction       int32 = 50740
	CursorOfAnotherTransaction   int32 = 50741
	OutOfBounds                  int32 = 51024
	OptionsThenRegex             int32 = 51074
	RegexThenOptions             int32 = 51075
	RegexInvalid                 int32 = 51091
	RegexBadOption               int32 = 51108
	ProjectionEmptyObject        int32 = 51270
	SkipInvalid                  int32 = 5107200
	LimitInvalid                 int32 = 5107201
	SortDuplicateKey             int32 = 7472500
	PipelineTooLong              int32 = 7749501
)

var codeNames = map[int32]string{
	InternalError:                   "InternalError",
	BadValue:                        "BadValue",
	FailedToParse:                   "FailedToParse",
	Unauthorized:                    "Unauthorized",
	TypeMismatch:                    "TypeMismatch",
	Overflow:                        "Overflow",
	InvalidLength:                   "InvalidLength",
	IllegalOperation:                "IllegalOperation",
	InvalidBSON:                     "InvalidBSON",
	LockTimeout:                     "LockTimeout",
	NamespaceNotFound:               "NamespaceNotFound",
	IndexNotFound:                   "IndexNotFound",
	PathNotViable:                   "PathNotViable",
	CannotBackfillArray:             "CannotBackfillArray",
	ConflictingUpdateOperators:      "ConflictingUpdateOperators",
	CursorNotFound:                  "CursorNotFound",
	NamespaceExists:                 "NamespaceExists",
	MaxTimeMSExpired:                "MaxTimeMSExpired",
	DollarPrefixedFieldName:         "DollarPrefixedFieldName",
	InvalidIDField:                  "InvalidIdField",
	NotSingleValueField:             "NotSingleValueField",
	EmptyFieldName:                  "EmptyFieldName",
	DottedFieldName:                 "DottedFieldName",
	CommandNotFound:                 "CommandNotFound",
	ImmutableField:                  "ImmutableField",
	CannotCreateIndex:               "CannotCreateIndex",
	InvalidOptions:                  "InvalidOptions",
	InvalidNamespace:                "InvalidNamespace",
	UnknownReplWriteConcern:         "UnknownReplWriteConcern",
	IndexOptionsConflict:            "IndexOptionsConflict",
	IndexKeySpecsConflict:           "IndexKeySpecsConflict",
	ShutdownInProgress:              "ShutdownInProgress",
	OperationFailed:                 "OperationFailed",
	UnsatisfiableWriteConcern:       "UnsatisfiableWriteConcern",
	NotExactValueField:              "NotExactValueField",
	WriteConflict:                   "WriteConflict",
	CommandNotSupported:             "CommandNotSupported",
	ConflictingOperationInProgress:  "ConflictingOperationInProgress",
	CommandFailed:                   "CommandFailed",
	ExceededMemoryLimit:             "ExceededMemoryLimit",
	CannotIndexParallelArrays:       "CannotIndexParallelArrays",
	InvalidIndexSpecOption:          "InvalidIndexSpecificationOption",
	TransactionTooOld:               "TransactionTooOld",
	NotImplemented:                  "NotImplemented",
	SnapshotUnavailable:             "SnapshotUnavailable",
	NoSuchTransaction:               "NoSuchTransaction",
	TransactionCommitted:            "TransactionCommitted",
	TransactionTooLarge:             "TransactionTooLarge",
	NotSupportedInTransaction:       "OperationNotSupportedInTransaction",
	QueryExceededMemoryLimit:        "QueryExceededMemoryLimitNoDiskUseAllowed",
	DataCorruptionDetected:          "DataCorruptionDetected",
	UnsupportedOpQueryCommand:       "UnsupportedOpQueryCommand",
	BSONObjectTooLarge:              "BSONObjectTooLarge",
	DuplicateKey:                    "DuplicateKey",
	InterruptedAtShutdown:           "InterruptedAtShutdown",
	Interrupted:                     "Interrupted",
	OutOfDiskSpace:                  "OutOfDiskSpace",
	MissingField:                    "IDLFailedToParse",
	UnknownField:                    "IDLUnknownField",
	HostUnreachable:                 "HostUnreachable",
	HostNotFound:                    "HostNotFound",
	NetworkTimeout:                  "NetworkTimeout",
	PrimarySteppedDown:              "PrimarySteppedDown",
	ClusterTimeFailsRateLimiter:     "ClusterTimeFailsRateLimiter",
	ExceededTimeLimit:               "ExceededTimeLimit",
	PreparedTransactionInProgress:   "PreparedTransactionInProgress",
	SocketException:                 "SocketException",
	NotWritablePrimary:              "NotWritablePrimary",
	InterruptedDueToReplStateChange: "InterruptedDueToReplStateChange",
	NotPrimaryNoSecondaryOk:         "NotPrimaryNoSecondaryOk",
	NotPrimaryOrSecondary:           "NotPrimaryOrSecondary",
	NotARetryableWriteCommand:       "NotARetryableWriteCommand",
}

// CodeName is MongoDB's name of an error code. A code without a name is called after its number.
func CodeName(code int32) string {
	if name, ok := codeNames[code]; ok {
		return name
	}
	return fmt.Sprintf("Location%d", code)
}
