package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"gadwall/internal/mailstore"
)

// errReadOnlyFS is the error of opening a file for writing on a file system mounted read-only.
const errReadOnlyFS = syscall.EROFS

// partialSuffix is added to the name of the new directory until it is complete.
const partialSuffix = ".partial"

// DirectoryOptions of Directory. From, To and Open are required.
type DirectoryOptions struct {
	From string // the backup
	To   string // the new data directory, missing or empty
	// Open opens the database in a directory that no other process has open, with
	// mailstore.Options.Restored, and closes it after f.
	Open func(ctx context.Context, dir string, f func(context.Context, *mailstore.Store) error) error
	// Advance says how mailboxes are advanced. With Resume, Directory goes on with what an
	// earlier call for the same directories left.
	Advance mailstore.AdvanceOptions
}

// Directory makes a data directory of a backup: a copy whose mailboxes are advanced, so that
// clients which know the state after the backup come to no harm. Errors: *SourceError,
// *TargetError, and those of mailstore.Store.Advance.
func Directory(ctx context.Context, o DirectoryOptions) (mailstore.AdvanceCount, error) {
	var count mailstore.AdvanceCount
	from, err := filepath.Abs(o.From)
	if err != nil {
		return count, err
	}
	to, err := filepath.Abs(o.To)
	if err != nil {
		return count, err
	}
	if err := checkSource(from); err != nil {
		return count, err
	}
	there, err := checkTarget(from, to, o.Advance.Resume)
	if err != nil {
		return count, err
	}
	if !there {
		if err := o.bring(ctx, from, to); err != nil {
			return count, err
		}
	}
	if err := removeMark(to); err != nil {
		return count, err
	}
	advance := o.Advance
	advance.Resume, advance.Anew = true, false
	err = o.Open(ctx, to, func(ctx context.Context, store *mailstore.Store) error {
		var err error
		count, err = store.Advance(ctx, advance)
		return err
	})
	return count, err
}

// checkTarget refuses a target in which a restore would do harm. It reports whether the copy is
// in place already.
func checkTarget(from, to string, resume bool) (there bool, err error) {
	refuse := func(format string, args ...any) (bool, error) {
		return false, &TargetError{fmt.Sprintf(format, args...)}
	}
	if within(to, from) || within(from, to) {
		return refuse("%s and the backup %s are not apart", to, from)
	}
	names, err := os.ReadDir(to)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return refuse("%v", err)
	case len(names) > 0 && resume:
		return true, nil
	case len(names) > 0:
		return refuse("%s is not empty: name a directory that is missing or empty, or go on "+
			"with an interrupted restore by --resume", to)
	}
	if info, err := os.Stat(filepath.Dir(to)); err != nil {
		return refuse("%v", err)
	} else if !info.IsDir() {
		return refuse("%s is not a directory", filepath.Dir(to))
	}
	_, err = os.Stat(to + partialSuffix)
	switch partial := err == nil; {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return refuse("%v", err)
	case partial && !resume:
		return refuse("%s is there, left by a restore that was cut short: go on by --resume, "+
			"or remove it", to+partialSuffix)
	case !partial && resume:
		return refuse("there is no interrupted restore of %s", to)
	}
	return false, nil
}

// within reports whether path is dir or in it; both are clean and absolute.
func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// bring copies the backup and begins the advance, and then puts the copy in place. The advance
// has begun before the directory has its name: at no time can a server be started on it that
// would give out UIDs.
func (o *DirectoryOptions) bring(ctx context.Context, from, to string) error {
	partial := to + partialSuffix
	if err := os.MkdirAll(partial, 0o700); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	mark := filepath.Join(partial, copiedFile)
	if _, err := os.Stat(mark); errors.Is(err, fs.ErrNotExist) {
		if err := copyFiles(ctx, from, partial); err != nil {
			return fmt.Errorf("copy the backup: %w", err)
		}
		if err := os.WriteFile(mark, nil, 0o600); err != nil {
			return fmt.Errorf("restore: %w", err)
		}
		if err := syncDir(partial); err != nil {
			return fmt.Errorf("restore: %w", err)
		}
	} else if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	advance := o.Advance
	advance.Resume, advance.Anew = false, true // whatever state the backup was made in
	err := o.Open(ctx, partial, func(ctx context.Context, store *mailstore.Store) error {
		return store.BeginAdvance(ctx, advance)
	})
	if err != nil {
		return err
	}
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) { // only an empty one
		return fmt.Errorf("restore: %w", err)
	}
	if err := os.Rename(partial, to); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if err := syncDir(filepath.Dir(to)); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}

// removeMark removes what bring left.
func removeMark(dir string) error {
	err := os.Remove(filepath.Join(dir, copiedFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}
