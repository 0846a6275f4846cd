package engine

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Pebble keeps some of the logs that it does not need any more, and writes over them: that takes
// fewer disk operations than a new log. On a server without writes they only take space, which can
// be more than the mail of a small one. So the engine empties them when nothing has been written
// for a while.

// logFiles knows the logs of the database.
type logFiles struct {
	// written is how many bytes were written to logs.
	written atomic.Int64

	// mu is held while a log is given another name or removed, so that none which is written again
	// is emptied.
	mu sync.Mutex
	// logs are the files, by path; true for those that are closed and have bytes.
	logs map[string]bool
}

// isLog reports whether a file is a log of the database.
func (f *spaceFS) isLog(name string) bool { return filepath.Ext(name) == ".log" && f.waits(name) }

// opened notes that a log is being written to.
func (l *logFiles) opened(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.logs[name] = false
}

// closed notes that nothing more will be written to a log under this name.
func (l *logFiles) closed(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.logs[name]; ok {
		l.logs[name] = true
	}
}

// renamed runs op, after which a log does not have that name any more.
func (l *logFiles) renamed(name string, op func() error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := op()
	if err == nil {
		delete(l.logs, name)
	}
	return err
}

// all returns the paths of all logs, and how many of them are closed and have bytes.
func (l *logFiles) all() (names []string, full int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, closed := range l.logs {
		names = append(names, name)
		if closed {
			full++
		}
	}
	return names, full
}

// empty empties those of the named logs that still have that name and are not written to.
func (l *logFiles) empty(fs vfs.FS, names []string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range names {
		if !l.logs[name] {
			continue
		}
		file, err := fs.Create(name, "pebble-wal") // in the place of the one that is there
		if err == nil {
			err = errors.Join(makePrivate(file), file.Close())
		}
		if err != nil {
			return fmt.Errorf("empty a log that is not needed any more: %w", err)
		}
		l.logs[name] = false
	}
	return nil
}

// logFile is a log that is being written. Pebble allocates a whole one at the first write; here it
// is a little at first, since that may be all.
type logFile struct {
	persistentFile
	logs *logFiles
	// written and allocated are bytes of this file, wanted is how many Pebble wants to have
	// allocated.
	written, allocated, wanted int64
}

// Preallocate implements vfs.File.
func (f *logFile) Preallocate(offset, length int64) error {
	f.wanted = offset + length
	return nil
}

// allocate makes place for a write of n bytes. It is an optimisation, and may fail.
func (f *logFile) allocate(n int64) {
	need := f.written + n
	if need <= f.allocated || f.wanted <= f.allocated {
		return
	}
	to := f.wanted
	if need <= logStart {
		to = min(to, logStart)
	}
	_ = f.File.Preallocate(f.allocated, to-f.allocated)
	f.allocated = to
}

// Write implements vfs.File.
func (f *logFile) Write(p []byte) (int, error) {
	f.allocate(int64(len(p)))
	n, err := f.persistentFile.Write(p)
	f.written += int64(n)
	f.logs.written.Add(int64(n))
	return n, err
}

// Close implements vfs.File.
func (f *logFile) Close() error {
	err := f.persistentFile.Close()
	f.logs.closed(f.name)
	return err
}

// trimLogs empties the logs, until the database closes, whenever there is something in them and
// nothing has been written for as long as idle.
func (e *Engine) trimLogs(idle time.Duration) {
	t := time.NewTicker(idle)
	defer t.Stop()
	last, emptied := int64(-1), int64(0)
	for {
		select {
		case <-e.ctx.Done():
			return
		case <-t.C:
		}
		written := e.logs.written.Load()
		_, full := e.logs.all()
		if idle := written == last; !idle || full == 0 && written-emptied < logsWorth || e.space.isFull() {
			last = written
			continue
		}
		done := false
		err := contain(func() (err error) {
			done, err = e.EmptyLogs()
			return err
		})
		if err != nil {
			e.log.Error("trim the logs", "error", err.Error())
		}
		if done || err != nil {
			emptied = written // what came meanwhile may still be in a log
		}
	}
}

// EmptyLogs writes everything that is in logs to tables, and empties them. What is written
// meanwhile is in a log that was begun later. While a backup may be reading the logs, it does
// nothing.
//
// A flush begins a new log, for which it takes one of those that are kept, and returns when tables
// durably have what was in the logs before. So the second one begins a log of no size.
func (e *Engine) EmptyLogs() (done bool, err error) {
	select {
	case e.backups <- struct{}{}:
		defer func() { <-e.backups }()
	default:
		return false, nil
	}
	for range 2 {
		logs, _ := e.logs.all()
		if err := e.db.Flush(); err != nil {
			return false, fmt.Errorf("flush: %w", err)
		}
		if err := e.logs.empty(e.fs, logs); err != nil {
			return false, err
		}
	}
	return true, nil
}
