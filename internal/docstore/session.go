package docstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/engine"
	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/rawdoc"
)

// sessionID is the UUID with which a client names its session.
type sessionID engine.RetryKey

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
	unit    *engine.Unit
	started time.Time
	retries engine.RetryLog

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

// sessions holds the sessions that were used lately.
type sessions struct {
	eng *engine.Engine
	mu  sync.Mutex
	all map[sessionID]*session
}

func newSessions(e *engine.Engine) *sessions { return &sessions{eng: e, all: map[sessionID]*session{}} }

// get returns the session, new or known.
func (ss *sessions) get(id sessionID) *session {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	s := ss.all[id]
	if s == nil {
		if len(ss.all) >= maxSessions {
			ss.forgetSome()
		}
		s = &session{id: id, busy: make(chan struct{}, 1), number: -1,
			retries: engine.RetryLog{Key: engine.RetryKey(id)}}
		ss.all[id] = s
	}
	s.lastUse = time.Now()
	return s
}

// forgetSome drops sessions without a transaction from memory; they are loaded again when needed.
// Those used just now stay: a command may be about to lock one.
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
	record, found, err := ss.eng.LoadRetries(engine.RetryKey(s.id))
	if err != nil {
		return err
	}
	s.loaded = true
	if !found {
		return nil
	}
	s.retries.Record = record
	s.number = record.Number
	s.state = txnRetryable
	if record.Committed {
		s.state = txnCommitted
	}
	return nil
}

// begin checks a numbered command against the session's state and moves the session on to its
// number. The caller has the session locked.
func (ss *sessions) begin(s *session, r *request) error {
	if err := ss.load(s); err != nil {
		return err
	}
	if r.txnNumber < s.number {
		return mongoerr.New(mongoerr.TransactionTooOld,
			"Cannot start transaction %d on session because a newer transaction %d has already "+
				"started", r.txnNumber, s.number)
	}
	if r.inTransaction && !r.startTxn {
		return s.resume(r)
	}
	if r.txnNumber == s.number {
		if !r.inTransaction && s.state == txnRetryable {
			return nil
		}
		return mongoerr.New(mongoerr.ConflictingOperationInProgress,
			"Cannot start a transaction or retryable write at given transaction number %d: it was used", r.txnNumber)
	}
	s.abort()
	s.number = r.txnNumber
	s.retries.Record = engine.RetryRecord{Number: r.txnNumber}
	s.state = txnRetryable
	if r.inTransaction {
		s.state = txnOpen
		s.started = time.Now()
		s.unit = ss.eng.NewTransaction()
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
		return mongoerr.New(mongoerr.TransactionCommitted,
			"Transaction with { txnNumber: %d } has been committed.", r.txnNumber)
	case known && s.state == txnAborted:
		return mongoerr.Transient(mongoerr.New(mongoerr.NoSuchTransaction,
			"Transaction with { txnNumber: %d } has been aborted.", r.txnNumber))
	}
	return mongoerr.Transient(mongoerr.New(mongoerr.NoSuchTransaction,
		"Given transaction number %d does not match any in-progress transactions. The active "+
			"transaction number is %d", r.txnNumber, s.number))
}

// abort ends an open transaction without its writes.
func (s *session) abort() {
	if s.unit != nil {
		s.unit.Abort()
		s.unit = nil
		s.state = txnAborted
	}
}

// commit ends the open transaction, and writes down that it did.
func (s *session) commit(durable bool) error {
	u := s.unit
	s.unit = nil
	s.state = txnAborted
	err := u.CommitTransaction(durable, &s.retries, s.number)
	var unsettled *engine.UnsettledError
	if err == nil || errors.As(err, &unsettled) {
		s.state = txnCommitted
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
	if s == nil || s.number < 0 && s.loaded || ss.eng.Stalled() { // it expires
		return nil
	}
	return ss.eng.DeleteRetries(engine.RetryKey(id))
}

// expire aborts transactions that are open too long and forgets sessions idle too long.
// beforeAbort is called with the unit of each transaction.
func (ss *sessions) expire(now time.Time, beforeAbort func(*engine.Unit)) {
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

// abortOpen aborts all open transactions, each when its statement is over.
func (ss *sessions) abortOpen(ctx context.Context, beforeAbort func(*engine.Unit)) error {
	ss.mu.Lock()
	all := slices.Collect(maps.Values(ss.all))
	ss.mu.Unlock()
	for _, s := range all {
		if err := s.lock(ctx); err != nil {
			return err
		}
		if s.unit != nil {
			beforeAbort(s.unit)
			s.abort()
		}
		s.unlock()
	}
	return nil
}

// sweep deletes the records of sessions that have long ended.
func (ss *sessions) sweep(ctx context.Context, now time.Time) error {
	old, err := ss.eng.OldRetries(ctx, now.Add(-sessionTimeout))
	if err != nil {
		return fmt.Errorf("sweep the sessions: %w", err)
	}
	for _, key := range old {
		if err := ss.eng.CheckFloor(); err != nil {
			return fmt.Errorf("sweep the sessions: %w", err)
		}
		if err := ss.remove(sessionID(key)); err != nil {
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
	return ss.eng.DeleteRetries(engine.RetryKey(id))
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
