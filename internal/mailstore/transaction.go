package mailstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"

	"gadwall/internal/database"
	"gadwall/internal/mailkey"
)

// unknownOutcome is the error of a transaction that may or may not have been committed, for
// instance because the connection broke during the commit. The caller must not release the
// references of its messages.
type unknownOutcome struct{ err error }

func (e *unknownOutcome) Error() string {
	return fmt.Sprintf("outcome of the transaction unknown: %v", e.err)
}
func (e *unknownOutcome) Unwrap() error { return e.err }

// HasErrorLabel implements mongo.LabeledError: whatever the server said, database.IsUnknown holds.
func (e *unknownOutcome) HasErrorLabel(label string) bool {
	return label == string(database.UnknownTransactionCommitResult) ||
		database.HasLabel(e.err, database.Label(label))
}

func mayHaveCommitted(err error) bool {
	var u *unknownOutcome
	return errors.As(err, &u)
}

// errUnchanged is what the function of a transaction returns if there is nothing to write. The
// transaction ends without a commit, which would wait for the disk.
var errUnchanged = errors.New("nothing to change")

// transact runs fn in a transaction with snapshot reads and a durable commit. fn runs again from
// the start if the transaction conflicts with another, or if the primary is lost. So fn may change
// variables outside only if it sets them anew each time. An error of fn aborts the transaction, and
// transact returns it as it is, but for errUnchanged, which is none. If the outcome of the commit is
// unknown, the error is an *unknownOutcome.
func (s *Store) transact(ctx context.Context, fn func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.transactionTimeout)
	defer cancel()
	select {
	case s.transactions <- struct{}{}:
		defer func() { <-s.transactions }()
	case <-ctx.Done():
		return ctx.Err()
	}
	session, err := database.StartSession(ctx, s.db.Client())
	if err != nil {
		return fmt.Errorf("start session: %w", err)
	}
	defer session.End(ctx)

	var lost time.Time // when the database was first out of reach
	for pause := firstPause; ; pause = min(pause*3/2, maxPause) {
		err := s.attempt(ctx, session, fn)
		if errors.Is(err, errUnchanged) {
			return nil
		}
		if !database.IsTransient(err) || mayHaveCommitted(err) {
			return err
		}
		if database.IsUnavailable(err) && lost.IsZero() {
			lost = time.Now()
		}
		if !lost.IsZero() && time.Since(lost) > s.outagePatience {
			return err
		}
		timer := time.NewTimer(rand.N(pause))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}

// attempt runs a transaction once.
func (s *Store) attempt(
	ctx context.Context, session *database.Session, fn func(ctx context.Context) error,
) error {
	err := session.StartTransaction(options.Transaction().
		SetReadConcern(readconcern.Snapshot()).
		SetReadPreference(readpref.Primary()).
		SetWriteConcern(database.Durable()))
	if err != nil {
		return fmt.Errorf("start transaction: %w", err)
	}
	bounded, cancel := context.WithTimeout(ctx, s.attemptTimeout)
	defer cancel()
	err = fn(mongo.NewSessionContext(bounded, session.Session))
	if err == nil {
		err = bounded.Err()
	}
	if err != nil {
		s.abort(ctx, session)
		return err
	}
	return s.commit(ctx, session)
}

// abort ends a transaction that failed. The server does it by itself, later.
func (s *Store) abort(ctx context.Context, session *database.Session) {
	if !session.TransactionRunning() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	_ = session.AbortTransaction(ctx)
}

// commit commits, again and again while the outcome is unknown and there is time. The error is an
// *unknownOutcome unless nothing was committed for certain.
func (s *Store) commit(ctx context.Context, session *database.Session) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.commitTimeout)
	defer cancel()
	for {
		err := session.CommitTransaction(ctx)
		switch {
		case err == nil:
			return nil
		case database.IsTransient(err) && !database.IsUnknown(err):
			return err
		case !database.IsUnknown(err) || database.HasCode(err, database.MaxTimeMSExpired):
			return &unknownOutcome{err}
		}
		timer := time.NewTimer(rand.N(maxPause))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return &unknownOutcome{err}
		}
	}
}

// userLocks lets the transactions of one user run one after the other within this process.
// Otherwise those that write the user's document or the same mailbox would only make each other
// fail. Between instances the database detects the conflicts.
type userLocks struct {
	mu    sync.Mutex
	locks map[mailkey.UserID]*userLock
}

type userLock struct {
	held    chan struct{} // capacity 1; full while held
	waiting int           // holder and waiters; guarded by userLocks.mu
}

// lock waits for the user's lock and returns the function that releases it.
func (l *userLocks) lock(ctx context.Context, user mailkey.UserID) (unlock func(), err error) {
	l.mu.Lock()
	if l.locks == nil {
		l.locks = make(map[mailkey.UserID]*userLock)
	}
	u := l.locks[user]
	if u == nil {
		u = &userLock{held: make(chan struct{}, 1)}
		l.locks[user] = u
	}
	u.waiting++
	l.mu.Unlock()

	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if u.waiting--; u.waiting == 0 {
			delete(l.locks, user)
		}
	}
	select {
	case u.held <- struct{}{}:
		return func() { <-u.held; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

// transactFor is transact under the user's lock. The transaction changes data of this user alone. If
// its outcome is unknown, sessions are told to look; callers publish what was committed.
func (s *Store) transactFor(ctx context.Context, user mailkey.UserID, fn func(ctx context.Context) error) error {
	s.traffic.note(user)
	if err := s.beforeChange(ctx, user); err != nil {
		return err
	}
	unlock, err := s.locks.lock(ctx, user)
	if err != nil {
		return err
	}
	defer unlock()
	err = s.transact(ctx, fn)
	if mayHaveCommitted(err) {
		s.tellUnknown(ctx, user)
	}
	return err
}

// beforeChange tells the Watcher that a transaction of the user follows.
func (s *Store) beforeChange(ctx context.Context, user mailkey.UserID) error {
	if s.watcher == nil {
		return nil
	}
	return s.watcher.Before(ctx, user)
}
