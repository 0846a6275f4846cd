package engine

import (
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// ErrClosed is returned by a database that has been closed.
var ErrClosed = errors.New("docstore: the database is closed")

// begin keeps the database from being closed until done is called.
func (e *Engine) begin() (done func(), err error) {
	e.closing.Lock()
	defer e.closing.Unlock()
	if e.closed {
		return nil, ErrClosed
	}
	e.background.Add(1)
	return e.background.Done, nil
}

// Close ends the database once wait has returned, which waits for all that reads and writes. Writes
// that were not durable become so. If that takes more than closeWait, or the disk is full, it gives
// up: the database is left as the end of the process will leave it, with everything that was
// acknowledged as durable.
func (e *Engine) Close(wait func()) error {
	e.closing.Lock()
	if e.closed {
		e.closing.Unlock()
		return ErrClosed
	}
	e.closed = true
	e.closing.Unlock()
	e.cancel()
	close(e.space.closing)

	closed := make(chan error, 1)
	go func() {
		wait()
		closed <- e.finish()
	}()
	limit := time.NewTimer(closeWait)
	defer limit.Stop()
	select {
	case err := <-closed:
		return err
	case <-limit.C:
		return fmt.Errorf("docstore: close: the storage was not ready after %v", closeWait)
	case <-e.space.whenFull():
	}
	limit.Reset(fullWait)
	select {
	case err := <-closed:
		return err
	case <-limit.C:
		return errors.New("docstore: close: the disk is full; what was not acknowledged may be lost")
	}
}

// finish waits for whatever uses the storage, and closes it.
func (e *Engine) finish() error {
	e.background.Wait()
	e.commits.Wait()
	err := e.db.LogData(nil, pebble.Sync)
	err = errors.Join(err, e.closePebble(), e.lock.Close())
	e.cache.Unref()
	if err != nil {
		return fmt.Errorf("docstore: close: %w", err)
	}
	return nil
}

// closePebble closes the storage. Pebble panics when something is still open, such as an iterator
// of a command that panicked; everything is on disk by then.
func (e *Engine) closePebble() (err error) {
	defer func() {
		if failed := recover(); failed != nil {
			err = fmt.Errorf("the storage was not closed: %v", failed)
		}
	}()
	return e.db.Close()
}
