package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	// lockFile is what a process that has a database open holds locked.
	lockFile = "LOCK"
	// unfinished is the end of the name of a file that is being copied.
	unfinished = ".copying"
	// copiedFile says that all files are copied, and that the database may have been opened.
	copiedFile = "gadwall-restore-copied"
)

// A SourceError says that a directory is no backup that can be restored. Nothing was written.
type SourceError struct{ reason string }

func (e *SourceError) Error() string { return e.reason }

// A TargetError says that a backup cannot be restored to where it was meant to go. Nothing was
// written.
type TargetError struct{ reason string }

func (e *TargetError) Error() string { return e.reason }

// checkSource refuses a directory without a database, and one that a process has open.
func checkSource(dir string) error {
	desc, err := pebble.Peek(dir, vfs.Default)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && !desc.Exists:
		return &SourceError{fmt.Sprintf("there is no backup in %s", dir)}
	case err != nil:
		return &SourceError{fmt.Sprintf("%s: %v", dir, err)}
	}
	if _, err := os.Stat(filepath.Join(dir, lockFile)); errors.Is(err, fs.ErrNotExist) {
		return nil // never opened, as a backup should be
	}
	lock, err := pebble.LockDirectory(dir, vfs.Default)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, errReadOnlyFS) {
		return nil // nobody has it open for writing
	}
	if err != nil {
		return &SourceError{fmt.Sprintf(
			"%s is the data directory of a running server, not a backup: make one with gadwall backup", dir)}
	}
	return lock.Close()
}

// copyFiles copies the files of the database in from into to, which exists. Files that are in to
// under their names are whole and are passed over.
func copyFiles(ctx context.Context, from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := entry.Name()
		if !isDatabaseFile(entry) {
			continue
		}
		if _, err := os.Lstat(filepath.Join(to, name)); err == nil {
			continue
		}
		if err := copyFile(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
			return err
		}
	}
	return syncDir(to)
}

// isDatabaseFile leaves out sockets, directories, the lock and what an interrupted copy left.
func isDatabaseFile(entry fs.DirEntry) bool {
	name := entry.Name()
	return (entry.Type().IsRegular() || entry.Type()&fs.ModeSymlink != 0) &&
		name != lockFile && name != copiedFile && !strings.HasSuffix(name, unfinished)
}

// copyFile makes a durable copy that appears under its name when it is whole.
func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to+unfinished, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in) // the kernel copies, and shares the blocks where the file system can
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	return os.Rename(to+unfinished, to)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// View makes a view of a backup in a temporary directory. The caller calls remove when the
// database in dir is closed.
func View(ctx context.Context, backup string) (dir string, remove func() error, err error) {
	if backup, err = filepath.Abs(backup); err != nil {
		return "", nil, err
	}
	if err := checkSource(backup); err != nil {
		return "", nil, err
	}
	if dir, err = os.MkdirTemp("", "gadwall-view-"); err != nil {
		return "", nil, fmt.Errorf("view of the backup: %w", err)
	}
	remove = func() error { return os.RemoveAll(dir) }
	if err := makeView(ctx, backup, dir); err != nil {
		return "", nil, errors.Join(fmt.Errorf("view of the backup: %w", err), remove())
	}
	return dir, remove, nil
}

func makeView(ctx context.Context, backup, dir string) error {
	entries, err := os.ReadDir(backup)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !isDatabaseFile(entry) {
			continue
		}
		from, to := filepath.Join(backup, entry.Name()), filepath.Join(dir, entry.Name())
		switch filepath.Ext(entry.Name()) {
		case ".sst", ".blob": // never written again under the same name
			err = os.Symlink(from, to)
		default:
			err = copyFile(from, to)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
