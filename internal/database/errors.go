package database

import (
	"context"
	"errors"

	"go.mongodb.org/mongo-driver/v2/mongo"
)

// notPrimary are the codes of a server that is not, or will not be for much longer, the one that
// takes writes.
var notPrimary = []Code{ShutdownInProgress, PrimarySteppedDown, NotWritablePrimary, InterruptedAtShutdown,
	InterruptedDueToReplStateChange, NotPrimaryNoSecondaryOk, NotPrimaryOrSecondary}

// conflicts are the codes of a transaction that others stand in the way of.
var conflicts = []Code{WriteConflict, LockTimeout, LockBusy, SnapshotUnavailable, PreparedTransactionInProgress,
	MigrationConflict}

// unreachable are the codes with which a mongos, or a member of a set, says that another server did not
// answer it.
var unreachable = []Code{HostUnreachable, HostNotFound, NetworkTimeout, FailedToSatisfyReadPreference,
	NetworkInterfaceExceededTimeLimit, ExceededTimeLimit, SocketException}

// lostSnapshot are the codes of a server that no longer has the snapshot of a transaction that
// reads.
var lostSnapshot = []Code{SnapshotTooOld, SnapshotUnavailable, NoSuchTransaction,
	TransactionExceededLifetimeLimitSeconds}

// HasCode reports whether the server refused a command, or a write of it, with one of the codes.
func HasCode(err error, codes ...Code) bool {
	var refused mongo.ServerError
	if !errors.As(err, &refused) {
		return false
	}
	for _, c := range codes {
		if refused.HasErrorCode(int(c)) {
			return true
		}
	}
	return false
}

// HasLabel reports whether an error carries a label.
func HasLabel(err error, label Label) bool {
	var labeled mongo.LabeledError
	return errors.As(err, &labeled) && labeled.HasErrorLabel(string(label))
}

// IsStorageFull reports whether the database refused a write because its disk is full. The same
// write may succeed later.
func IsStorageFull(err error) bool { return HasCode(err, OutOfDiskSpace) }

// IsDamaged reports whether the database has what was asked for and cannot read it, because its
// files are damaged. All else can be read.
func IsDamaged(err error) bool { return HasCode(err, DataCorruptionDetected) }

// IsUnavailable reports whether the database did not answer in time, could not be reached, or has
// no primary. The same operation may succeed later.
func IsUnavailable(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || IsUnknown(err) ||
		mongo.IsTimeout(err) || mongo.IsNetworkError(err) ||
		errors.Is(err, mongo.ErrClientDisconnected) || IsNotPrimary(err) || HasCode(err, unreachable...)
}

// IsUnknown reports whether a transaction may have been committed or not.
func IsUnknown(err error) bool { return HasLabel(err, UnknownTransactionCommitResult) }

// IsNotPrimary reports whether a server refused because it is not the primary, or is about to stop.
func IsNotPrimary(err error) bool { return HasCode(err, notPrimary...) }

// IsTransient reports whether a transaction left nothing behind and may run again from its start.
func IsTransient(err error) bool { return HasLabel(err, TransientTransactionError) }

// IsConflict reports whether a transaction failed because of what others do at the same time: another
// one wrote the same document or holds a lock for too long, or documents are moving to another shard. The
// same transaction may succeed when they are through.
func IsConflict(err error) bool { return HasCode(err, conflicts...) }

// IsCursorLost reports whether the server no longer has a cursor: nobody asked it for more for ten
// minutes, an operator killed it, or the server ceased to be the primary. The same query with a new
// cursor may go on where this one ended.
func IsCursorLost(err error) bool {
	return mongo.IsNetworkError(err) || HasCode(err, CursorNotFound, CursorKilled) || IsNotPrimary(err)
}

// IsSnapshotLost reports whether the server gave up the snapshot that a transaction reads.
func IsSnapshotLost(err error) bool { return IsTransient(err) || HasCode(err, lostSnapshot...) }
