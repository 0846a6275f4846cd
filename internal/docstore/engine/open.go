package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options say where the database is and what it may use.
type Options struct {
	// Dir is the directory of the database's files. It is made when missing. If others may open it,
	// that right is taken away.
	Dir string
	// MustExist refuses to make a database where there is none, with a NoDatabaseError.
	MustExist bool
	// FS is the file system; nil for the disk.
	FS vfs.FS
	// CacheSize bounds the block cache in bytes; 0 for DefaultCacheSize.
	CacheSize int64
	// Logger gets what an operator should know; nil for slog.Default().
	Logger *slog.Logger
	// Reserve is how much of the disk must be free for a write to begin, in bytes; 0 for
	// DefaultReserve.
	Reserve uint64
	// TTLPeriod is the pause between two passes that delete what TTL indexes say has expired; 0 for
	// a minute, as in MongoDB.
	TTLPeriod time.Duration
	// LogsIdle is how long nothing may have been written for the logs to give back their space; 0
	// for five seconds.
	LogsIdle time.Duration

	// Tests make values old enough to be rewritten at once, and are told of each rewrite.
	rewriteAge time.Duration
	rewritten  func(error)
	// copyValues makes compactions copy values that are in two files.
	copyValues bool
	// failed is told of what fails in the background.
	failed func(error)
}

// DefaultCacheSize is the block cache's bound when Options name none.
const DefaultCacheSize = 32 << 20

// DefaultReserve is the reserve when Options name none. It is many times the size of the write
// buffers: they, their logs and the output of compactions must find place before anything can be
// deleted.
const DefaultReserve = 64 << 20

// Sizes of the storage. Write buffers are small, because the memory of the whole server is meant to
// stay small while large messages stream through it.
const (
	memTableSize = 4 << 20
	// memTables bounds the memtables: one that is filled, one being flushed. Pebble also keeps so
	// many old logs, and one more, to write over; see logFiles.
	memTables = 2
	// separatedValue is the size from which a value goes to a blob file of its own, so that
	// compactions do not copy the chunks of blobs over and over.
	separatedValue = 32 << 10
	// blobGarbageRatio is the part of those files that may be useless before they are rewritten.
	blobGarbageRatio = 0.2
	// blobReferenceDepth is how many files of values the values of neighbouring keys may be scattered over
	// before a compaction copies them.
	blobReferenceDepth = 10
	// rewriteAge is how old a file of values is before it is rewritten.
	rewriteAge = 5 * time.Minute
	// blockSize is the size of the blocks that are compressed and cached as one. A block has some
	// 25 messages. Their wire forms, addresses and subjects are much alike, so that such blocks
	// with zstd take half of the space that small ones with a faster compression take. Reading a
	// whole mailbox is faster, too. A single message that is not cached costs some 20 µs more.
	blockSize = 32 << 10
	bloomBits = 10
)

// Open opens the database, and makes it if there is none. It returns
//
//   - a LockedError when another process has it open,
//   - a NoDatabaseError when there is none and Options.MustExist is set,
//   - a ForeignFilesError when there is none and the directory has other files,
//   - an AccessError when the directory, or what is in it, cannot be used.
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
	if opts.rewriteAge <= 0 {
		opts.rewriteAge = rewriteAge
	}
	lock, err := takeDirectory(fs, opts, log)
	if err != nil {
		return nil, err
	}
	space := newDiskSpace(fs, opts.Dir, opts.Reserve, log)
	if err := space.checkOpen(); err != nil {
		return nil, errors.Join(fmt.Errorf("docstore: open %s: %w", opts.Dir, err), lock.Close())
	}
	cache := pebble.NewCache(opts.CacheSize)
	logs := &logFiles{logs: map[string]bool{}}
	sfs := &spaceFS{FS: fs, space: space, logs: logs, damage: newDamageLog(log)}
	live, err := readManifest(fs, opts.Dir)
	if err != nil {
		log.Error("the files of the database cannot be checked", "error", err)
		live = &liveFiles{}
	}
	sfs.findMissing(live)
	e := &Engine{
		dir: opts.Dir, fs: fs, cache: cache, lock: lock, space: space, logs: logs, damage: sfs.damage, log: log,
		locks: newLockTable(), ddl: make(chan struct{}, 1), backups: make(chan struct{}, 1),
		filesChecked: make(chan struct{}),
	}
	e.db, err = pebble.Open(opts.Dir, e.pebbleOptions(sfs, opts))
	if err != nil {
		cache.Unref()
		return nil, errors.Join(fmt.Errorf("docstore: open %s: %w", opts.Dir, err), lock.Close())
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	if err := errors.Join(e.load(), e.loadGarbage()); err != nil {
		err = errors.Join(fmt.Errorf("docstore: open %s: %w", opts.Dir, err), e.db.Close(), lock.Close())
		cache.Unref()
		e.cancel()
		return nil, err
	}
	e.background.Go(func() {
		defer close(e.filesChecked)
		sfs.checkFiles(e.ctx, live)
	})
	e.background.Go(func() { e.reclaimSpace(reclaimPeriod) })
	e.background.Go(func() { e.trimLogs(opts.LogsIdle) })
	e.background.Go(func() { e.expireDocuments(opts.TTLPeriod) })
	return e, nil
}

func (e *Engine) pebbleOptions(sfs *spaceFS, opts Options) *pebble.Options {
	o := &pebble.Options{
		FS:                          sfs,
		Cache:                       e.cache,
		Lock:                        e.lock,
		FormatMajorVersion:          pebble.FormatValueSeparation,
		MemTableSize:                memTableSize,
		MemTableStopWritesThreshold: memTables,
		Logger:                      pebbleLogger{e.log},
		// The engine does that itself: without a table, all other mail is still there.
		DisableConsistencyCheck: true,
		EventListener: &pebble.EventListener{
			// Without a listener, Pebble ends the process.
			DataCorruption: func(info pebble.DataCorruptionInfo) {
				e.damage.add(info.Path, firstLine(info.Details))
				e.damage.slow(info.Path)
			},
			BackgroundError: func(err error) {
				if opts.failed != nil {
					opts.failed(err)
				}
				if !IsDamage(err) { // which is in the log already
					e.log.Error("pebble", "error", firstLine(err))
				}
			},
			BlobFileRewriteBegin: func(info pebble.BlobFileRewriteInfo) {
				sfs.rewriting.Store(uint64(info.Input.DiskFileNum))
			},
			BlobFileRewriteEnd: func(info pebble.BlobFileRewriteInfo) {
				if info.Err != nil && IsDamage(info.Err) {
					e.noRewrites.Store(true)
				}
				if opts.rewritten != nil {
					opts.rewritten(info.Err)
				}
			},
		},
	}
	for i := range o.Levels {
		o.Levels[i].BlockSize = blockSize
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(bloomBits)
	}
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionGood })
	o.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy {
		ratio, depth := float64(blobGarbageRatio), blobReferenceDepth
		if opts.copyValues {
			depth = 1
		}
		if e.noRewrites.Load() {
			ratio = 1 // Pebble would choose the damaged file again and again
		}
		return pebble.ValueSeparationPolicy{
			Enabled:               true,
			MinimumSize:           separatedValue,
			MaxBlobReferenceDepth: depth,
			RewriteMinimumAge:     opts.rewriteAge,
			TargetGarbageRatio:    ratio,
		}
	}
	return o
}

// A FatalError is the value of a panic after which the process must end.
type FatalError string

func (e FatalError) Error() string { return string(e) }

// pebbleLogger hands Pebble's messages on. Its chatter about files is of no interest to an
// operator.
type pebbleLogger struct{ log *slog.Logger }

func (l pebbleLogger) Infof(format string, args ...any) {
	l.log.Debug("pebble", "msg", fmt.Sprintf(format, args...))
}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.log.Error("pebble", "msg", fmt.Sprintf(format, args...))
}

// Fatalf is called when the log can no longer be written. The process ends: going on would
// acknowledge writes that are lost.
func (l pebbleLogger) Fatalf(format string, args ...any) {
	msg := fmt.Sprintf(format, args...)
	l.log.Error("pebble", "msg", msg)
	panic(FatalError("docstore: " + msg))
}
