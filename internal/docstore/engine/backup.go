package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// PartialSuffix is added to the name of a backup until it is complete.
const PartialSuffix = ".partial"

// A TargetError says that a backup cannot go where it was meant to go. Nothing was written.
type TargetError struct{ reason string }

func (e *TargetError) Error() string { return e.reason }

func badTarget(format string, args ...any) error {
	return &TargetError{fmt.Sprintf(format, args...)}
}

// Backup makes a copy of the database in dir, which Open opens as a database. The copy is of one
// moment after the call and holds everything acknowledged before it. Reads and writes go on
// meanwhile. On the same file system most of the copy is hard links, so that it takes next to no
// time and space until the database has moved on.
//
// dir is an absolute path whose parent exists; it is itself missing or empty. It appears complete
// and durable, or not at all: until then the copy is in dir with ".partial" appended, which is
// removed when the backup fails.
func (e *Engine) Backup(ctx context.Context, dir string) (err error) {
	done, err := e.begin()
	if err != nil {
		return err
	}
	defer done()
	select {
	case e.backups <- struct{}{}:
		defer func() { <-e.backups }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if e.space.isFull() { // and what is not in the log yet cannot get there
		return e.space.check()
	}
	fs := e.fs
	partial := dir + PartialSuffix
	if err := e.checkTarget(dir, partial); err != nil {
		return err
	}
	if err := fs.MkdirAll(partial, 0o700); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer func() {
		if rmErr := fs.RemoveAll(partial); rmErr != nil {
			err = errors.Join(err, fmt.Errorf("backup: %w", rmErr))
		}
	}()
	// Pebble makes a directory that others may read. Within partial, which is private, they cannot
	// reach it.
	inner := fs.PathJoin(partial, "data")
	if err := checkpoint(e.db, inner); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if fs == vfs.Default {
		if err := os.Chmod(inner, 0o700); err != nil {
			return fmt.Errorf("backup: %w", err)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := fs.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) { // only an empty directory goes
		return fmt.Errorf("backup: %w", err)
	}
	if err := fs.Rename(inner, dir); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if err := syncDir(fs, fs.PathDir(dir)); err != nil {
		return errors.Join(fmt.Errorf("backup: %w", err), fs.RemoveAll(dir))
	}
	e.log.Info("backup made", "directory", dir)
	return nil
}

// checkpoint makes Pebble's copy. Where Pebble cannot sync the directory of the copy it panics, as
// it does for its own; but nothing of the database itself depends on that one, and Pebble lets go
// of everything it holds.
func checkpoint(db *pebble.DB, dir string) (err error) {
	defer func() {
		switch failed := recover().(type) {
		case nil:
		case error:
			err = failed
		default:
			panic(failed)
		}
	}()
	return db.Checkpoint(dir, pebble.WithFlushedWAL())
}

// checkTarget refuses a directory in which a backup would do harm.
func (e *Engine) checkTarget(dir, partial string) error {
	if !filepath.IsAbs(dir) || filepath.Clean(dir) != dir {
		return badTarget("%s is not a clean absolute path", dir)
	}
	data, err := filepath.Abs(e.dir)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if within(dir, data) || within(data, dir) {
		return badTarget("%s is not outside of the data directory %s", dir, data)
	}
	switch names, err := e.fs.List(dir); {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return badTarget("%v", err)
	case len(names) > 0:
		return badTarget("%s is not empty", dir)
	}
	if info, err := e.fs.Stat(e.fs.PathDir(dir)); err != nil {
		return badTarget("%v", err)
	} else if !info.IsDir() {
		return badTarget("%s is not a directory", e.fs.PathDir(dir))
	}
	switch _, err := e.fs.Stat(partial); {
	case err == nil:
		return badTarget("%s is there, left by a backup that was cut short: remove it", partial)
	case !errors.Is(err, os.ErrNotExist):
		return badTarget("%v", err)
	}
	return nil
}

// within reports whether path is dir or in it; both are clean and absolute.
func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
