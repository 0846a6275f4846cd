package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/rawdoc"
)

// A RetryKey names a client that may send its last numbered write once more.
type RetryKey [16]byte

func (k RetryKey) key() []byte { return append([]byte{spaceRetry}, k[:]...) }

// A RetryRecord is what is stored of a client's last numbered write, in the batch of the writes it
// tells of. A client that sends the write again gets these results.
type RetryRecord struct {
	Number    int64             `bson:"n"`
	Committed bool              `bson:"c,omitempty"`
	Time      bson.DateTime     `bson:"t"`
	Results   []StatementResult `bson:"s,omitempty"`
}

// A StatementResult is the outcome of a statement, or of each of a run of Count statements.
type StatementResult struct {
	First    int32 `bson:"i"`
	Count    int32 `bson:"c"`
	N        int32 `bson:"n,omitempty"`
	Modified int32 `bson:"m,omitempty"`
	// Upserted is {_id: ...} of an upsert that inserted.
	Upserted bson.Raw `bson:"u,omitempty"`
	// Reply is the whole reply of a findAndModify.
	Reply bson.Raw `bson:"r,omitempty"`
}

// result returns what a statement of the record's number has given already, or nil.
func (r *RetryRecord) result(stmt int32) *StatementResult {
	for i := range r.Results {
		if res := &r.Results[i]; stmt >= res.First && stmt-res.First < res.Count {
			return res
		}
	}
	return nil
}

// with returns the record with further results. Runs of statements that gave the same become one.
func (r *RetryRecord) with(results []StatementResult) (RetryRecord, error) {
	next := RetryRecord{Number: r.Number, Committed: r.Committed, Time: bson.NewDateTimeFromTime(time.Now())}
	next.Results = append(next.Results, r.Results...)
	for _, res := range results {
		if n := len(next.Results); n > 0 && res.follows(&next.Results[n-1]) {
			next.Results[n-1].Count += res.Count
			continue
		}
		next.Results = append(next.Results, res)
	}
	if len(next.Results) > maxRetryStatements {
		return next, fmt.Errorf("more than %d statements in one retryable write", maxRetryStatements)
	}
	return next, nil
}

// follows reports that r is the same outcome as last, of the statements after it.
func (r *StatementResult) follows(last *StatementResult) bool {
	return last.First+last.Count == r.First && last.N == r.N && last.Modified == r.Modified &&
		last.plain() && r.plain()
}

// plain reports that the numbers are all there is.
func (r *StatementResult) plain() bool { return r.Upserted == nil && r.Reply == nil }

// A RetryLog is a client's record, as its last commit left it.
type RetryLog struct {
	Key    RetryKey
	Record RetryRecord
}

// put adds the record to a batch.
func (l *RetryLog) put(b *pebble.Batch, r RetryRecord) error {
	value, err := bson.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode a retry record: %w", err)
	}
	return b.Set(l.Key.key(), value, nil)
}

// LoadRetries reads a client's record. found is false when there is none.
func (e *Engine) LoadRetries(key RetryKey) (r RetryRecord, found bool, err error) {
	value, closer, err := pebbleView{e.db}.get(key.key())
	if errors.Is(err, pebble.ErrNotFound) {
		return r, false, nil
	}
	if err != nil {
		return r, false, fmt.Errorf("read a retry record: %w", err)
	}
	err = bson.Unmarshal(clone(value), &r)
	if err := errors.Join(err, closer.Close()); err != nil {
		return r, false, fmt.Errorf("read a retry record: %w", err)
	}
	return r, true, nil
}

// DeleteRetries deletes a client's record. A crash may bring it back, to be deleted again later.
func (e *Engine) DeleteRetries(key RetryKey) error { return e.db.Delete(key.key(), pebble.NoSync) }

// OldRetries returns the clients whose record was written before a time, or cannot be read.
func (e *Engine) OldRetries(ctx context.Context, before time.Time) (old []RetryKey, err error) {
	scan, err := pebbleView{e.db}.scan([]byte{spaceRetry}, []byte{spaceRetry + 1}, false)
	if err != nil {
		return nil, fmt.Errorf("look for old retry records: %w", err)
	}
	for scan.next() && ctx.Err() == nil {
		value, err := scan.value()
		if err != nil {
			break // close reports it
		}
		if len(scan.key()) != 1+len(RetryKey{}) {
			continue
		}
		t := rawdoc.Get(value, "t")
		if t.Type != bson.TypeDateTime || time.UnixMilli(rawdoc.Int64(t)).Before(before) {
			old = append(old, RetryKey(scan.key()[1:]))
		}
	}
	if err := scan.close(); err != nil {
		return nil, fmt.Errorf("look for old retry records: %w", err)
	}
	return old, nil
}

// CommitTransaction commits a transaction, and stores with its writes that the client's transaction
// of that number was committed. It ends the unit whatever it returns. After an *UnsettledError the
// transaction counts as committed.
func (u *Unit) CommitTransaction(durable bool, log *RetryLog, number int64) error {
	record := RetryRecord{Number: number, Committed: true, Time: bson.NewDateTimeFromTime(time.Now())}
	var extra func(*pebble.Batch) error
	if u.writes.len() > 0 {
		extra = func(b *pebble.Batch) error { return log.put(b, record) }
	}
	err := u.commit(durable, extra)
	var unsettled *UnsettledError
	if err == nil || errors.As(err, &unsettled) {
		log.Record = record
	}
	return err
}
