package blobstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/dedupe"
	"gadwall/internal/database"
)

// The collections, by GridFS's naming for the bucket "blobs".
const (
	FilesCollection  = "blobs.files"
	ChunksCollection = "blobs.chunks"
)

var (
	// ErrNotFound reports a hash under which no blob is stored.
	ErrNotFound = errors.New("blob does not exist")

	// ErrTooLarge reports a blob of more than MaxFrames frames.
	ErrTooLarge = errors.New("blob is too large")

	// ErrTooSlow reports an upload that took longer than MaxUploadTime.
	ErrTooSlow = errors.New("upload of blob took too long")

	// ErrCorrupt reports stored documents that contradict each other.
	ErrCorrupt = errors.New("stored blob is damaged")

	// ErrRange reports a range outside of the blob.
	ErrRange = errors.New("range is outside of the blob")
)

// Options configure a Store.
type Options struct {
	// Logger gets a line for each clean-up that failed; slog.Default() if nil.
	Logger *slog.Logger
	// Clock gives the time with which references are marked; time.Now if nil.
	Clock func() time.Time
	// Ordered says that the database makes writes durable in the order in which it acknowledges them:
	// then nobody waits for blobs and their references, and the commit that needs them makes them
	// durable, see database.Preceding.
	Ordered bool
	// Reads, if not nil, is the same database by another client: chunks are read through it, so that
	// many large reads do not take the connections that small writes need.
	Reads *mongo.Database
	// OneChunkAtATime lets an upload wait for each chunk before it goes on, and start no goroutine:
	// for tests that decide what happens to each command.
	OneChunkAtATime bool
}

// Store reads and writes blobs. It is safe for concurrent use.
type Store struct {
	files, chunks *mongo.Collection
	reads         *mongo.Collection // chunks, for readers
	refs          *dedupe.Counter
	log           *slog.Logger
	cache         *FrameCache
	ahead         chan struct{} // semaphore: chunksAtATime
}

// New returns a Store on the collections of db.
func New(db *mongo.Database, opts Options) (*Store, error) {
	if db == nil {
		return nil, errors.New("blobstore: no database")
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	coll := database.Preceding(opts.Ordered)
	files := db.Collection(FilesCollection, coll)
	if opts.Reads == nil {
		opts.Reads = db
	}
	ahead := chunksAtATime
	if opts.OneChunkAtATime {
		ahead = 0
	}
	return &Store{
		files:  files,
		chunks: db.Collection(ChunksCollection, coll),
		reads:  opts.Reads.Collection(ChunksCollection, coll),
		refs:   dedupe.NewCounter(files, "metadata.hash", "metadata.").WithClock(opts.Clock),
		log:    opts.Logger,
		ahead:  make(chan struct{}, ahead),
	}, nil
}

// EnsureIndexes creates the indexes that readers and writers need.
func (s *Store) EnsureIndexes(ctx context.Context) error {
	return database.CreateIndexes(ctx, s.Indexes())
}

// Forms returns how the collections are to be stored. Chunks are compressed already, or do not
// compress.
func Forms() []database.Form {
	return []database.Form{{Name: FilesCollection, Compressor: database.Zstd},
		{Name: ChunksCollection, Compressor: database.Uncompressed}}
}

// Indexes returns the indexes that readers and writers need.
func (s *Store) Indexes() []database.Indexes {
	return []database.Indexes{
		{Collection: s.files, Models: []mongo.IndexModel{
			{
				Keys:    bson.D{{Key: "metadata.hash", Value: 1}},
				Options: options.Index().SetName("hash").SetUnique(true),
			},
			{
				Keys: bson.D{{Key: "metadata.head", Value: 1}},
				Options: options.Index().SetName("head").
					SetPartialFilterExpression(bson.D{{Key: "metadata.head",
						Value: bson.D{{Key: "$exists", Value: true}}}}),
			},
			s.refs.UnusedIndex(),
		}, Optional: []string{dedupe.IndexUnused}},
		{Collection: s.chunks, Models: []mongo.IndexModel{{
			Keys:    bson.D{{Key: "files_id", Value: 1}, {Key: "n", Value: 1}},
			Options: options.Index().SetName("files_id_1_n_1").SetUnique(true),
		}}},
	}
}

// WithCache returns a Store on the same blobs, whose reads keep frames in cache.
func (s *Store) WithCache(cache *FrameCache) *Store {
	t := *s
	t.cache = cache
	return &t
}

// exists reports whether there is a blob of that hash. It takes no reference, so the blob may be
// gone a moment later.
func (s *Store) exists(ctx context.Context, hash dedupe.Hash) (bool, error) {
	err := s.files.FindOne(ctx, bson.D{{Key: "metadata.hash", Value: hash.Binary()}},
		options.FindOne().SetProjection(bson.D{{Key: "_id", Value: 1}})).Err()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for blob %v: %w", hash, err)
	}
	return true, nil
}

// Files returns the collection of the files documents.
func (s *Store) Files() *mongo.Collection { return s.files }

// Refs returns the counter of the references to blobs.
func (s *Store) Refs() *dedupe.Counter { return s.refs }
