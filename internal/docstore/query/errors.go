package query

import "fmt"

// Error is an error as MongoDB reports it to clients.
type Error struct {
	Code     int32
	CodeName string
	Message  string
	Labels   []string
}

func (e *Error) Error() string { return fmt.Sprintf("(%s) %s", e.CodeName, e.Message) }

// Codes of MongoDB's errors that the embedded database answers with.
const (
	CodeInternalError                int32 = 1
	CodeBadValue                     int32 = 2
	CodeFailedToParse                int32 = 9
	CodeTypeMismatch                 int32 = 14
	CodeOverflow                     int32 = 15
	CodeInvalidLength                int32 = 16
	CodeIllegalOperation             int32 = 20
	CodeInvalidBSON                  int32 = 22
	CodeNamespaceNotFound            int32 = 26
	CodeIndexNotFound                int32 = 27
	CodePathNotViable                int32 = 28
	CodeCannotBackfillArray          int32 = 34
	CodeConflictingUpdateOperators   int32 = 40
	CodeCursorNotFound               int32 = 43
	CodeNamespaceExists              int32 = 48
	CodeMaxTimeMSExpired             int32 = 50
	CodeDollarPrefixedFieldName      int32 = 52
	CodeInvalidIDField               int32 = 53
	CodeNotSingleValueField          int32 = 54
	CodeEmptyFieldName               int32 = 56
	CodeDottedFieldName              int32 = 57
	CodeCommandNotFound              int32 = 59
	CodeImmutableField               int32 = 66
	CodeCannotCreateIndex            int32 = 67
	CodeInvalidOptions               int32 = 72
	CodeInvalidNamespace             int32 = 73
	CodeIndexOptionsConflict         int32 = 85
	CodeIndexKeySpecsConflict        int32 = 86
	CodeShutdownInProgress           int32 = 91
	CodeOperationFailed              int32 = 96
	CodeWriteConflict                int32 = 112
	CodeCommandNotSupported          int32 = 115
	CodeExceededMemoryLimit          int32 = 146
	CodeCannotIndexParallelArrays    int32 = 171
	CodeInvalidIndexSpecOption       int32 = 197
	CodeTransactionTooOld            int32 = 225
	CodeNotImplemented               int32 = 238
	CodeNoSuchTransaction            int32 = 251
	CodeTransactionCommitted         int32 = 256
	CodeNotSupportedInTransaction    int32 = 263
	CodeQueryExceededMemoryLimit     int32 = 292
	CodeBSONObjectTooLarge           int32 = 10334
	CodeNotExactValueField           int32 = 111
	CodeDuplicateKey                 int32 = 11000
	CodeInterruptedAtShutdown        int32 = 11600
	CodeInterrupted                  int32 = 11601
	codeGroupUnknownAccumulator      int32 = 15952
	codeGroupNoID                    int32 = 15955
	codeLimitNotPositive             int32 = 15958
	codeSortNotObject                int32 = 15973
	codeSortOrderNotNumber           int32 = 15974
	codeSortOrder                    int32 = 15975
	codeSortEmpty                    int32 = 15976
	codeMatchNotObject               int32 = 15959
	codeProjectionCollision          int32 = 31250
	codeProjectionCollisionPrefix    int32 = 31249
	codeProjectionInclusionExclusion int32 = 31253
	codeProjectionExclusionInclusion int32 = 31254
	codeStageNotSingle               int32 = 40323
	codeUnrecognizedStage            int32 = 40324
	codeOptionsThenRegex             int32 = 51074
	codeRegexThenOptions             int32 = 51075
	codeRegexInvalid                 int32 = 51091
	codeRegexBadOption               int32 = 51108
)

var codeNames = map[int32]string{
	CodeInternalError:              "InternalError",
	CodeBadValue:                   "BadValue",
	CodeFailedToParse:              "FailedToParse",
	CodeTypeMismatch:               "TypeMismatch",
	CodeOverflow:                   "Overflow",
	CodeInvalidLength:              "InvalidLength",
	CodeIllegalOperation:           "IllegalOperation",
	CodeInvalidBSON:                "InvalidBSON",
	CodeNamespaceNotFound:          "NamespaceNotFound",
	CodeIndexNotFound:              "IndexNotFound",
	CodePathNotViable:              "PathNotViable",
	CodeCannotBackfillArray:        "CannotBackfillArray",
	CodeConflictingUpdateOperators: "ConflictingUpdateOperators",
	CodeCursorNotFound:             "CursorNotFound",
	CodeNamespaceExists:            "NamespaceExists",
	CodeMaxTimeMSExpired:           "MaxTimeMSExpired",
	CodeDollarPrefixedFieldName:    "DollarPrefixedFieldName",
	CodeInvalidIDField:             "InvalidIdField",
	CodeNotSingleValueField:        "NotSingleValueField",
	CodeEmptyFieldName:             "EmptyFieldName",
	CodeDottedFieldName:            "DottedFieldName",
	CodeCommandNotFound:            "CommandNotFound",
	CodeImmutableField:             "ImmutableField",
	CodeCannotCreateIndex:          "CannotCreateIndex",
	CodeInvalidOptions:             "InvalidOptions",
	CodeInvalidNamespace:           "InvalidNamespace",
	CodeIndexOptionsConflict:       "IndexOptionsConflict",
	CodeIndexKeySpecsConflict:      "IndexKeySpecsConflict",
	CodeShutdownInProgress:         "ShutdownInProgress",
	CodeOperationFailed:            "OperationFailed",
	CodeWriteConflict:              "WriteConflict",
	CodeCommandNotSupported:        "CommandNotSupported",
	CodeExceededMemoryLimit:        "ExceededMemoryLimit",
	CodeCannotIndexParallelArrays:  "CannotIndexParallelArrays",
	CodeInvalidIndexSpecOption:     "InvalidIndexSpecificationOption",
	CodeTransactionTooOld:          "TransactionTooOld",
	CodeNotImplemented:             "NotImplemented",
	CodeNoSuchTransaction:          "NoSuchTransaction",
	CodeTransactionCommitted:       "TransactionCommitted",
	CodeNotSupportedInTransaction:  "OperationNotSupportedInTransaction",
	CodeQueryExceededMemoryLimit:   "QueryExceededMemoryLimitNoDiskUseAllowed",
	CodeBSONObjectTooLarge:         "BSONObjectTooLarge",
	CodeNotExactValueField:         "NotExactValueField",
	CodeDuplicateKey:               "DuplicateKey",
	CodeInterruptedAtShutdown:      "InterruptedAtShutdown",
	CodeInterrupted:                "Interrupted",
}

// CodeName is MongoDB's name of an error code; a code without a name is called after itself, as MongoDB
// does ("Location40324").
func CodeName(code int32) string {
	if name, ok := codeNames[code]; ok {
		return name
	}
	return fmt.Sprintf("Location%d", code)
}

// Errorf makes an error with the name that belongs to code.
func Errorf(code int32, format string, args ...any) *Error {
	return &Error{Code: code, CodeName: CodeName(code), Message: fmt.Sprintf(format, args...)}
}
