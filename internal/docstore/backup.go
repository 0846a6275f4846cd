package docstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"gadwall/internal/docstore/mongoerr"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// BackupCommand is the command by which another process asks for a backup: {gadwallBackup: 1, directory: <absolute path>}
// on the database admin. MongoDB has nothing like it. It is refused on any connection but the unix socket's, whose file
// only the owner of the database may open.
const BackupCommand = "gadwallBackup"

// partialSuffix is added to the name of a backup until it is complete.
const partialSuffix = ".partial"

// A TargetError says that a backup cannot go where it was meant to go. Nothing was written.
type TargetError struct{ reason string }

func (e *TargetError) Error() string { return e.reason }

func badTarget(format string, args ...any) error {
	return &TargetError{fmt.Sprintf(format, args...)}
}

// Backup makes a copy of the database in dir, which Open opens as a database. The copy is of one moment after the call
// and holds everything acknowledged before it. Reads and writes go on meanwhile. On the same file system most of the copy is
// hard links, so that it takes next to no time and space until the database has moved on.
//
// dir is an absolute path whose parent exists; it is itself missing or empty. It appears complete and durable, or not at
// all: until then the copy is in dir with ".partial" appended, which is removed when the backup fails.
func (s *Server) Backup(ctx context.Context, dir string) (err error) {
	done, err := s.begin()
	if err != nil {
		return err
	}
	defer done()
	select {
	case s.backups <- struct{}{}:
		defer func() { <-s.backups }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.eng.space.isFull() { // and what is not in the log yet cannot get there
		return s.eng.space.check()
	}
	fs := s.fs
	partial := dir + partialSuffix
	if err := s.checkTarget(dir, partial); err != nil {
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
	// Pebble makes a directory that others may read: within partial nobody can.
	inner := fs.PathJoin(partial, "data")
	if err := checkpoint(s.eng.db, inner); err != nil {
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
	s.log.Info("backup made", "directory", dir)
	return nil
}

// checkpoint makes Pebble's copy. Where Pebble cannot sync the directory of the copy it panics, as it does for its own; but
// nothing of the database itself depends on that one, and Pebble lets go of everything it holds.
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
func (s *Server) checkTarget(dir, partial string) error {
	if !filepath.IsAbs(dir) || filepath.Clean(dir) != dir {
		return badTarget("%s is not a clean absolute path", dir)
	}
	data, err := filepath.Abs(s.dir)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if within(dir, data) || within(data, dir) {
		return badTarget("%s is not outside of the data directory %s", dir, data)
	}
	switch names, err := s.fs.List(dir); {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return badTarget("%v", err)
	case len(names) > 0:
		return badTarget("%s is not empty", dir)
	}
	if info, err := s.fs.Stat(s.fs.PathDir(dir)); err != nil {
		return badTarget("%v", err)
	} else if !info.IsDir() {
		return badTarget("%s is not a directory", s.fs.PathDir(dir))
	}
	switch _, err := s.fs.Stat(partial); {
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

// backup is the command gadwallBackup.
func (s *Server) backup(ctx context.Context, r *request) (bson.Raw, error) {
	var dir string
	err := r.args(func(key string, v bson.RawValue) (bool, error) {
		var err error
		switch key {
		case BackupCommand:
		case "directory":
			dir, err = r.stringArg(key, v)
		default:
			return false, nil
		}
		return true, err
	})
	if err != nil {
		return nil, err
	}
	if _, unix := r.conn.nc.(*net.UnixConn); !unix || r.db != "admin" {
		return nil, mongoerr.New(mongoerr.Unauthorized, "%s may only be run against the admin database, through the unix socket.", BackupCommand)
	}
	if dir == "" {
		return nil, errMissingField(BackupCommand, "directory")
	}
	err = s.Backup(ctx, dir)
	var target *TargetError
	if errors.As(err, &target) {
		return nil, mongoerr.New(mongoerr.BadValue, "%v", target)
	}
	return okReply(nil), err
}
