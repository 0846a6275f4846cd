package webhooks

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/database"
	"gadwall/internal/events"
	"gadwall/internal/feed"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
)

// Collections.
const (
	collHooks   = "webhooks"
	collReaders = "webhookreaders"
	collLetters = "webhookletters"
)

// Options of a Registry. Database is required.
type Options struct {
	Database *mongo.Database
	// ReadOnly makes Open create nothing.
	ReadOnly bool
	Logger   *slog.Logger // slog.Default() if nil
}

// A Registry knows the hooks, and where each is with each user. It is safe for concurrent use.
type Registry struct {
	hooks, readers, letters *mongo.Collection
	log                     *slog.Logger
	now                     func() time.Time
	feed                    *feed.Feed
	// wake has an element when a reader may be due, changed when there are other hooks than before.
	wake, changed chan struct{}

	mu      sync.Mutex
	active  []*Hook // those that are not removed, paused ones included
	left    bool    // a removed hook may have left something
	tracked map[readerKey]bool

	keyOnce sync.Mutex
	linkKey []byte
}

// Open reads which hooks there are.
func Open(ctx context.Context, o Options) (*Registry, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if !o.ReadOnly {
		if err := database.CreateCollections(ctx, o.Database, Forms()); err != nil {
			return nil, fmt.Errorf("webhooks: %w", err)
		}
		if _, err := database.CreateWhereEmpty(ctx, Indexes(o.Database)); err != nil {
			return nil, fmt.Errorf("webhooks: %w", err)
		}
	}
	in := func(name string) *mongo.Collection { return o.Database.Collection(name, database.Committed()) }
	r := &Registry{
		hooks: in(collHooks), readers: in(collReaders), letters: in(collLetters), log: o.Logger,
		now:  func() time.Time { return time.Now().UTC().Truncate(time.Millisecond) },
		wake: make(chan struct{}, 1), changed: make(chan struct{}, 1), tracked: make(map[readerKey]bool),
	}
	return r, r.refresh(ctx)
}

// Forms returns how the collections are to be stored.
func Forms() []database.Form {
	return []database.Form{{Name: collHooks}, {Name: collReaders}, {Name: collLetters, Compressor: database.Zstd}}
}

// Indexes returns the indexes of the collections.
func Indexes(db *mongo.Database) []database.Indexes {
	in := func(name string) *mongo.Collection { return db.Collection(name, database.Collection()) }
	index := func(name string, keys ...string) mongo.IndexModel {
		var spec bson.D
		for _, k := range keys {
			spec = append(spec, bson.E{Key: k, Value: 1})
		}
		return mongo.IndexModel{Keys: spec, Options: options.Index().SetName(name)}
	}
	old := index("expires", letterExpires)
	old.Options.SetExpireAfterSeconds(0)
	return []database.Indexes{
		{Collection: in(collReaders), Models: []mongo.IndexModel{index(indexDue, readerHook, readerDue)}},
		{Collection: in(collLetters), Models: []mongo.IndexModel{index(indexHook, letterHook, letterAt), old},
			Optional: []string{"expires"}},
	}
}

// Follow says which feed tells what happens, before the first change.
func (r *Registry) Follow(f *feed.Feed) { r.feed = f }

// Run keeps the list of hooks current until ctx ends.
func (r *Registry) Run(ctx context.Context) {
	ticker := time.NewTicker(refreshInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := r.refresh(ctx); err != nil && ctx.Err() == nil {
			r.log.Warn("webhooks: those of before hold", "error", err)
		}
	}
}

func (r *Registry) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	list, err := r.find(ctx, bson.D{{Key: "$or", Value: bson.A{live(), bson.D{{Key: "removed", Value: true}}}}})
	if err != nil {
		return err
	}
	all := len(list)
	list = slices.DeleteFunc(list, func(h *Hook) bool { return h.removed })
	left := len(list) < all
	r.mu.Lock()
	defer r.mu.Unlock()
	if left && !r.left || !slices.EqualFunc(list, r.active, same) {
		tell(r.changed)
	}
	r.active, r.left = list, left
	return nil
}

// idle reports whether there is nothing for a sender to do.
func (r *Registry) idle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.active) == 0 && !r.left
}

// tell puts an element into a channel for one.
func tell(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// list returns the hooks as this process knows them. The caller does not change them.
func (r *Registry) list() []*Hook {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.active
}

// Before implements mailstore.Watcher: the hooks of a user have readers before the user's mail
// changes. So nothing that happens later is missed.
func (r *Registry) Before(ctx context.Context, user mailkey.UserID) error {
	missing := r.untracked(user)
	if len(missing) == 0 {
		return nil
	}
	since, err := r.feed.Now(ctx, user)
	if errors.Is(err, mailstore.ErrNoSuchUser) {
		return nil // on the way out
	}
	if err != nil {
		return fmt.Errorf("webhooks: %w", err)
	}
	for _, key := range missing {
		if err := r.insertReader(ctx, key, since); err != nil {
			return fmt.Errorf("webhooks: %w", err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.tracked) > maxTracked {
		clear(r.tracked)
	}
	for _, key := range missing {
		r.tracked[key] = true
	}
	return nil
}

// untracked returns the readers of a user that this process has not seen yet.
func (r *Registry) untracked(user mailkey.UserID) (missing []readerKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.active {
		if key := newReaderKey(user, h.ID); h.of(user) && !r.tracked[key] {
			missing = append(missing, key)
		}
	}
	return missing
}

// Forget implements mailstore.Watcher: a user is gone.
func (r *Registry) Forget(ctx context.Context, user mailkey.UserID) error {
	for _, h := range r.list() {
		if !h.of(user) {
			continue
		}
		if err := r.deleteReader(ctx, newReaderKey(user, h.ID)); err != nil {
			return fmt.Errorf("webhooks: %w", err)
		}
	}
	return nil
}

var _ mailstore.Watcher = (*Registry)(nil)

// Bus returns a bus that makes readers due when something is published.
func (r *Registry) Bus(b events.Bus) events.Bus { return &bus{b, r} }

type bus struct {
	events.Bus
	registry *Registry
}

// Unwrap returns the bus that has the events of this one.
func (b *bus) Unwrap() events.Bus { return b.Bus }

// Publish implements events.Bus.
func (b *bus) Publish(ctx context.Context, ev events.Event) error {
	b.registry.mark(ctx, ev)
	return b.Bus.Publish(ctx, ev)
}

// mark makes the readers due for whose hooks there may be something. A failure delays what happened
// until the next change of the user.
func (r *Registry) mark(ctx context.Context, ev events.Event) {
	var keys bson.A
	for _, h := range r.list() {
		if h.of(ev.User) && h.mayWant(ev.Kind) {
			keys = append(keys, newReaderKey(ev.User, h.ID).binary())
		}
	}
	if len(keys) == 0 {
		return
	}
	// The change is committed: that its client has gone does not matter.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), markTimeout)
	defer cancel()
	if err := r.markDue(ctx, keys); err != nil {
		r.log.Warn("webhooks hear of a change with the user's next one", "user", hex.EncodeToString(ev.User[:]),
			"error", err)
		return
	}
	tell(r.wake)
}

// Waiting returns for how many users hooks have something to get, up to 10,000 for each hook.
func (r *Registry) Waiting(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var sum int64
	for _, h := range r.list() {
		// Far in the future: also those that have a pause.
		n, err := r.readers.CountDocuments(ctx, dueAt(h.ID, r.now().Add(2*lastRetry)),
			options.Count().SetHint(indexDue).SetLimit(countMost))
		if err != nil {
			return 0, fmt.Errorf("count what waits: %w", err)
		}
		sum += n
	}
	return sum, nil
}
