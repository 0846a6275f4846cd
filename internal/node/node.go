package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/blobstore"
	"gadwall/internal/account"
	"gadwall/internal/activity"
	"gadwall/internal/config"
	"gadwall/internal/contents"
	"gadwall/internal/docstore"
	"gadwall/internal/events"
	"gadwall/internal/feed"
	"gadwall/internal/lease"
	"gadwall/internal/logins"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/internal/maintenance"
	"gadwall/internal/schema"
	"gadwall/internal/sessions"
	"gadwall/internal/shortheader"
	"gadwall/internal/webhooks"
)

// An Access says what a process opens the storage for.
type Access int

const (
	// Serving has the data directory for itself, and also finishes deletions that others left.
	Serving Access = iota
	// Sharing goes through the socket of the process that has the data directory open, if there is
	// one. It refuses a directory without a database.
	Sharing
	// Looking is Sharing that creates nothing: neither collections nor indexes.
	Looking
	// Restoring has the data directory for itself, like Serving. It alone opens a database that was
	// restored and whose mailboxes are not advanced yet.
	Restoring
)

// Options say what to open.
type Options struct {
	Storage config.Storage
	Access  Access
	// Create lets Sharing make the database where there is none.
	Create bool
	// JournalKept is mailstore.Options.JournalKept.
	JournalKept time.Duration
	// AuthlogKept is mailstore.Options.AuthlogKept.
	AuthlogKept time.Duration
	// MasterUsers are account.Options.Masters.
	MasterUsers []string
	// PasswordCache is mailstore.Options.RememberPasswords.
	PasswordCache time.Duration
	// Scram is mailstore.Options.Scram.
	Scram bool
	// ViewCache is account.Options.ColumnBytes.
	ViewCache int64
	// Sharing, SharedSeen and PublicUser are the settings of these names.
	Sharing, SharedSeen, PublicUser string
	// HeaderCache bounds the short headers in memory (package shortheader).
	HeaderCache int64
	// Version is that of the program, for operators.
	Version string
	// Migrations are those that the program knows; nil is mailstore.Migrations. Tests have others.
	Migrations []schema.Migration

	// schemaWait is schema.Options.Wait, for tests.
	schemaWait func(ctx context.Context, d time.Duration) error
	Logger     *slog.Logger // nil is slog.Default()
}

// A SettingError is a setting that cannot work. Nothing was written.
type SettingError struct{ Err error }

func (e *SettingError) Error() string { return e.Err.Error() }
func (e *SettingError) Unwrap() error { return e.Err }

// A Node is the storage as one process has it open.
type Node struct {
	// Embedded is the embedded database of this process: nil with --mongodb-uri, and in a process
	// that shares the data directory of another.
	Embedded *docstore.Server
	// Activity counts the commands that the driver sends, and those of clients.
	Activity *activity.Counts
	Client   *mongo.Client
	Database *mongo.Database
	// reads is the database by another client, with connections of its own: for what clients read of
	// contents and attachments.
	reads *mongo.Database
	// Redis holds leases; nil without --redis-url, and then the database holds them.
	Redis    *redis.Client
	Bus      events.Bus
	Contents *contents.Store
	Mail     *mailstore.Store
	Accounts *account.Accounts
	Logins   *logins.Recorder // writes the authentication log
	Registry *sessions.Registry
	Sessions *sessions.Exchange
	Schema   *schema.Schema
	Index    *TextIndex
	Feed     *feed.Feed
	Webhooks *webhooks.Registry

	log     *slog.Logger
	closers []func() error
}

// Open opens all storage.
func Open(ctx context.Context, o Options) (_ *Node, err error) {
	n, err := OpenDatabase(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	if err := n.openBus(o.Storage); err != nil {
		return nil, err
	}
	blobs, err := blobstore.New(n.Database, blobstore.Options{
		Logger: n.log, Reads: n.reads, Ordered: o.Storage.Embedded()})
	if err != nil {
		return nil, err
	}
	n.Contents, err = contents.New(n.Database, blobs, contents.Options{
		Logger: n.log, Reads: n.reads, Ordered: o.Storage.Embedded(),
		ShortHeaders: shortheader.New(o.HeaderCache)})
	if err != nil {
		return nil, err
	}
	if err := n.openSchema(ctx, o); err != nil {
		return nil, err
	}
	if n.Embedded != nil && o.Access != Looking {
		// The data directory is this process's: who held leases before is dead.
		if err := lease.EndAll(ctx, n.Database); err != nil {
			return nil, err
		}
	}
	if err := n.openWebhooks(ctx, o.Access); err != nil {
		return nil, err
	}
	if err := n.openIndex(ctx, o.Access); err != nil {
		return nil, err
	}
	var stored func([]mailstore.StoredMail)
	if o.Access == Serving {
		stored = n.Index.add
	}
	n.Registry = sessions.NewRegistry()
	n.Sessions = sessions.New(sessions.Options{Database: n.Database, Registry: n.Registry, Logger: n.log})
	n.Mail, err = mailstore.Open(ctx, mailstore.Options{
		LoggedOut: n.endSessions,
		Database:  n.Database, Contents: n.Contents, Bus: n.Bus, Quota: o.Storage.Quota.Policy(),
		Resume: o.Access == Serving, ReadOnly: o.Access == Looking, Restored: o.Access == Restoring,
		RememberPasswords: o.PasswordCache, Scram: o.Scram, JournalKept: o.JournalKept,
		AuthlogKept: o.AuthlogKept,
		Schema:      n.Schema, Stored: stored, Watcher: n.Webhooks, Logger: n.log})
	if err != nil {
		return nil, err
	}
	if o.Migrations == nil {
		n.Schema.SetMigrations(mailstore.Migrations(n.Mail))
	}
	if o.Access == Restoring {
		if err := n.Mail.EnsureIndexes(ctx); err != nil {
			return nil, err
		}
	}
	n.closers = append(n.closers, n.closeMail)
	n.startWebhooks(o.Access)
	n.startIndex(o.Access)
	n.Logins = logins.NewRecorder(logins.RecorderOptions{Write: n.Mail.WriteLogins, Logger: n.log})
	n.closers = append(n.closers, n.Logins.Close) // before the mail store
	n.Accounts, err = account.New(account.Options{
		Store: n.Mail, Bus: n.Bus, ColumnBytes: o.ViewCache, Index: n.Index,
		Recorder: n.Logins, Masters: o.MasterUsers, Logger: n.log,
		NoSharing: o.Sharing == config.SharingOff, NoAnyone: o.Sharing == config.SharingNamed,
		SeenApart:  o.SharedSeen == config.SeenOwn,
		PublicUser: o.PublicUser})
	if err != nil {
		return nil, err
	}
	return n, nil
}

// endSessions ends the sessions of users and credentials that may no longer be logged in.
func (n *Node) endSessions(who mailstore.LoggedOut) (tell func(ctx context.Context) error) {
	target := sessions.Target{User: &who.User, Credential: string(who.Credential)}
	if who.User == (mailkey.UserID{}) && who.Credential != "" {
		target.User = nil // the credential's sessions, whose ever they are
	}
	if who.Everybody {
		target = sessions.Target{}
	}
	return n.Sessions.Ending(target)
}

// OpenDatabase opens the database alone: Redis, Bus, Contents, Mail and Accounts stay nil.
func OpenDatabase(ctx context.Context, o Options) (_ *Node, err error) {
	n := &Node{log: o.Logger, Activity: activity.New()}
	if n.log == nil {
		n.log = slog.Default()
	}
	if err := n.openDatabase(ctx, o); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	n.Database = n.Client.Database(o.Storage.MongoDBDatabase)
	return n, nil
}

// Close closes everything; the embedded database last.
func (n *Node) Close() error {
	var errs []error
	for i := len(n.closers) - 1; i >= 0; i-- {
		errs = append(errs, n.closers[i]())
	}
	n.closers = nil
	return errors.Join(errs...)
}

// closeMail closes the store. Deliveries that the database does not let end are cut off; they were
// not acknowledged.
func (n *Node) closeMail() error {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		n.Mail.Close()
	}()
	limit := time.NewTimer(closeTimeout)
	defer limit.Stop()
	select {
	case <-closed:
		return nil
	case <-limit.C:
		return fmt.Errorf("deliveries did not end within %v", closeTimeout)
	}
}

// CollectTask is the task of collections, which one process at a time does on this data.
func (n *Node) CollectTask() *lease.Task {
	return maintenance.CollectTask(n.Database, n.Redis, n.log)
}

// Collection returns the collection that runs now and then.
func (n *Node) Collection(interval, grace time.Duration) *maintenance.PeriodicCollection {
	return maintenance.NewPeriodicCollection(n.Mail, n.CollectTask(), interval, grace)
}

// Check returns the check that runs now and then, with temporary files of at most so many bytes.
func (n *Node) Check(interval time.Duration, tempSize int64) *maintenance.PeriodicCheck {
	return maintenance.NewPeriodicCheck(n.Mail, maintenance.CheckTask(n.Database, n.Redis, n.log), interval, tempSize)
}
