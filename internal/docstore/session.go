package docstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/rawdoc"
)

// sessionID is the UUID with which a client names its session.
type sessionID [16]byte

func (id sessionID) key() []byte { return append([]byte{spaceSession}, id[:]...) }

func parseSessionID(command string, v bson.RawValue) (sessionID, error) {
	var id sessionID
	if v.Type != bson.TypeEmbeddedDocument {
		return id, errWrongType(command, "lsid", v, "object")
	}
	u := rawdoc.Get(v.Value, "id")
	if u.Type != bson.TypeBinary {
		return id, errMissingField("lsid", "id")
	}
	subtype, data := rawdoc.Binary(u)
	if subtype != bson.TypeBinaryUUID || len(data) != len(id) {
		return id, mongoerr.New(mongoerr.InvalidOptions, "the id of a session must be a UUID")
	}
	return sessionID(data), nil
}

// What became of a session's last transaction number.
type txnState int

const (
	txnNone      txnState = iota
	txnRetryable          // it was used for retryable writes
	txnOpen
	txnCommitted
	txnAborted
)

// A session is what a client's numbered commands hang on: its open transaction, or the results of
// its last retryable write.
type session struct {
	id sessionID
	// busy is held by the command that uses the session; every other field but lastUse is under it.
	busy   chan struct{}
	loaded bool
	state  txnState
	// number is the highest transaction number seen.
	number  int64
	unit    *unit
	started time.Time
	retry   retryRecord

	lastUse time.Time // under sessions.mu
}

func (s *session) lock(ctx context.Context) error {
	select {
	case s.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *session) tryLock() bool {
	select {
	case s.busy <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s *session) unlock() { <-s.busy }

// retryRecord is what is kept on disk of a session, written in the batch of the writes it tells of.
type retryRecord struct {
	Number    int64         `bson:"n"`
	Committed bool          `bson:"c,omitempty"`
	Time      bson.DateTime `bson:"t"`
	Results   []stmtResult  `bson:"s,omitempty"`
}

// A stmtResult is the outcome of a statement, or of each of a run of Count statements.
type stmtResult struct {
	First    int32 `bson:"i"`
	Count    int32 `bson:"c"`
	N        int32 `bson:"n,omitempty"`
	Modified int32 `bson:"m,omitempty"`
	// Upserted is {_id: ...} of an upsert that inserted.
	Upserted bson.Raw `bson:"u,omitempty"`
	// Reply is the whole reply of a findAndModify.
	Reply bson.Raw `bson:"r,omitempty"`
}

// result returns what a statement of the current number has given already, or nil.
func (s *session) result(stmt int32) *stmtResult {
	for i := range s.retry.Results {
		if r := &s.retry.Results[i]; stmt >= r.First && stmt-r.First < r.Count {
			return r
		}
	}
	return nil
}

// with returns the record with further results. Runs of statements that gave the same become one.
func (r retryRecord) with(results []stmtResult) (retryRecord, error) {
	next := retryRecord{Number: r.Number, Committed: r.Committed, Time: bson.NewDateTimeFromTime(time.Now())}
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
func (r *stmtResult) follows(last *stmtResult) bool {
	return last.First+last.Count == r.First && last.N == r.N && last.Modified == r.Modified &&
		last.plain() && r.plain()
}

// plain reports that the numbers are all there is.
func (r *stmtResult) plain() bool { return r.Upserted == nil && r.Reply == nil }

// sessions holds the sessions that were used lately.
type sessions struct {
	eng *engine
	mu  sync.Mutex
	all map[sessionID]*session
}

func newSessions(e *engine) *sessions { return &sessions{eng: e, all: map[sessionID]*session{}} }

// get returns the session, new or known.
func (ss *sessions) get(id sessionID) *session {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	s := ss.all[id]
	if s == nil {
		if len(ss.all) >= maxSessions {
			ss.forgetSome()
		}
		s = &session{id: id, busy: make(chan struct{}, 1), number: -1}
		ss.all[id] = s
	}
	s.lastUse = time.Now()
	return s
}

// forgetSome drops sessions without a transaction from memory; they are loaded again when needed. Those
// used just now stay: a command may be about to lock one.
func (ss *sessions) forgetSome() {
	now := time.Now()
	for id, s := range ss.all {
		if len(ss.all) < maxSessions-maxSessions/10 {
			return
		}
		if now.Sub(s.lastUse) > maintenancePeriod && s.tryLock() {
			if s.unit == nil {
				delete(ss.all, id)
			}
			s.unlock()
		}
	}
}

// load reads the session's record. The caller has the session locked.
func (ss *sessions) load(s *session) error {
	if s.loaded {
		return nil
	}
	value, closer, err := ss.eng.db.Get(s.id.key())
	if errors.Is(err, pebble.ErrNotFound) {
		s.loaded = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("read a session's record: %w", err)
	}
	err = bson.Unmarshal(clone(value), &s.retry)
	if err := errors.Join(err, closer.Close()); err != nil {
		return fmt.Errorf("read a session's record: %w", err)
	}
	s.loaded = true
	s.number = s.retry.Number
	s.state = txnRetryable
	if s.retry.Committed {
		s.state = txnCommitted
	}
	return nil
}

// put adds the record to a batch.
func (s *session) put(b *pebble.Batch, r retryRecord) error {
	value, err := bson.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode a session's record: %w", err)
	}
	return b.Set(s.id.key(), value, nil)
}

// begin checks a numbered command against the session's state and moves the session on to its number.
// The caller has the session locked.
func (ss *sessions) begin(s *session, r *request) error {
	if err := ss.load(s); err != nil {
		return err
	}
	if r.txnNumber < s.number {
		return mongoerr.New(mongoerr.TransactionTooOld, "Cannot start transaction %d on session because a newer transaction %d has already started", r.txnNumber, s.number)
	}
	if r.inTransaction && !r.startTxn {
		return s.resume(r)
	}
	if r.txnNumber == s.number {
		if !r.inTransaction && s.state == txnRetryable {
			return nil
		}
		return mongoerr.New(mongoerr.ConflictingOperationInProgress, "Cannot start a transaction or retryable write at given transaction number %d: it was used", r.txnNumber)
	}
	s.abort()
	s.number = r.txnNumber
	s.retry = retryRecord{Number: r.txnNumber}
	s.state = txnRetryable
	if r.inTransaction {
		s.state = txnOpen
		s.started = time.Now()
		s.unit = ss.eng.newTransaction()
	}
	return nil
}

// resume lets a further statement, commit or abort of a transaction through.
func (s *session) resume(r *request) error {
	known := r.txnNumber == s.number
	switch {
	case known && s.state == txnOpen:
		return nil
	case known && s.state == txnCommitted && r.name == "commitTransaction":
		return nil
	case known && s.state == txnCommitted:
		return mongoerr.New(mongoerr.TransactionCommitted, "Transaction with { txnNumber: %d } has been committed.", r.txnNumber)
	case known && s.state == txnAborted:
		return mongoerr.Transient(mongoerr.New(mongoerr.NoSuchTransaction, "Transaction with { txnNumber: %d } has been aborted.", r.txnNumber))
	}
	return mongoerr.Transient(mongoerr.New(mongoerr.NoSuchTransaction, "Given transaction number %d does not match any in-progress transactions. The active transaction number is %d", r.txnNumber, s.number))
}

// abort ends an open transaction without its writes.
func (s *session) abort() {
	if s.unit != nil {
		s.unit.abort()
		s.unit = nil
		s.state = txnAborted
	}
}

// commit ends the open transaction, and writes down that it did.
func (s *session) commit(durable bool) error {
	u := s.unit
	s.unit = nil
	s.state = txnAborted
	record := retryRecord{Number: s.number, Committed: true, Time: bson.NewDateTimeFromTime(time.Now())}
	extra := func(b *pebble.Batch) error { return s.put(b, record) }
	if u.writes.len() == 0 {
		extra = nil
	}
	err := u.commit(durable, extra)
	var unsettled *unsettledError
	if err == nil || errors.As(err, &unsettled) {
		s.retry, s.state = record, txnCommitted
	}
	return err
}

// end forgets a session the client has done with, and aborts its transaction.
func (ss *sessions) end(ctx context.Context, id sessionID) error {
	ss.mu.Lock()
	s := ss.all[id]
	ss.mu.Unlock()
	if s != nil {
		if err := s.lock(ctx); err != nil {
			return err
		}
		defer s.unlock()
		s.abort()
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.all[id] != s {
		return nil
	}
	delete(ss.all, id)
	if s == nil || s.number < 0 && s.loaded || ss.eng.space.isFull() { // it expires
		return nil
	}
	return ss.eng.db.Delete(id.key(), pebble.NoSync)
}

// expire aborts transactions that are open too long and forgets sessions idle too long.
// beforeAbort is called with the unit of each transaction.
func (ss *sessions) expire(now time.Time, beforeAbort func(*unit)) {
	ss.mu.Lock()
	var all []*session
	for _, s := range ss.all {
		all = append(all, s)
	}
	ss.mu.Unlock()
	for _, s := range all {
		if !s.tryLock() {
			continue
		}
		if s.unit != nil && now.Sub(s.started) > transactionLifetime {
			beforeAbort(s.unit)
			s.abort()
		}
		ss.mu.Lock()
		if s.unit == nil && now.Sub(s.lastUse) > sessionTimeout {
			delete(ss.all, s.id)
		}
		ss.mu.Unlock()
		s.unlock()
	}
}

// sweep deletes the records of sessions that have long ended.
func (ss *sessions) sweep(ctx context.Context, now time.Time) error {
	scan, err := pebbleView{ss.eng.db}.scan([]byte{spaceSession}, []byte{spaceSession + 1}, false)
	if err != nil {
		return fmt.Errorf("sweep the sessions: %w", err)
	}
	var old []sessionID
	for scan.next() && ctx.Err() == nil {
		value, err := scan.value()
		if err != nil {
			break // close reports it
		}
		t := rawdoc.Get(value, "t")
		if len(scan.key()) != 1+len(sessionID{}) || t.Type != bson.TypeDateTime ||
			now.Sub(time.UnixMilli(rawdoc.Int64(t))) > sessionTimeout {
			if len(scan.key()) == 1+len(sessionID{}) {
				old = append(old, sessionID(scan.key()[1:]))
			}
		}
	}
	if err := scan.close(); err != nil {
		return fmt.Errorf("sweep the sessions: %w", err)
	}
	for _, id := range old {
		if err := ss.eng.space.checkFloor(); err != nil {
			return fmt.Errorf("sweep the sessions: %w", err)
		}
		if err := ss.remove(id); err != nil {
			return fmt.Errorf("sweep the sessions: %w", err)
		}
	}
	return nil
}

// remove deletes a stored record unless the session is in use again. Holding mu keeps it from being
// loaded, and so written, meanwhile.
func (ss *sessions) remove(id sessionID) error {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.all[id] != nil {
		return nil
	}
	return ss.eng.db.Delete(id.key(), pebble.NoSync)
}

// abortAll ends every open transaction; the server is closing and no command runs any more.
func (ss *sessions) abortAll() {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for _, s := range ss.all {
		s.abort()
	}
	ss.all = map[sessionID]*session{}
}
