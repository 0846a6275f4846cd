package contents

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/blobstore"
	"gadwall/dedupe"
	"gadwall/internal/database"
	"gadwall/internal/dictionary"
	"gadwall/internal/shortheader"
)

// Collection is the name of the collection of content documents.
const Collection = "contents"

var (
	// ErrNotFound reports a content that does not exist.
	ErrNotFound = errors.New("content does not exist")

	// ErrCorrupt reports a content document that contradicts itself.
	ErrCorrupt = errors.New("stored content is damaged")

	// ErrTooSlow reports a content that took longer than dedupe.MaxHold to write.
	ErrTooSlow = errors.New("writing the content took too long")

	// ErrRange reports a range outside of the content.
	ErrRange = errors.New("range is outside of the content")
)

// IsUnreadable reports whether an error says that stored octets are missing or damaged: other
// messages can be read all the same. Any other error is trouble that may pass.
func IsUnreadable(err error) bool {
	return errors.Is(err, ErrCorrupt) || errors.Is(err, blobstore.ErrCorrupt) ||
		errors.Is(err, blobstore.ErrNotFound) || errors.Is(err, dedupe.ErrMissing) || database.IsDamaged(err)
}

// ID names a content: the BLAKE3-256 of its bytes.
type ID dedupe.Hash

// String returns the ID in hexadecimal.
func (id ID) String() string { return dedupe.Hash(id).String() }

// A Ref is one reference to a content. Its referrer keeps ID and magic.
type Ref struct {
	ID    ID
	Magic dedupe.Magic
}

// Options configure a Store.
type Options struct {
	// Logger gets a line for each clean-up that failed; slog.Default() if nil.
	Logger *slog.Logger
	// Clock gives the time with which references are marked; time.Now if nil.
	Clock func() time.Time
	// Ordered is blobstore.Options.Ordered: contents and references precede the commit of the message.
	Ordered bool
	// Reads, if not nil, is the same database by another client, through which contents are loaded.
	// See blobstore.Options.
	Reads *mongo.Database
	// ShortHeaders keeps short headers; nil keeps none.
	ShortHeaders *shortheader.Cache
}

// Store reads and writes contents. It is safe for concurrent use.
type Store struct {
	coll  *mongo.Collection
	reads *mongo.Collection // coll, to load contents
	blobs *blobstore.Store
	dicts *dictionary.Set
	refs  *dedupe.Counter
	log   *slog.Logger
	cache *blobstore.FrameCache
	short *shortheader.Cache
	stats *stats
	// blobThreshold and textThreshold are the constants of these names. Measurements change them.
	blobThreshold, textThreshold int
}

// New returns a Store on the collection of db, with its large bodies in blobs.
func New(db *mongo.Database, blobs *blobstore.Store, opts Options) (*Store, error) {
	if db == nil || blobs == nil {
		return nil, errors.New("contents: no database or no blob store")
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	coll := db.Collection(Collection, database.Preceding(opts.Ordered))
	if opts.Reads == nil {
		opts.Reads = db
	}
	return &Store{
		coll:  coll,
		reads: opts.Reads.Collection(Collection, database.Preceding(opts.Ordered)),
		blobs: blobs,
		dicts: dictionary.NewSet(db, opts.Logger),
		refs:  dedupe.NewCounter(coll, "_id", "").WithClock(opts.Clock),
		log:   opts.Logger,
		short: opts.ShortHeaders,
		stats: new(stats),

		blobThreshold: BlobThreshold,
		textThreshold: TextThreshold,
	}, nil
}

// Dictionaries returns the dictionaries that compress frames.
func (s *Store) Dictionaries() *dictionary.Set { return s.dicts }

// EnsureIndexes creates the indexes that readers and writers need, those of the blobs included.
func (s *Store) EnsureIndexes(ctx context.Context) error {
	if err := database.CreateCollections(ctx, s.coll.Database(), Forms()); err != nil {
		return err
	}
	return database.CreateIndexes(ctx, s.Indexes())
}

// Forms returns how the collections of contents and blobs are to be stored. Frames and chunks are
// compressed already.
func Forms() []database.Form {
	return append([]database.Form{{Name: Collection, Compressor: database.Uncompressed}}, blobstore.Forms()...)
}

// Indexes returns the indexes that readers and writers need, those of the blobs included. Readers
// find contents by _id; only the collector needs an index.
func (s *Store) Indexes() []database.Indexes {
	own := database.Indexes{Collection: s.coll, Models: []mongo.IndexModel{s.refs.UnusedIndex()},
		Optional: []string{dedupe.IndexUnused}}
	return append([]database.Indexes{own}, s.blobs.Indexes()...)
}

// WithCache returns a Store on the same contents, whose reads keep decoded frames in cache: one per
// session. Nil is no cache.
func (s *Store) WithCache(cache *blobstore.FrameCache) *Store {
	t := *s
	t.cache = cache
	t.blobs = s.blobs.WithCache(cache)
	return &t
}

// AddRefs counts references to contents that exist: all, or none and a dedupe.MissingError. The
// caller writes no referrer before it returns.
func (s *Store) AddRefs(ctx context.Context, refs []Ref) error {
	return s.refs.AddMany(ctx, hashRefs(refs))
}

// ReleaseRefs takes back references whose referrers are gone. It returns dedupe.ErrNotHeld if some
// are not counted. On any other error the caller must not call it again for them: see package
// dedupe.
func (s *Store) ReleaseRefs(ctx context.Context, refs []Ref) error {
	return s.refs.RemoveMany(ctx, hashRefs(refs))
}

func hashRefs(refs []Ref) []dedupe.Ref {
	out := make([]dedupe.Ref, len(refs))
	for i, r := range refs {
		out[i] = dedupe.Ref{Hash: dedupe.Hash(r.ID), Magic: r.Magic}
	}
	return out
}
