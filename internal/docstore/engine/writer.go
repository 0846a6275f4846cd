package engine

import (
	"context"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"gadwall/internal/docstore/mongoerr"
)

// WriterOptions say what a Writer writes to, and how.
type WriterOptions struct {
	DB, Collection string
	// Transaction is the unit that all statements go to. Nil lets the writer commit units of its
	// own.
	Transaction *Unit
	// Durable makes a commit wait until it is on disk.
	Durable bool
	// Retries remembers the results of the statements for a client that sends them again. Nil
	// remembers none. It has no effect in a transaction.
	Retries *RetryLog
}

// A Writer runs the statements of one write command. In a transaction they all go to its unit.
// Otherwise statements share units of a bounded size, and each unit is one batch with the results
// that a client which sends the command again gets.
type Writer struct {
	WriterOptions
	eng  *Engine
	unit *Unit
	// results are those of statements in unit, not yet committed.
	results []StatementResult
	// docs counts the statements or documents since the last commit.
	docs int
	// steps counts the statements and documents of the command.
	steps int
	turn  turn
}

// NewWriter starts a write command. The caller ends it with Flush, and Close in any case.
func (e *Engine) NewWriter(o WriterOptions) *Writer {
	w := &Writer{WriterOptions: o, eng: e, unit: o.Transaction}
	if w.unit == nil {
		w.unit = e.newUnit()
	}
	return w
}

func (w *Writer) inTransaction() bool { return w.Transaction != nil }

// Retryable reports that the results are remembered.
func (w *Writer) Retryable() bool { return w.Retries != nil && !w.inTransaction() }

// Done returns what the statement gave when an earlier try of this command ran it, or nil.
func (w *Writer) Done(stmt int32) *StatementResult {
	if !w.Retryable() {
		return nil
	}
	return w.Retries.Record.result(stmt)
}

// statement runs f, which writes to w.unit, until it goes through. When f meets a lock that it must
// not wait for, or a collection that has changed, statement commits the earlier writes and runs f
// again. f must not have written anything when it returns an error. In a transaction the caller
// gets the conflict.
func (w *Writer) statement(ctx context.Context, f func(c *Collection) error) error {
	if err := w.eng.space.checkFloor(); err != nil {
		return err
	}
	if w.step(); w.steps%yieldEvery == 0 && ctx.Err() != nil {
		return ctx.Err()
	}
	for {
		c, err := w.collection(ctx)
		if err == nil {
			if err = w.unit.enter(ctx, c); err == nil {
				err = f(c)
			}
		}
		if w.inTransaction() || err == nil {
			return err
		}
		var busy *busyError
		switch {
		case errors.As(err, &busy):
			if err := w.Flush(); err != nil {
				return err
			}
			// The gate comes before any lock: who waits for a closed gate must hold nothing.
			if err := w.unit.enter(ctx, c); err != nil && !errors.Is(err, errStaleCollection) {
				return err
			}
			if err := w.eng.locks.acquire(ctx, w.unit, busy.key); err != nil {
				return err
			}
		case errors.Is(err, errStaleCollection):
			if err := w.Flush(); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

// step is called for each statement and document.
func (w *Writer) step() {
	if w.steps++; w.steps%yieldEvery == 0 {
		w.turn.giveWay()
	}
}

// nowhere reports that there is no collection. Updates and deletes do not create one.
func (w *Writer) nowhere() bool { return w.eng.catalog.Load().Lookup(w.DB, w.Collection) == nil }

func (w *Writer) collection(ctx context.Context) (*Collection, error) {
	if w.inTransaction() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, gateWait)
		defer cancel()
	}
	c, err := w.eng.CollectionFor(ctx, w.DB, w.Collection)
	if w.inTransaction() && errors.Is(err, context.DeadlineExceeded) {
		err = mongoerr.Transient(mongoerr.New(mongoerr.LockTimeout,
			"Unable to acquire a lock on the catalogue within %v", gateWait))
	}
	return c, err
}

// Wrote notes a finished statement, and commits when enough has gathered.
func (w *Writer) Wrote(res StatementResult) error {
	if w.inTransaction() {
		return nil
	}
	if w.Retryable() {
		w.results = append(w.results, res)
	}
	return w.spill()
}

// spill commits when enough has gathered.
func (w *Writer) spill() error {
	if w.docs++; w.inTransaction() || w.unit.writes.bytes < writeChunk && w.docs < writeChunkDocs {
		return nil
	}
	return w.Flush()
}

// Flush commits the statements so far and starts a new unit. In a transaction it only looks whether
// there is space for them: from the failed commit a client would learn that the outcome is unknown.
func (w *Writer) Flush() error {
	if w.inTransaction() {
		return w.unit.checkSpace()
	}
	var extra func(*pebble.Batch) error
	var record RetryRecord
	if len(w.results) > 0 {
		var err error
		if record, err = w.Retries.Record.with(w.results); err != nil {
			w.unit.Abort()
			return err
		}
		if w.unit.writes.len() > 0 { // what changed nothing may as well be tried again
			extra = func(b *pebble.Batch) error { return w.Retries.put(b, record) }
		}
	}
	u := w.unit
	w.unit = w.eng.newUnit()
	err := u.commit(w.Durable, extra)
	var unsettled *UnsettledError
	if err != nil && !errors.As(err, &unsettled) {
		return err
	}
	if len(w.results) > 0 {
		w.Retries.Record = record
	}
	w.results, w.docs = nil, 0
	return err
}

// Close ends the writer's unit if it is not a transaction's.
func (w *Writer) Close() {
	if !w.inTransaction() {
		w.unit.Abort()
	}
}

// EndsCommand reports an error that ends a whole write command rather than one statement of it.
func EndsCommand(err error) bool {
	var qe *mongoerr.Error
	if !errors.As(err, &qe) || qe.Code == mongoerr.OutOfDiskSpace {
		return true // conflicts, the context, the disk
	}
	return qe.Has(mongoerr.LabelTransient)
}
