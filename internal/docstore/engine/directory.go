package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// A LockedError says that another process has the database open.
type LockedError struct {
	Dir   string
	cause error
}

func (e *LockedError) Error() string {
	return fmt.Sprintf("the data directory %s is in use by another process (%v)", e.Dir, e.cause)
}

func (e *LockedError) Unwrap() error { return e.cause }

// A NoDatabaseError says that there is no database in a directory, and that none was to be made.
type NoDatabaseError struct{ Dir string }

func (e *NoDatabaseError) Error() string { return "there is no database in " + e.Dir }

// A ForeignFilesError says that a database was to be made in a directory that has other files.
type ForeignFilesError struct {
	Dir string
	// Names are some of them.
	Names []string
}

func (e *ForeignFilesError) Error() string {
	return fmt.Sprintf("there is no database in %s, and none is made there, because other files are in it (%s)",
		e.Dir, strings.Join(e.Names, ", "))
}

// An AccessError says that a data directory cannot be used: a permission is missing, or it is no
// directory.
type AccessError struct {
	Dir   string
	cause error
}

func (e *AccessError) Error() string {
	return fmt.Sprintf("the data directory %s cannot be used: %v", e.Dir, e.cause)
}

func (e *AccessError) Unwrap() error { return e.cause }

// takeDirectory makes the data directory ready: it is there, private, locked, and has a database or
// is fit for a new one.
func takeDirectory(fsys vfs.FS, opts Options, log *slog.Logger) (lock *pebble.Lock, err error) {
	exists, err := exists(fsys, opts.Dir)
	if err != nil {
		return nil, &AccessError{Dir: opts.Dir, cause: err}
	}
	if !exists && opts.MustExist {
		return nil, &NoDatabaseError{Dir: opts.Dir}
	}
	if !exists {
		if err := refuseForeign(fsys, opts.Dir); err != nil {
			return nil, err
		}
	}
	if err := fsys.MkdirAll(opts.Dir, 0o700); err != nil {
		return nil, &AccessError{Dir: opts.Dir, cause: err}
	}
	if fsys == vfs.Default {
		if err := closeToOthers(opts.Dir, log); err != nil {
			return nil, &AccessError{Dir: opts.Dir, cause: err}
		}
	}
	lock, err = pebble.LockDirectory(opts.Dir, fsys)
	var failed *fs.PathError
	switch {
	case err == nil && fsys == vfs.Default:
		if err := os.Chmod(filepath.Join(opts.Dir, "LOCK"), 0o600); err != nil {
			return nil, errors.Join(&AccessError{Dir: opts.Dir, cause: err}, lock.Close())
		}
		return lock, nil
	case err == nil:
		return lock, nil
	case errors.As(err, &failed): // the file of the lock cannot be opened
		return nil, &AccessError{Dir: opts.Dir, cause: err}
	}
	return nil, &LockedError{Dir: opts.Dir, cause: err}
}

// Exists reports whether there is a database in dir.
func Exists(dir string) (bool, error) {
	found, err := exists(vfs.Default, dir)
	if err != nil {
		return false, &AccessError{Dir: dir, cause: err}
	}
	return found, nil
}

func exists(fsys vfs.FS, dir string) (bool, error) {
	desc, err := pebble.Peek(dir, fsys)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return desc.Exists, nil
}

// refuseForeign returns a ForeignFilesError if a directory has files that are not of a database.
// A start that was cut short may have left some that are.
func refuseForeign(fsys vfs.FS, dir string) error {
	names, err := fsys.List(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &AccessError{Dir: dir, cause: err}
	}
	names = slices.DeleteFunc(names, func(name string) bool { return isOwn(fsys, dir, name) })
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	if len(names) > maxForeignNames {
		names = append(names[:maxForeignNames:maxForeignNames], "...")
	}
	return &ForeignFilesError{Dir: dir, Names: names}
}

// isOwn reports whether a name may be in the directory of a new database.
func isOwn(fsys vfs.FS, dir, name string) bool {
	switch name {
	case "LOCK", "lost+found":
		return true
	}
	for _, prefix := range []string{"MANIFEST-", "OPTIONS-", "marker.", "temporary."} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	if ext := filepath.Ext(name); ext == ".log" || ext == tableEnding || ext == ".dbtmp" {
		return true
	}
	info, err := fsys.Stat(fsys.PathJoin(dir, name))
	return err == nil && info.Mode()&fs.ModeSocket != 0
}

// closeToOthers takes from everybody but the owner the right to the directory and to the files of
// the database in it. A directory that somebody else owns cannot be made private.
func closeToOthers(dir string, log *slog.Logger) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return &fs.PathError{Op: "open", Path: dir, Err: syscall.ENOTDIR}
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		if err := os.Chmod(dir, mode&0o700|0o700); err != nil {
			return fmt.Errorf("it is open to others (mode %04o), and that cannot be changed: %w", mode, err)
		}
		log.Warn("the data directory was open to others and is not any more", "directory", dir,
			"mode", fmt.Sprintf("%04o", mode))
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o077 == 0 {
			continue // gone meanwhile, or fine
		}
		if err := os.Chmod(filepath.Join(dir, entry.Name()),
			info.Mode().Perm()&0o700); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("a file in it is open to others: %w", err)
		}
	}
	return nil
}

// makePrivate lets only the owner open a new file.
func makePrivate(file vfs.File) error {
	if fd := file.Fd(); fd != vfs.InvalidFd {
		if err := syscall.Fchmod(int(fd), 0o600); err != nil {
			return fmt.Errorf("make a file private: %w", err)
		}
	}
	return nil
}
