package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// spaceFS is the file system that Pebble writes to. See diskSpace.
//
// A failed sync is not tried again: the second may succeed although the first has thrown the data
// away.
type spaceFS struct {
	vfs.FS
	space  *diskSpace
	logs   *logFiles
	damage *damageLog
	// missing are the names of the files of values that are not there; see damage.go.
	missing []string
	// rewriting is the number of the file of values that Pebble rewrites.
	rewriting atomic.Uint64
}

// compactionCategories are the write categories of what can be given up and done again.
var compactionCategories = map[vfs.DiskWriteCategory]bool{"pebble-compaction": true, rewriteCategory: true}

// rewriteCategory is that of the new file when a file of values is rewritten.
const rewriteCategory = "pebble-blob-file-rewrite"

// valuePath is the path of a file of values.
func (f *spaceFS) valuePath(number uint64) string {
	return f.FS.PathJoin(f.space.dir, fmt.Sprintf("%06d%s", number, valueEnding))
}

// Unwrap implements vfs.FS.
func (f *spaceFS) Unwrap() vfs.FS { return f.FS }

// waits reports whether writing that file waits for space: the files of the database do, but not
// those of a backup.
func (f *spaceFS) waits(name string) bool {
	return strings.HasPrefix(name, f.space.dir+string(filepath.Separator))
}

// Create implements vfs.FS.
func (f *spaceFS) Create(name string, category vfs.DiskWriteCategory) (file vfs.File, err error) {
	switch {
	case compactionCategories[category]:
		f.space.beforeCompaction()
		if category == rewriteCategory {
			if err := f.verifyValues(f.valuePath(f.rewriting.Load())); err != nil {
				return nil, err
			}
		}
		if file, err = f.FS.Create(name, category); err != nil {
			f.gaveUp(err)
			return nil, err
		}
		file = &compactionFile{file, f}
	case !f.waits(name):
		if file, err = f.FS.Create(name, category); err != nil {
			return nil, err
		}
	default:
		err = f.space.persist(name, func() error {
			file, err = f.FS.Create(name, category)
			return err
		})
		if err != nil {
			return nil, err
		}
		file = f.persistent(file, name)
	}
	if err := makePrivate(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// persistent returns a file that was opened to be written.
func (f *spaceFS) persistent(file vfs.File, name string) vfs.File {
	if f.isLog(name) {
		f.logs.opened(name)
		return &logFile{persistentFile: persistentFile{file, f.space, name}, logs: f.logs}
	}
	return &persistentFile{file, f.space, name}
}

// ReuseForWrite implements vfs.FS.
func (f *spaceFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (file vfs.File, err error) {
	err = f.space.persist(newname, func() error {
		return f.logs.renamed(oldname, func() error {
			file, err = f.FS.ReuseForWrite(oldname, newname, category)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return f.persistent(file, newname), nil
}

// Remove implements vfs.FS.
func (f *spaceFS) Remove(name string) error {
	if !f.isLog(name) {
		return f.FS.Remove(name)
	}
	return f.logs.renamed(name, func() error { return f.FS.Remove(name) })
}

// Rename implements vfs.FS.
func (f *spaceFS) Rename(oldname, newname string) error {
	if !f.waits(newname) {
		return f.FS.Rename(oldname, newname)
	}
	return f.space.persist(newname, func() error { return f.FS.Rename(oldname, newname) })
}

// Link implements vfs.FS.
func (f *spaceFS) Link(oldname, newname string) error {
	if !f.waits(newname) {
		return f.FS.Link(oldname, newname)
	}
	return f.space.persist(newname, func() error { return f.FS.Link(oldname, newname) })
}

// MkdirAll implements vfs.FS.
func (f *spaceFS) MkdirAll(dir string, perm os.FileMode) error {
	if !f.waits(dir) {
		return f.FS.MkdirAll(dir, perm)
	}
	return f.space.persist(dir, func() error { return f.FS.MkdirAll(dir, perm) })
}

// gaveUp looks at the error of a compaction.
func (f *spaceFS) gaveUp(err error) {
	if noSpace(err) {
		f.space.compactionFailed()
	}
}

// persistentFile is a file whose writes wait for space.
type persistentFile struct {
	vfs.File
	space *diskSpace
	name  string
}

// Write implements vfs.File. What was written before the disk was full is not written again.
func (f *persistentFile) Write(p []byte) (n int, err error) {
	err = f.space.persist(f.name, func() error {
		written, err := f.File.Write(p[n:])
		n += written
		return err
	})
	return n, err
}

// WriteAt implements vfs.File.
func (f *persistentFile) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.space.persist(f.name, func() error {
		written, err := f.File.WriteAt(p[n:], off+int64(n))
		n += written
		return err
	})
	return n, err
}

// compactionFile is a file of a compaction.
type compactionFile struct {
	vfs.File
	fs *spaceFS
}

// Write implements vfs.File.
func (f *compactionFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.fs.gaveUp(err)
	return n, err
}
