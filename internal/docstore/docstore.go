package docstore

import (
	"errors"
	"fmt"

	"gadwall/internal/docstore/engine"
)

// Options say where the database is and what it may use.
type Options = engine.Options

// A TargetError says that a backup cannot go where it was meant to go. Nothing was written.
type TargetError = engine.TargetError

// Errors of Open, beside LockedError.
type (
	// A NoDatabaseError says that there is no database in a directory, and that none was to be made.
	NoDatabaseError = engine.NoDatabaseError
	// A ForeignFilesError says that a database was to be made in a directory that has other files.
	ForeignFilesError = engine.ForeignFilesError
	// An AccessError says that a data directory cannot be used.
	AccessError = engine.AccessError
)

// A DamagedFileError says that a file of the database is missing or is not as it was written.
type DamagedFileError = engine.DamagedFileError

// Space is how much of the disk is free, and what that means.
type Space = engine.Space

// ErrClosed is returned by a database that has been closed.
var ErrClosed = engine.ErrClosed

// Limits of memory and disk when Options name none.
const (
	DefaultCacheSize = engine.DefaultCacheSize
	DefaultReserve   = engine.DefaultReserve
)

// Exists reports whether there is a database in dir.
func Exists(dir string) (bool, error) { return engine.Exists(dir) }

// PartialSuffix is added to the name of a backup until it is complete.
const PartialSuffix = engine.PartialSuffix

// SocketName is the name of the unix socket in a data directory on which its owner listens.
const SocketName = "docstore.sock"

// ErrLocked says that another process has the database open. Its message names the socket to use.
var ErrLocked = errors.New("docstore: the data directory is in use by another process")

// A LockedError is the ErrLocked that Open returns.
type LockedError struct {
	Dir string
	// Socket is where the process that has the database listens, if it does.
	Socket string
	cause  error
}

func (e *LockedError) Error() string {
	return fmt.Sprintf("%v: %s; use its socket: mongodb://%s/?directConnection=true (%v)",
		ErrLocked, e.Dir, escapeSocket(e.Socket), e.cause)
}

// Is makes errors.Is(err, ErrLocked) true.
func (e *LockedError) Is(target error) bool { return target == ErrLocked }

func (e *LockedError) Unwrap() error { return e.cause }

func escapeSocket(path string) string {
	var out []byte
	for i := range len(path) {
		if c := path[i]; c == '/' || c == '%' || c == ':' || c == '@' || c == '?' || c == ' ' {
			out = fmt.Appendf(out, "%%%02X", c)
		} else {
			out = append(out, c)
		}
	}
	return string(out)
}
