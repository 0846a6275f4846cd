package engine

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// valueKey is the key of a large value.
func valueKey(n byte) []byte { return append(prefixOf(spaceDoc, 77), n) }

// openQuietly opens a database that logs nothing and rewrites files of values at once.
func openQuietly(t *testing.T, dir string, rewritten func(error)) *Engine {
	t.Helper()
	e, err := Open(Options{Dir: dir, Logger: slog.New(slog.DiscardHandler), LogsIdle: 1 << 60,
		rewriteAge: 1, rewritten: rewritten})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A file of values that is damaged anywhere cannot be rewritten, which is no more than that: the
// process goes on, and so do the reads of other values.
func TestRewriteOfDamagedValues(t *testing.T) {
	for name, damage := range map[string]func(path string, size int64) error{
		"none":    func(string, int64) error { return nil },
		"missing": func(path string, _ int64) error { return os.Remove(path) },
		"cut":     func(path string, size int64) error { return os.Truncate(path, size-1000) },
		"footer":  func(path string, size int64) error { return overwrite(path, size-20) },
		"index":   func(path string, size int64) error { return overwrite(path, size-60) },
		"block":   func(path string, size int64) error { return overwrite(path, 1000) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			e := openQuietly(t, dir, nil)
			random := rand.NewChaCha8([32]byte{1})
			value := make([]byte, separatedValue+1)
			for n := range byte(8) {
				random.Read(value)
				check(t, e.db.Set(valueKey(n), value, pebble.Sync))
			}
			// The catalogue knows the collection, or opening would erase it.
			c := &Collection{id: 77, db: "db", Name: "c", UUID: newUUID(), gate: newGate()}
			e.numbers.last.Store(77)
			check(t, e.store(e.Catalog(), c))
			check(t, e.db.Flush())
			check(t, e.Close(func() {}))
			files, err := filepath.Glob(filepath.Join(dir, "*"+valueEnding))
			if err != nil || len(files) != 1 {
				t.Fatalf("files of values: %v, %v", files, err)
			}
			info, err := os.Stat(files[0])
			check(t, err)
			check(t, damage(files[0], info.Size()))

			done := make(chan error, 100)
			e = openQuietly(t, dir, func(err error) { done <- err })
			defer func() { check(t, e.Close(func() {})) }()
			for n := range byte(7) {
				check(t, e.db.Delete(valueKey(n), pebble.Sync))
			}
			check(t, e.db.Set(valueKey(100), value, pebble.Sync))
			check(t, e.db.Flush())
			check(t, e.db.Compact(context.Background(), []byte{spaceDoc}, []byte{spaceDoc + 1}, false))
			check(t, e.db.NewSnapshot().Close()) // makes Pebble look for files to rewrite
			err = <-done
			if damaged := name != "none"; damaged != (err != nil) || damaged && !IsDamage(err) {
				t.Errorf("rewriting gives %v", err)
			}
			if e.noRewrites.Load() != (name != "none") {
				t.Error("rewriting should end once a file cannot be rewritten")
			}
			_, closer, err := pebbleView{e.db}.get(valueKey(7))
			switch {
			case err == nil:
				check(t, closer.Close())
				if name != "none" && name != "block" {
					t.Error("the value can be read")
				}
			case !IsDamage(err):
				t.Error(err)
			}
			_, closer, err = pebbleView{e.db}.get(valueKey(100))
			check(t, err)
			check(t, closer.Close())
		})
	}
}

// A compaction that copies values from a damaged file fails, which is no more than that.
func TestCompactionOfDamagedValues(t *testing.T) {
	for name, damage := range map[string]func(path string, size int64) error{
		"none":    func(string, int64) error { return nil },
		"missing": func(path string, _ int64) error { return os.Remove(path) },
		"cut":     func(path string, size int64) error { return os.Truncate(path, size-1000) },
		"block":   func(path string, size int64) error { return overwrite(path, size/2) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			e := openQuietly(t, dir, nil)
			e.numbers.last.Store(77)
			check(t, e.store(e.Catalog(), &Collection{id: 77, db: "db", Name: "c", UUID: newUUID(), gate: newGate()}))
			random := rand.NewChaCha8([32]byte{3})
			value := make([]byte, separatedValue+1)
			for n := range byte(8) {
				random.Read(value)
				check(t, e.db.Set(valueKey(n), value, pebble.Sync))
			}
			check(t, e.db.Flush())
			check(t, e.Close(func() {}))
			files, err := filepath.Glob(filepath.Join(dir, "*"+valueEnding))
			if err != nil || len(files) != 1 {
				t.Fatalf("files of values: %v, %v", files, err)
			}
			info, err := os.Stat(files[0])
			check(t, err)
			check(t, damage(files[0], info.Size()))

			failed := make(chan error, 1)
			e, err = Open(Options{Dir: dir, Logger: slog.New(slog.DiscardHandler), LogsIdle: 1 << 60, copyValues: true,
				failed: func(err error) {
					select {
					case failed <- err:
					default: // Pebble tries again and again
					}
				}})
			check(t, err)
			random.Read(value)
			check(t, e.db.Set(valueKey(3), value, pebble.Sync))
			check(t, e.db.Flush())
			ctx, cancel := context.WithCancel(context.Background())
			compacted := make(chan error, 1)
			go func() { compacted <- e.db.Compact(ctx, []byte{spaceDoc}, []byte{spaceDoc + 1}, false) }()
			if name == "none" {
				check(t, <-compacted)
				cancel()
			} else {
				if err := <-failed; !IsDamage(err) {
					t.Errorf("the compaction gives %v", err)
				}
				cancel()
				<-compacted
			}
			got, closer, err := pebbleView{e.db}.get(valueKey(3))
			check(t, err)
			if !bytes.Equal(got, value) {
				t.Error("the new value is not what was written")
			}
			check(t, closer.Close())
			check(t, e.db.Set(valueKey(4), []byte("new"), pebble.Sync))
			check(t, e.Close(func() {}))
		})
	}
}

// failingReads is a file system whose tables and files of values fail to be read.
type failingReads struct {
	vfs.FS
	cause error
}

func (f failingReads) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	file, err := f.FS.Open(name, opts...)
	if ending := filepath.Ext(name); err != nil || ending != tableEnding && ending != valueEnding {
		return file, err
	}
	return failingFile{file, f.cause}, nil
}

type failingFile struct {
	vfs.File
	cause error
}

func (f failingFile) ReadAt([]byte, int64) (int, error) { return 0, f.cause }

// A sector that the disk cannot read is damage. Another error of the file system says nothing of
// what is stored.
func TestErrorsOfTheDisk(t *testing.T) {
	for _, test := range []struct {
		cause  error
		damage bool
	}{{syscall.EIO, true}, {syscall.EMFILE, false}} {
		for _, ending := range []string{tableEnding, valueEnding} {
			dir := "/db"
			mem := vfs.NewMem()
			check(t, mem.MkdirAll(dir, 0o700))
			name := dir + "/000001" + ending
			file, err := mem.Create(name, vfs.WriteCategoryUnspecified)
			check(t, err)
			_, err = file.Write(make([]byte, 1000))
			check(t, errors.Join(err, file.Close()))
			log := slog.New(slog.DiscardHandler)
			fs := &spaceFS{FS: failingReads{mem, test.cause}, space: newDiskSpace(mem, dir, 0, log),
				damage: newDamageLog(log)}
			open, err := fs.Open(name)
			check(t, err)
			_, err = open.ReadAt(make([]byte, 100), 0)
			if err == nil || IsDamage(err) != test.damage || test.damage != (len(fs.damage.all()) == 1) {
				t.Errorf("%v of a %s gives %v, damage %v", test.cause, ending, err, IsDamage(err))
			}
			check(t, open.Close())
		}
	}
}

// Whatever a manifest holds, reading it ends, with an error or without.
func FuzzManifest(f *testing.F) {
	f.Add([]byte{editComparator, 3, 'a', 'b', 'c', editNextFile, 9, editLastSequence, 7,
		editLogNumber, 4, editPrevLog, 0})
	f.Add([]byte{editNewTable, 6, 12, 200, 1, 2, 'a', 'b', 2, 'c', 'd', 1, 9, 6, 1, 5, tableValues,
		1, 1, 13, 99, tableEnd})
	f.Add([]byte{editNewTableRanges, 6, 12, 200, 1, hasPointKeys, 1, 'a', 1, 'b', 1, 'c', 1, 'd', 1,
		9, tableVirtual, 11, tableEnd})
	f.Add([]byte{editNewBacking, 11, 50, editRemovedBacking, 11, editNewValues, 13, 14, 99, 80, 3,
		editDeletedValues, 13, 14})
	f.Add([]byte{editDeletedTable, 6, 12, editCompactPointer, 2, 1, 'x'})
	f.Fuzz(func(t *testing.T, edit []byte) {
		m := &manifestReader{tables: map[levelTable]uint64{}, backings: map[uint64]uint64{},
			values: map[uint64]uint64{}}
		if err := m.add(edit); err == nil && len(m.tables)+len(m.backings)+len(m.values) > len(edit) {
			t.Errorf("%d files in %d bytes", len(m.tables)+len(m.backings)+len(m.values), len(edit))
		}
	})
}

func overwrite(path string, at int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt(make([]byte, 4), at)
	return err
}

// The manifest names exactly the files that there are.
func TestManifestNamesFiles(t *testing.T) {
	dir := t.TempDir()
	rewritten := make(chan error, 100)
	e := openQuietly(t, dir, func(err error) { rewritten <- err })
	defer func() { check(t, e.Close(func() {})) }()
	value := make([]byte, separatedValue+1)
	random := rand.NewChaCha8([32]byte{2})
	for round := range byte(6) {
		for n := range byte(20) {
			random.Read(value)
			check(t, e.db.Set(valueKey(n*3+round), value, pebble.NoSync))
			check(t, e.db.Set(append(prefixOf(spaceIndex, 5), n, round), []byte("x"), pebble.NoSync))
		}
		check(t, e.db.Flush())
		if round == 3 {
			check(t, e.db.DeleteRange(valueKey(10), valueKey(40), pebble.NoSync))
			check(t, e.db.Compact(context.Background(), []byte{0}, []byte{0xff}, false))
			check(t, <-rewritten)
		}
	}
	live, err := readManifest(e.fs, dir)
	check(t, err)
	tables, err := e.db.SSTables()
	check(t, err)
	n := 0
	for _, level := range tables {
		for _, table := range level {
			n++
			if size, ok := live.tables[uint64(table.FileNum)]; !ok || size != table.Size {
				t.Errorf("table %d of %d bytes: the manifest has %d", table.FileNum, table.Size, size)
			}
		}
	}
	if n != len(live.tables) {
		t.Errorf("%d tables, the manifest has %d", n, len(live.tables))
	}
	m := e.db.Metrics()
	var size uint64
	for _, s := range live.values {
		size += s
	}
	if uint64(len(live.values)) != m.BlobFiles.LiveCount || size != m.BlobFiles.LiveSize {
		t.Errorf("the manifest has %d files of values with %d bytes, there are %d with %d",
			len(live.values), size, m.BlobFiles.LiveCount, m.BlobFiles.LiveSize)
	}
}
