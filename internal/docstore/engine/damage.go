package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/sstable/blob"
	"github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/sstable/colblk"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// A damaged or missing file makes the reads fail that need it, and nothing else.
//
// For a damaged table Pebble does that by itself. For a damaged file of values it reports a
// corruption without saying of what, and its own report panics in the goroutine that reads: a
// command's, or one of Pebble's own, which ends the process. So the engine finds the damage before
// Pebble does:
//
//   - checkedFile checks the checksum of each block it reads, and returns a DamagedFileError, which
//     Pebble hands on as any other error of the file system. It does so for tables too: Pebble itself
//     would search half a second for the one bit that is wrong, at each read.
//   - spaceFS lists files of values that are missing, so that Pebble opens them, and gets such an error.
//   - Before Pebble rewrites a file of values, verifyValues reads it: a rewrite that fails half-way keeps
//     the file open for ever. After a failure there are no rewrites until the database is opened again,
//     for Pebble would choose the damaged file again and again.
//   - Pebble also tries again and again to read what it wants to know of a damaged table. damageLog.slow
//     lets some time pass between two tries.

// A DamagedFileError says that a file of the database is missing or is not as it was written.
type DamagedFileError struct {
	Path   string
	Reason string
}

func (e *DamagedFileError) Error() string {
	return fmt.Sprintf("%s is damaged: %s", filepath.Base(e.Path), e.Reason)
}

// IsDamage reports whether an error says that stored data cannot be read as it was written.
func IsDamage(err error) bool {
	var damaged *DamagedFileError
	return errors.As(err, &damaged) || pebble.IsCorruptionError(err)
}

// damageLog collects the damage that is found.
type damageLog struct {
	log *slog.Logger

	mu    sync.Mutex
	files map[string]*fileDamage
}

// fileDamage is what is known of a damaged file.
type fileDamage struct {
	reason string
	logged time.Time
	// again counts what was found and not logged since.
	again int
}

func newDamageLog(log *slog.Logger) *damageLog {
	return &damageLog{log: log, files: map[string]*fileDamage{}}
}

// add logs the damage of a file, at most once each damagePause.
func (d *damageLog) add(path, reason string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.files[path]
	if f == nil {
		f = &fileDamage{}
		d.files[path] = f
	}
	f.reason = reason
	if time.Since(f.logged) < damagePause {
		f.again++
		return
	}
	f.logged = time.Now()
	d.log.Error("a file of the database is damaged, and cannot be read: run gadwall check --database, restore a backup",
		"file", path, "error", reason, "more", f.again)
	f.again = 0
}

// slow keeps a reader waiting that has met damage again and again.
func (d *damageLog) slow(path string) {
	d.mu.Lock()
	f := d.files[path]
	wait := f != nil && f.again > quickDamage
	d.mu.Unlock()
	if wait {
		time.Sleep(damageRest)
	}
}

// damaged notes the damage and returns it as an error.
func (d *damageLog) damaged(path, format string, args ...any) error {
	err := &DamagedFileError{Path: path, Reason: fmt.Sprintf(format, args...)}
	d.add(path, err.Reason)
	d.slow(path)
	return err
}

// all returns the damaged files, sorted.
func (d *damageLog) all() []DamagedFileError {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []DamagedFileError
	for _, path := range slices.Sorted(maps.Keys(d.files)) {
		out = append(out, DamagedFileError{Path: path, Reason: d.files[path].reason})
	}
	return out
}

// DamagedFiles are the files whose damage was found since the database was opened.
func (e *Engine) DamagedFiles() []DamagedFileError { return e.damage.all() }

const valueEnding = ".blob"

// Open implements vfs.FS.
func (f *spaceFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	ending := filepath.Ext(name)
	if ending != valueEnding && ending != tableEnding || !f.waits(name) {
		return f.FS.Open(name, opts...)
	}
	file, err := f.FS.Open(name, opts...)
	switch {
	case err != nil && ending == tableEnding:
		return nil, err // which Pebble reports
	case errors.Is(err, os.ErrNotExist):
		return nil, f.damage.damaged(name, "it is missing")
	case err != nil:
		return nil, f.damage.damaged(name, "%v", err)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(f.damage.damaged(name, "%v", err), file.Close())
	}
	return &checkedFile{File: file, name: name, size: info.Size(), values: ending == valueEnding, damage: f.damage}, nil
}

// List implements vfs.FS. It names missing files of values as if they were there.
func (f *spaceFS) List(dir string) ([]string, error) {
	names, err := f.FS.List(dir)
	if err != nil || filepath.Clean(dir) != f.space.dir {
		return names, err
	}
	return append(names, f.missing...), nil
}

// Sizes of what Pebble writes beside the values, in bytes.
const (
	valueFooter  = 38
	blockTrailer = 5 // a byte of the compression, and the checksum
	valueMagic   = "\xf0\x9f\xaa\xb3\xf0\x9f\xa6\x80"
)

// checkedFile is a table or a file of values that is read. Pebble reads the footer, or one whole
// block with its trailer, at a time.
type checkedFile struct {
	vfs.File
	name   string
	size   int64
	values bool
	damage *damageLog
}

// ReadAt implements vfs.File.
func (f *checkedFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	switch {
	case err != nil && err != io.EOF && !errors.Is(err, syscall.EIO):
		return n, err // which says nothing of what is on the disk
	case n < len(p):
		return n, f.damage.damaged(f.name, "%d bytes at %d cannot be read: %v", len(p), off, err)
	case off+int64(n) == f.size:
		if !f.values {
			break // Pebble checks the footers of tables
		}
		if reason := checkValueFooter(p); reason != "" {
			return 0, f.damage.damaged(f.name, "%s", reason)
		}
	case n > blockTrailer:
		if stored := binary.LittleEndian.Uint32(p[n-4:]); stored != checksum(p[:n-4]) {
			return 0, f.damage.damaged(f.name, "the checksum of the %d bytes at %d is wrong", n, off)
		}
	}
	return n, nil
}

// checkValueFooter says what is wrong with the footer of a file of values; "" for nothing.
func checkValueFooter(p []byte) string {
	switch {
	case len(p) != valueFooter:
		return fmt.Sprintf("its footer is read as %d bytes", len(p))
	case binary.LittleEndian.Uint32(p) != checksum(p[4:]):
		return "the checksum of its footer is wrong"
	case string(p[valueFooter-len(valueMagic):]) != valueMagic:
		return "it has no footer"
	}
	return ""
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is the one that Pebble stores: CRC-32C, rotated and shifted.
func checksum(p []byte) uint32 {
	c := crc32.Checksum(p, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

// findMissing notes the files that the manifest names and that are not there, or not as long as
// they should be. The names of missing files of values are in missing.
func (f *spaceFS) findMissing(live *liveFiles) {
	look := func(files map[uint64]uint64, ending string) {
		for _, number := range slices.Sorted(maps.Keys(files)) {
			name := fmt.Sprintf("%06d%s", number, ending)
			path := f.FS.PathJoin(f.space.dir, name)
			info, statErr := f.FS.Stat(path)
			switch {
			case errors.Is(statErr, os.ErrNotExist):
				f.damage.add(path, "it is missing")
				if ending == valueEnding {
					f.missing = append(f.missing, name)
				}
			case statErr != nil:
				f.damage.add(path, statErr.Error())
			case uint64(info.Size()) != files[number]:
				f.damage.add(path, fmt.Sprintf("it has %d bytes instead of %d", info.Size(), files[number]))
			}
		}
	}
	look(live.tables, tableEnding)
	look(live.values, valueEnding)
}

const tableEnding = ".sst"

// checkFiles opens each file once to see whether it can be read at all, until ctx ends. What is
// damaged within a file is found when it is read, or by a check.
func (f *spaceFS) checkFiles(ctx context.Context, live *liveFiles) {
	each := func(files map[uint64]uint64, ending string, check func(path string) error) {
		for number := range files {
			if ctx.Err() != nil {
				return
			}
			path := f.FS.PathJoin(f.space.dir, fmt.Sprintf("%06d%s", number, ending))
			if err := check(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				f.damage.add(path, "its footer cannot be read: "+firstLine(err))
			}
		}
	}
	// A file that is missing was found before, or has become obsolete since.
	each(live.values, valueEnding, f.checkValues)
	each(live.tables, tableEnding, f.checkTable)
}

func firstLine(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}

func (f *spaceFS) checkValues(path string) error {
	file, err := f.FS.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	var footer [valueFooter]byte
	if _, err := file.ReadAt(footer[:], max(0, info.Size()-valueFooter)); err != nil {
		return err
	}
	if reason := checkValueFooter(footer[:]); reason != "" {
		return errors.New(reason)
	}
	return nil
}

// verifyValues reads all that is in a file of values.
func (f *spaceFS) verifyValues(path string) error {
	file, err := f.Open(path)
	if err != nil {
		return err
	}
	readable, err := sstable.NewSimpleReadable(file)
	if err != nil {
		return errors.Join(err, file.Close())
	}
	ctx := context.Background()
	r, err := blob.NewFileReader(ctx, readable, blob.FileReaderOptions{})
	if err != nil {
		return errors.Join(err, readable.Close())
	}
	return errors.Join(eachValueBlock(ctx, r), r.Close())
}

// The index of a file of values begins with a number of 4 bytes; the offsets of the blocks are its
// second column, which ends with the offset behind the last block.
const (
	valueIndexHeader  = 4
	valueIndexOffsets = 1
)

func eachValueBlock(ctx context.Context, r *blob.FileReader) error {
	index, err := r.ReadIndexBlock(ctx, block.NoReadEnv, nil)
	if err != nil {
		return err
	}
	defer index.Release()
	var d colblk.BlockDecoder
	d.Init(index.BlockData(), valueIndexHeader)
	offsets := colblk.DecodeColumn(&d, valueIndexOffsets, d.Rows()+1, colblk.DataTypeUint, colblk.DecodeUnsafeUints)
	for i := range d.Rows() {
		at := offsets.At(i)
		b, err := r.ReadValueBlock(ctx, block.NoReadEnv, nil,
			block.Handle{Offset: at, Length: offsets.At(i+1) - at - blockTrailer})
		if err != nil {
			return err
		}
		b.Release()
	}
	return nil
}

func (f *spaceFS) checkTable(path string) error {
	file, err := f.FS.Open(path)
	if err != nil {
		return err
	}
	readable, err := sstable.NewSimpleReadable(file)
	if err != nil {
		return errors.Join(err, file.Close())
	}
	r, err := sstable.NewReader(context.Background(), readable, sstable.ReaderOptions{})
	if err != nil {
		return errors.Join(err, readable.Close())
	}
	return r.Close()
}

// FilesChecked is closed when the files of the database were looked at after opening.
func (e *Engine) FilesChecked() <-chan struct{} { return e.filesChecked }

// contain runs f, and turns a panic into an error.
func contain(f func() error) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case FatalError:
			panic(p)
		default:
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}
