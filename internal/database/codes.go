package database

// A Code is the number by which MongoDB names an error.
type Code int

// Codes that Gadwall decides on, by their names in MongoDB's error_codes.yml.
const (
	BadValue                                Code = 2
	HostUnreachable                         Code = 6
	HostNotFound                            Code = 7
	Unauthorized                            Code = 13
	FailedToParse                           Code = 9
	TypeMismatch                            Code = 14
	AuthenticationFailed                    Code = 18
	AlreadyInitialized                      Code = 23
	NamespaceNotFound                       Code = 26
	LockTimeout                             Code = 24
	CursorNotFound                          Code = 43
	LockBusy                                Code = 46
	MaxTimeMSExpired                        Code = 50
	NamespaceExists                         Code = 48
	CommandNotFound                         Code = 59
	InvalidOptions                          Code = 72
	NetworkTimeout                          Code = 89
	ShutdownInProgress                      Code = 91
	WriteConflict                           Code = 112
	CommandNotSupported                     Code = 115
	FailedToSatisfyReadPreference           Code = 133
	PrimarySteppedDown                      Code = 189
	NetworkInterfaceExceededTimeLimit       Code = 202
	CursorKilled                            Code = 237
	NotImplemented                          Code = 238
	SnapshotTooOld                          Code = 239
	SnapshotUnavailable                     Code = 246
	NoSuchTransaction                       Code = 251
	ExceededTimeLimit                       Code = 262
	PreparedTransactionInProgress           Code = 267
	MigrationConflict                       Code = 273
	TransactionExceededLifetimeLimitSeconds Code = 290
	DataCorruptionDetected                  Code = 298
	SocketException                         Code = 9001
	NotWritablePrimary                      Code = 10107
	InterruptedAtShutdown                   Code = 11600
	InterruptedDueToReplStateChange         Code = 11602
	NotPrimaryNoSecondaryOk                 Code = 13435
	NotPrimaryOrSecondary                   Code = 13436
	OutOfDiskSpace                          Code = 14031
	IDLUnknownField                         Code = 40415
)

// A Label is a word by which the server or the driver says what a client may do after an error.
type Label string

// Labels that Gadwall decides on.
const (
	// TransientTransactionError: nothing of the transaction was done, it may run again from its
	// start.
	TransientTransactionError Label = "TransientTransactionError"
	// UnknownTransactionCommitResult: the transaction may have been committed or not.
	UnknownTransactionCommitResult Label = "UnknownTransactionCommitResult"
	// RetryableWriteError: the same write may be sent again, and is done once at most.
	RetryableWriteError Label = "RetryableWriteError"
	// NetworkError: the connection failed, and no answer came.
	NetworkError Label = "NetworkError"
)
