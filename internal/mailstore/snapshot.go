package mailstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"

	"gadwall/internal/database"
)

const (
	// snapshotTime is for how long a snapshot is read before another is taken. Servers keep one for
	// 60 seconds (transactionLifetimeLimitSeconds).
	snapshotTime = 15 * time.Second
	// snapshotMessages is how many messages are read from one snapshot before another is taken.
	snapshotMessages = 20_000
	// snapshotAttempts is how often a snapshot is taken anew when the server gives it up.
	snapshotAttempts = 3
)

// errSnapshotLost says that the server could not keep a snapshot for as long as it was needed.
var errSnapshotLost = errors.New("the snapshot was given up")

// snapshot runs fn, which only reads, in a transaction: all it reads is of one moment, and nobody
// waits for it. fn may run several times. The error is errSnapshotLost if that did not help.
func (s *Store) snapshot(ctx context.Context, fn func(ctx context.Context) error) error {
	var err error
	for range snapshotAttempts {
		if err = s.readSnapshot(ctx, fn); !database.IsSnapshotLost(err) || ctx.Err() != nil {
			return err
		}
	}
	return fmt.Errorf("%w: %w", errSnapshotLost, err)
}

func (s *Store) readSnapshot(ctx context.Context, fn func(ctx context.Context) error) error {
	session, err := database.StartSession(ctx, s.db.Client()) // not before what the caller has read
	if err != nil {
		return fmt.Errorf("start session: %w", err)
	}
	defer session.End(ctx)
	if err := session.StartTransaction(options.Transaction().
		SetReadConcern(readconcern.Snapshot()).SetReadPreference(readpref.Primary())); err != nil {
		return fmt.Errorf("start transaction: %w", err)
	}
	// There is nothing to commit.
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
		defer cancel()
		_ = session.AbortTransaction(ctx) // the server does it by itself, later
	}()
	return fn(mongo.NewSessionContext(ctx, session.Session))
}
