// Package storetest opens a mail store for tests of the packages above it. What it
// opens is closed when the test ends. The database is that of dbtest: embedded, or
// the MongoDB that the tests run against.
package storetest

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/blobstore"
	"gadwall/internal/contents"
	"gadwall/internal/dbtest"
	"gadwall/internal/events"
	"gadwall/internal/mailstore"
	"gadwall/internal/shortheader"
	"gadwall/quota"
)

// Password is that of all users of CreateUser.
const Password = "correct horse"

// Options say how a store differs from the usual one. The zero value is good.
type Options struct {
	Database *mongo.Database // nil: a new one for the test
	Bus      events.Bus      // nil: one of this store, which other stores do not hear
	Logger   *slog.Logger    // nil: nothing is logged
	Clock    func() time.Time
	Quota    quota.Policy
	ReadOnly bool // nothing is created when it opens
	// OneChunkAtATime is blobstore.Options.OneChunkAtATime.
	OneChunkAtATime bool
	// Ordered is blobstore.Options.Ordered. Without it the store writes as it does to a MongoDB.
	Ordered bool
	// RememberPasswords is mailstore.Options.RememberPasswords.
	RememberPasswords time.Duration
	// Scram is mailstore.Options.Scram. Verifiers cost little.
	Scram bool
	// MinRoll is mailstore.Options.MinRoll.
	MinRoll int
	// Watcher is mailstore.Options.Watcher.
	Watcher mailstore.Watcher
}

// Store is a mail store with what stands below it.
type Store struct {
	*mailstore.Store
	Database *mongo.Database
	Contents *contents.Store
	Bus      events.Bus

	ownBus bool
}

// Open opens a store. It is closed when the test ends.
func Open(t testing.TB, o Options) *Store {
	t.Helper()
	if o.Database == nil {
		o.Database = dbtest.Database(t)
	}
	s, err := OpenIn(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// OpenIn opens a store that the caller closes; Database is required.
func OpenIn(ctx context.Context, o Options) (*Store, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Store{Database: o.Database, Bus: o.Bus}
	blobs, err := blobstore.New(o.Database, blobstore.Options{Logger: o.Logger, Clock: o.Clock,
		OneChunkAtATime: o.OneChunkAtATime, Ordered: o.Ordered})
	if err != nil {
		return nil, err
	}
	s.Contents, err = contents.New(o.Database, blobs, contents.Options{
		Logger: o.Logger, Clock: o.Clock, Ordered: o.Ordered, ShortHeaders: shortheader.New(8 << 20)})
	if err != nil {
		return nil, err
	}
	if !o.ReadOnly {
		if err := s.Contents.EnsureIndexes(ctx); err != nil {
			return nil, err
		}
	}
	if s.Bus == nil {
		s.Bus, s.ownBus = events.NewLocal(), true
	}
	s.Store, err = mailstore.Open(ctx, mailstore.Options{
		Database: o.Database, Contents: s.Contents, Bus: s.Bus, Logger: o.Logger,
		Quota: o.Quota, ReadOnly: o.ReadOnly, RememberPasswords: o.RememberPasswords,
		Scram: o.Scram, ScramIterations: 4096,
		Watcher: o.Watcher, MinRoll: o.MinRoll,
	})
	if err != nil {
		return nil, errors.Join(err, s.closeBus())
	}
	return s, nil
}

// Close closes the store, and the bus if it is the store's own.
func (s *Store) Close() error {
	s.Store.Close()
	return s.closeBus()
}

func (s *Store) closeBus() error {
	if !s.ownBus {
		return nil
	}
	return s.Bus.Close()
}

// User creates a user with Password.
func (s *Store) User(t testing.TB, name string) *mailstore.User {
	t.Helper()
	u, err := s.CreateUser(t.Context(), mailstore.NewUser{Username: name, Password: Password})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// Mailbox returns the mailbox of a user with this path.
func (s *Store) Mailbox(t testing.TB, u *mailstore.User, path string) *mailstore.Mailbox {
	t.Helper()
	box, err := s.MailboxByPath(t.Context(), u.ID, path)
	if err != nil {
		t.Fatal(err)
	}
	return box
}
