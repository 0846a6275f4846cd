package engine

import (
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"gadwall/internal/docstore/mongoerr"
)

// An UnsettledError says that the full disk holds a commit up. Readers see the writes already. They
// become durable when there is space, unless the process ends before. Until then the engine begins
// no write, and gives no client the stored result of an earlier one: so everything that it
// acknowledges later is durable together with them.
type UnsettledError struct{ Err *mongoerr.Error }

func (e *UnsettledError) Error() string { return e.Err.Error() }
func (e *UnsettledError) Unwrap() error { return e.Err }

// apply applies a batch, which it closes, and with durable set waits until it is on disk. settled
// is called once, by another goroutine, when the batch is applied (true) or nothing of it will be.
// After an *UnsettledError that may be later.
func (e *Engine) apply(b *pebble.Batch, durable bool, settled func(applied bool)) error {
	full := e.space.whenFull()
	done := make(chan error, 1)
	// Pebble cannot be told to stop waiting.
	e.commits.Go(func() { done <- e.applyNow(b, durable, settled) })
	select {
	case err := <-done:
		return err
	case <-full:
	}
	limit := time.NewTimer(fullWait)
	defer limit.Stop()
	select {
	case err := <-done:
		return err
	case <-limit.C:
	}
	e.space.begin()
	e.commits.Go(func() {
		if err := <-done; err != nil {
			e.log.Error("a write that waited for space failed", "error", err)
		}
		e.space.end()
	})
	return &UnsettledError{mongoerr.New(mongoerr.OutOfDiskSpace,
		"the disk of the database is full: the write waits for space and is not durable")}
}

// applyNow does it, for as long as it takes.
func (e *Engine) applyNow(b *pebble.Batch, durable bool, settled func(applied bool)) error {
	started := time.Now()
	var err error
	if durable {
		err = e.db.ApplyNoSyncWait(b, pebble.Sync)
	} else {
		err = e.db.Apply(b, pebble.NoSync)
	}
	settled(err == nil)
	if err != nil {
		return fmt.Errorf("apply a batch: %w", err)
	}
	if durable {
		if err := b.SyncWait(); err != nil {
			// Readers may have seen the writes already, and it is unknown which of them are on
			// disk.
			panic(FatalError(fmt.Sprintf("docstore: cannot sync the log: %v", err)))
		}
		e.metrics.synced(time.Since(started))
	}
	if err := b.Close(); err != nil {
		e.log.Error("close a batch", "error", err)
	}
	return nil
}
