package mailstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/internal/contents"
	"gadwall/internal/database"
	"gadwall/internal/events"
	"gadwall/internal/mailkey"
	"gadwall/internal/proofs"
	"gadwall/internal/schema"
	"gadwall/quota"
)

// Options of a Store. Database, Contents and Bus are needed.
type Options struct {
	Database *mongo.Database
	Contents *contents.Store
	Bus      events.Bus
	Quota    quota.Policy // no limits and no warnings, if zero
	// Resume makes the Store finish, as long as it is open, deletions that were begun by processes
	// which have ended.
	Resume bool
	// ReadOnly makes Open create nothing, for somebody who only looks at what there is.
	ReadOnly bool
	// Restored opens a database whose advance is not through, to finish it. Otherwise Open refuses
	// with ErrAdvancing.
	Restored bool
	Logger   *slog.Logger // slog.Default() if nil
	// Schema tells which migrations are through; nil says that all are.
	Schema *schema.Schema
	// RememberPasswords is how long Authenticate takes a password that was right for right without
	// computing its hash; 0 computes it each time.
	RememberPasswords time.Duration
	// Scram keeps a ScramVerifier of each password: of new ones, and of those with which users log in.
	// Without it, logins remove what there is.
	Scram bool
	// ScramIterations is the cost of a verifier; 0 means DefaultScramIterations.
	ScramIterations int
	// JournalKept is how long the journal keeps expunged UIDs from now on; 0 means
	// DefaultJournalKept. For clients that were away for longer, they are found by comparing.
	JournalKept time.Duration
	// AuthlogKept is how long the authentication log keeps an entry after its latest attempt; 0 means
	// DefaultAuthlogKept.
	AuthlogKept time.Duration
	// LoggedOut, if set, is told of users who may no longer be logged in as they were: with another
	// password, suspended, or deleted; and of credentials that were revoked; also if nobody knows
	// whether that change was made. It is to end their sessions on this instance. The function that it
	// returns is to have the other instances end theirs, and is called again after an error.
	LoggedOut func(who LoggedOut) (tell func(ctx context.Context) error)
	// Stored, if set, is told of new mails after their transaction. It must not wait.
	Stored func([]StoredMail)
	// Watcher, if set, is told before the mail of a user changes.
	Watcher Watcher
	// MinRoll is how many messages a mailbox has at least whose UIDs are in a roll; 0 means DefaultMinRoll.
	MinRoll int

	// For tests.
	purgeLease         time.Duration
	batchSize          int
	transactionTimeout time.Duration
	attemptTimeout     time.Duration
	commitTimeout      time.Duration
	outagePatience     time.Duration
	deliveryWait       time.Duration
	logOutEvery        time.Duration
	settlePause        time.Duration
	transactionEnd     time.Duration
}

// A Watcher keeps something that must be there before the mail of a user changes.
type Watcher interface {
	// Before is called before each transaction of a user, and its error is that of the transaction.
	// It makes no transaction itself.
	Before(ctx context.Context, user mailkey.UserID) error
	// Forget is called when a user is removed, once or several times.
	Forget(ctx context.Context, user mailkey.UserID) error
}

// Store is the mail of one database. It is safe for concurrent use, also by several instances.
type Store struct {
	db       *mongo.Database
	contents *contents.Store
	bus      events.Bus
	log      *slog.Logger
	quota    *quota.Keeper
	schema   *schema.Schema
	stored   func([]StoredMail)
	watcher  Watcher

	loggedOut func(who LoggedOut) (tell func(ctx context.Context) error)

	scram      bool
	scramCost  int
	scramMu    sync.Mutex
	scramKnown []byte // the secret of scramSecret; nil until it is known

	journalKept time.Duration
	authlogKept time.Duration

	users, addresses, mailboxes, subscriptions, messages, journal, state, tokens, sending *mongo.Collection
	shares, seen, authlog, domains, metadata, rollDocs                                    *mongo.Collection
	readOnly                                                                              bool
	// clustered says that the database keeps messages in the order of _id and has no separate index
	// on it.
	clustered bool
	// missing has the names of indexes of messages that were not there when the store was opened.
	missing map[string]bool
	// uidsFromIndex says that the UIDs of a mailbox are best read from the index on mod-sequences:
	// in a clustered collection the key is where the documents are, and the index is far smaller,
	// if the server answers from the index alone.
	uidsFromIndex bool

	purgeLease         time.Duration
	batchSize          int // maxBatch
	transactionTimeout time.Duration
	attemptTimeout     time.Duration
	commitTimeout      time.Duration
	outagePatience     time.Duration
	deliveryWait       time.Duration
	logOutEvery        time.Duration
	settlePause        time.Duration
	transactionEnd     time.Duration

	unsettled    unsettled
	untold       untold
	locks        userLocks
	domainTable  atomic.Pointer[map[string]domainDoc]
	heads        heads
	inboxes      inboxes
	names        remembered[mailkey.UserID]
	paths        remembered[mailkey.Mailbox] // by pathName
	rolls        rollMarks
	minRoll      int64
	addressClock database.Clock // of the latest change of addresses by this process
	queues       deliveryQueues
	transactions chan struct{} // semaphore
	long         chan struct{} // semaphore: see pacer
	traffic      traffic
	hashing      *hashing
	verified     *proofs.Cache[struct{}] // passwords that were right

	// base ends with Close; background counts the goroutines that end then at the latest.
	base       context.Context
	stop       context.CancelFunc
	mu         sync.Mutex // guards closed, and starting goroutines against Close
	closed     bool
	background sync.WaitGroup
}

// ErrClosed: the Store was closed.
var ErrClosed = errors.New("mailstore: closed")

// Open creates what is missing of the collections and indexes, unless told not to. The caller owns
// the Store and must close it.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Database == nil || o.Contents == nil || o.Bus == nil {
		return nil, errors.New("mailstore: Database, Contents and Bus are required")
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	committed := database.Committed()
	s := &Store{
		db: o.Database, contents: o.Contents, bus: o.Bus, log: o.Logger,
		schema:        o.Schema,
		users:         o.Database.Collection(collUsers, committed),
		addresses:     o.Database.Collection(collAddresses, committed),
		mailboxes:     o.Database.Collection(collMailboxes, committed),
		subscriptions: o.Database.Collection(collSubscriptions, committed),
		messages:      o.Database.Collection(collMessages, committed),
		journal:       o.Database.Collection(collJournal, committed),
		state:         o.Database.Collection(collState, committed),
		tokens:        o.Database.Collection(collTokens, committed),
		sending:       o.Database.Collection(collSending, committed),
		shares:        o.Database.Collection(collShares, committed),
		seen:          o.Database.Collection(collSeen, committed),
		authlog:       o.Database.Collection(collAuthlog, committed),
		domains:       o.Database.Collection(collDomains, committed),
		metadata:      o.Database.Collection(collMetadata, committed),
		rollDocs:      o.Database.Collection(collRolls, database.Collection().SetWriteConcern(database.Soon())),
		readOnly:      o.ReadOnly,
		minRoll:       int64(cmp.Or(o.MinRoll, DefaultMinRoll)),
		stored:        o.Stored,
		loggedOut:     o.LoggedOut,
		watcher:       o.Watcher,
		journalKept:   cmp.Or(o.JournalKept, DefaultJournalKept),
		authlogKept:   cmp.Or(o.AuthlogKept, DefaultAuthlogKept),
		transactions:  make(chan struct{}, maxTransactions),
		long:          make(chan struct{}, longOperations()),
		hashing:       newHashing(),
		scram:         o.Scram,
		scramCost:     cmp.Or(o.ScramIterations, DefaultScramIterations),
		verified:      proofs.New[struct{}](o.RememberPasswords, maxVerified),
		purgeLease:    cmp.Or(o.purgeLease, purgeLease),
		batchSize:     cmp.Or(o.batchSize, maxBatch),

		transactionTimeout: cmp.Or(o.transactionTimeout, transactionTimeout),
		attemptTimeout:     cmp.Or(o.attemptTimeout, attemptTimeout),
		commitTimeout:      cmp.Or(o.commitTimeout, commitTimeout),
		outagePatience:     cmp.Or(o.outagePatience, outagePatience),
		deliveryWait:       cmp.Or(o.deliveryWait, deliveryWait),
		logOutEvery:        cmp.Or(o.logOutEvery, logOutEvery),
		settlePause:        cmp.Or(o.settlePause, settlePause),
		transactionEnd:     cmp.Or(o.transactionEnd, transactionEnd),
	}
	s.quota = quota.New(s.users, notSet(userDeleting), o.Quota)
	var err error
	if o.ReadOnly {
		s.clustered, err = s.isClustered(ctx)
	} else {
		err = s.ensureCollections(ctx)
	}
	if err == nil && !o.ReadOnly && !o.Restored {
		err = s.checkAdvanced(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("mailstore: %w", err)
	}
	if err := s.loadDomains(ctx); err != nil {
		return nil, fmt.Errorf("mailstore: %w", err)
	}
	s.base, s.stop = context.WithCancel(context.Background())
	if o.Resume {
		s.spawn(func() { s.followDomains(s.base) })
		s.spawn(func() { s.resumeLoop(s.base) })
	}
	return s, nil
}

// Close ends the background work and waits for deliveries that have begun. Later calls fail, or do
// without background work.
func (s *Store) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.hashing.stop()
	s.background.Wait()
}

// spawn runs f in a goroutine that Close waits for. It reports false if the Store is closed.
func (s *Store) spawn(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.background.Go(f)
	return true
}

// inBackground runs f until it or the Store ends. It waits for the end of f, at most until ctx ends
// or wait is over.
func (s *Store) inBackground(ctx context.Context, wait time.Duration, f func(ctx context.Context)) {
	done := make(chan struct{})
	if !s.spawn(func() { defer close(done); f(database.Follow(s.base, ctx)) }) {
		return
	}
	patience := time.NewTimer(wait)
	defer patience.Stop()
	select {
	case <-done:
	case <-patience.C:
	case <-ctx.Done():
	}
}

// Contents returns the store of the messages' contents.
func (s *Store) Contents() *contents.Store { return s.contents }

// MessageCollection returns the collection of messages.
func (s *Store) MessageCollection() *mongo.Collection { return s.messages }

// link returns a context for one call of the database, and what to call after it. See database.Link.
func (s *Store) link(ctx context.Context) (linked context.Context, end func()) {
	return database.Link(ctx, s.db.Client())
}

// notSet is the condition that a marker field is absent.
func notSet(field string) bson.E {
	return bson.E{Key: field, Value: bson.D{{Key: "$exists", Value: false}}}
}

// byID is the filter for one document.
func byID(id bson.Binary) bson.D { return bson.D{{Key: "_id", Value: id}} }

// byKey is the hint for queries that name _id and, for a sharded cluster or as a condition, fields
// of which there is an index, too.
var byKey = bson.D{{Key: "_id", Value: 1}}

// byBox is the filter for the document of a mailbox. It names the user, by whom a sharded cluster
// finds the shard.
func byBox(key mailkey.Mailbox) bson.D {
	return append(byID(key.Binary()), bson.E{Key: boxUser, Value: key.User().Binary()})
}

// byOwner is byBox for the key of a mailbox, and byID for the id of a user.
func byOwner(id bson.Binary) bson.D {
	if len(id.Data) != len(mailkey.Mailbox{}) {
		return byID(id)
	}
	return byBox(mailkey.Mailbox(id.Data))
}

// allBoxes is the filter for all mailboxes of a user, in the order of their keys.
func allBoxes(user mailkey.UserID) bson.D {
	return bson.D{{Key: "_id", Value: bson.D{
		{Key: "$gte", Value: user.Mailbox(0).Binary()},
		{Key: "$lte", Value: user.Mailbox(math.MaxUint32).Binary()}}},
		{Key: boxUser, Value: user.Binary()}}
}

// publish wakes up the sessions that look at the mailbox's user. The bus logs and counts its own
// failures.
func (s *Store) publish(ctx context.Context, key mailkey.Mailbox, kind events.Kind, modseq uint64, uids []uint32) {
	if len(uids) > events.MaxUIDs {
		uids = nil
	}
	_ = s.bus.Publish(context.WithoutCancel(ctx), events.Event{
		User: key.User(), Mailbox: key.Number(), ModSeq: modseq, Kind: kind, UIDs: uids,
	})
}

// warn reports that a committed charge took a user's usage to a level.
func (s *Store) warn(ctx context.Context, user mailkey.UserID, crossed []quota.Crossing) {
	if len(crossed) == 0 {
		return
	}
	name := "" // unknown if the user was deleted meanwhile
	lookup, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	if u, err := s.UserByID(lookup, user); err == nil {
		name = u.Username
	}
	cancel()
	for _, c := range crossed {
		s.log.Warn("quota: usage has reached a level", "user", name, "id", user.String(),
			"resource", string(c.Resource), "level", c.Level, "usage", c.Usage, "limit", c.Limit)
		_ = s.bus.Publish(context.WithoutCancel(ctx), events.Event{User: user, Kind: events.Quota,
			Quota: &events.QuotaLevel{
				Resource: string(c.Resource), Level: c.Level, Usage: c.Usage, Limit: c.Limit}})
	}
}

// publishList wakes up the sessions that look at the user's list of mailboxes. note is the number of the
// entry in the user's journal that tells of the change; 0 if none does.
func (s *Store) publishList(ctx context.Context, user mailkey.UserID, note int64) {
	_ = s.bus.Publish(context.WithoutCancel(ctx),
		events.Event{User: user, Kind: events.MailboxList, ModSeq: uint64(note)})
}

// publishMetadata wakes up the sessions that look at the metadata of a mailbox, or of the user.
func (s *Store) publishMetadata(ctx context.Context, box mailkey.Mailbox) {
	_ = s.bus.Publish(context.WithoutCancel(ctx),
		events.Event{User: box.User(), Mailbox: box.Number(), Kind: events.Metadata})
}
