package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options say where the database is and what it may use.
type Options struct {
	// Dir is the directory of the database's files. It is made when missing.
	Dir string
	// FS is the file system; nil for the disk.
	FS vfs.FS
	// CacheSize bounds the block cache in bytes; 0 for DefaultCacheSize.
	CacheSize int64
	// Logger gets what an operator should know; nil for slog.Default().
	Logger *slog.Logger
	// Reserve is how much of the disk must be free for a write to begin, in bytes; 0 for DefaultReserve.
	Reserve uint64
	// TTLPeriod is the pause between two passes that delete what TTL indexes say has expired; 0 for a
	// minute, as in MongoDB.
	TTLPeriod time.Duration
	// LogsIdle is how long nothing may have been written for the logs to give back their space; 0 for five seconds.
	LogsIdle time.Duration
}

// DefaultCacheSize is the block cache's bound when Options name none.
const DefaultCacheSize = 32 << 20

// DefaultReserve is the reserve when Options name none: many times what the write buffers hold, for they and their logs
// must find place, and so must what compactions write before they can delete anything.
const DefaultReserve = 64 << 20

// Sizes of the storage. Write buffers are small, because the memory of the whole server is meant to
// stay small while large messages stream through it.
const (
	memTableSize = 4 << 20
	// memTables bounds the memtables: one that is filled, one being flushed. Pebble also keeps so many old logs, and
	// one more, to write over; see logFiles.
	memTables = 2
	// separatedValue is the size from which a value goes to a blob file of its own, so that compactions do
	// not copy the chunks of blobs over and over.
	separatedValue = 32 << 10
	// blobGarbageRatio is the part of those files that may be useless before they are rewritten.
	blobGarbageRatio = 0.2
	// blockSize is what is compressed, and held in the cache, as one: some 25 messages. Wire forms, addresses and subjects
	// of neighbours are much alike, so that blocks of this size with zstd take half of what small ones with a faster
	// compression do. Reading a whole mailbox gains, too; a single message costs some 20 µs more when it is not cached.
	blockSize = 32 << 10
	bloomBits = 10
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

// Exists reports whether there is a database in dir.
func Exists(dir string) (bool, error) {
	desc, err := pebble.Peek(dir, vfs.Default)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("docstore: %w", err)
	}
	return desc.Exists, nil
}

// Open opens the database, and makes it if there is none. It returns a LockedError when another
// process has it open.
func Open(opts Options) (*Engine, error) {
	fs := opts.FS
	if fs == nil {
		fs = vfs.Default
	}
	log := opts.Logger
	if log == nil {
		log = slog.Default()
	}
	if opts.CacheSize <= 0 {
		opts.CacheSize = DefaultCacheSize
	}
	if opts.Reserve == 0 {
		opts.Reserve = DefaultReserve
	}
	if opts.TTLPeriod <= 0 {
		opts.TTLPeriod = ttlPeriod
	}
	if opts.LogsIdle <= 0 {
		opts.LogsIdle = logsIdle
	}
	if err := fs.MkdirAll(opts.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("docstore: %w", err)
	}
	lock, err := pebble.LockDirectory(opts.Dir, fs)
	if err != nil {
		return nil, &LockedError{Dir: opts.Dir, cause: err}
	}
	space := newDiskSpace(fs, opts.Dir, opts.Reserve, log)
	if err := space.checkOpen(); err != nil {
		return nil, errors.Join(fmt.Errorf("docstore: open %s: %w", opts.Dir, err), lock.Close())
	}
	cache := pebble.NewCache(opts.CacheSize)
	logs := &logFiles{logs: map[string]bool{}}
	db, err := pebble.Open(opts.Dir, pebbleOptions(&spaceFS{fs, space, logs}, cache, lock, log))
	if err != nil {
		cache.Unref()
		return nil, errors.Join(fmt.Errorf("docstore: open %s: %w", opts.Dir, err), lock.Close())
	}
	e := &Engine{
		db: db, dir: opts.Dir, fs: fs, cache: cache, lock: lock, space: space, logs: logs, log: log,
		locks: newLockTable(), ddl: make(chan struct{}, 1), backups: make(chan struct{}, 1),
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	if err := errors.Join(e.load(), e.loadGarbage()); err != nil {
		err = errors.Join(fmt.Errorf("docstore: open %s: %w", opts.Dir, err), db.Close(), lock.Close())
		cache.Unref()
		e.cancel()
		return nil, err
	}
	e.background.Go(func() { e.reclaimSpace(reclaimPeriod) })
	e.background.Go(func() { e.trimLogs(opts.LogsIdle) })
	e.background.Go(func() { e.expireDocuments(opts.TTLPeriod) })
	return e, nil
}

func pebbleOptions(fs vfs.FS, cache *pebble.Cache, lock *pebble.Lock, log *slog.Logger) *pebble.Options {
	o := &pebble.Options{
		FS:                          fs,
		Cache:                       cache,
		Lock:                        lock,
		FormatMajorVersion:          pebble.FormatValueSeparation,
		MemTableSize:                memTableSize,
		MemTableStopWritesThreshold: memTables,
		Logger:                      pebbleLogger{log},
		// What cannot be read makes the reads of it fail, not the process: all other mail is still there.
		EventListener: &pebble.EventListener{DataCorruption: func(info pebble.DataCorruptionInfo) {
			log.Error("the database is damaged: run gadwall check --database, restore a backup", "file", info.Path, "error", info.Details.Error())
		}},
	}
	for i := range o.Levels {
		o.Levels[i].BlockSize = blockSize
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(bloomBits)
	}
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionGood })
	o.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy {
		return pebble.ValueSeparationPolicy{
			Enabled:               true,
			MinimumSize:           separatedValue,
			MaxBlobReferenceDepth: 10,
			RewriteMinimumAge:     5 * time.Minute,
			TargetGarbageRatio:    blobGarbageRatio,
		}
	}
	return o
}

// pebbleLogger hands Pebble's messages on. Its chatter about files is of no interest to an operator.
type pebbleLogger struct{ log *slog.Logger }

func (l pebbleLogger) Infof(format string, args ...any) {
	l.log.Debug("pebble", "msg", fmt.Sprintf(format, args...))
}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.log.Error("pebble", "msg", fmt.Sprintf(format, args...))
}

// Fatalf is called when the log can no longer be written. Going on would acknowledge writes
// that are lost.
func (l pebbleLogger) Fatalf(format string, args ...any) {
	msg := fmt.Sprintf(format, args...)
	l.log.Error("pebble", "msg", msg)
	panic("docstore: " + msg)
}
