package dictionary

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/dedupe"
	"gadwall/internal/database"
)

// Collection is the name of the collection of trained dictionaries.
const Collection = "dictionaries"

const (
	// A Set that is asked for the current dictionaries looks for newer ones every RefreshInterval.
	RefreshInterval = time.Minute

	// refreshTimeout bounds this look-up. Until it ends, the Set returns the old dictionaries.
	refreshTimeout = 5 * time.Second
)

// A Set is the shipped dictionaries and those in a database. It is safe for concurrent use.
type Set struct {
	coll *mongo.Collection
	log  *slog.Logger

	mu      sync.Mutex
	known   map[ID]*Dictionary // trained ones
	current Current
	checked time.Time // when current was looked for
}

// NewSet returns the Set of a database. Without a logger it logs to slog.Default().
func NewSet(db *mongo.Database, log *slog.Logger) *Set {
	if log == nil {
		log = slog.Default()
	}
	return (&Set{coll: db.Collection(Collection, database.Collection()), log: log}).Unread()
}

// Unread returns a Set of the same database that knows none of its dictionaries yet, so that a
// check reads what is stored.
func (s *Set) Unread() *Set {
	return &Set{coll: s.coll, log: s.log, known: make(map[ID]*Dictionary), current: Shipped()}
}

// document is a dictionary in the database.
type document struct {
	ID          int64     `bson:"_id"`
	Kind        string    `bson:"kind"`
	Data        []byte    `bson:"data"`
	Sum         []byte    `bson:"sum,omitempty"` // BLAKE3-256 of data; the first ones have none
	Created     time.Time `bson:"created"`
	Samples     int64     `bson:"samples"`
	SampleBytes int64     `bson:"sampleBytes"`
}

// Info describes a trained dictionary.
type Info struct {
	ID          ID
	Kind        Kind
	Size        int
	Created     time.Time
	Samples     int64
	SampleBytes int64
}

// Current returns the dictionaries for new frames. If the look-up fails, it logs that and returns
// those last known.
func (s *Set) Current(ctx context.Context) Current {
	s.mu.Lock()
	if time.Since(s.checked) < RefreshInterval {
		defer s.mu.Unlock()
		return s.current
	}
	s.checked = time.Now() // others go on with what there is
	current := s.current
	s.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	for kind := range Kind(Kinds) {
		d, err := s.newest(ctx, kind)
		if err != nil {
			s.log.WarnContext(ctx, "cannot look for newer dictionaries", "error", err)
			return current
		}
		if d != nil {
			current[kind] = d
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = current
	return current
}

// newest returns the newest trained dictionary of a kind, or nil.
func (s *Set) newest(ctx context.Context, kind Kind) (*Dictionary, error) {
	var found struct {
		ID int64 `bson:"_id"`
	}
	err := s.coll.FindOne(ctx, bson.D{{Key: "kind", Value: kind.String()}},
		options.FindOne().SetSort(bson.D{{Key: "created", Value: -1}, {Key: "_id", Value: -1}}).
			SetProjection(bson.D{{Key: "_id", Value: 1}})).Decode(&found)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return s.Get(ctx, ID(found.ID))
}

// Get returns the dictionary of an ID, nil for 0. The error is ErrUnknown if there is none,
// ErrMalformed if it was changed. Get reads the database for a dictionary that it does not know
// yet.
func (s *Set) Get(ctx context.Context, id ID) (*Dictionary, error) {
	if id == 0 {
		return nil, nil
	}
	if d := shipped()[id]; d != nil {
		return d, nil
	}
	s.mu.Lock()
	d := s.known[id]
	s.mu.Unlock()
	if d != nil {
		return d, nil
	}
	raw, err := s.coll.FindOne(ctx, bson.D{{Key: "_id", Value: int64(id)}}).Raw()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, fmt.Errorf("%w: %d", ErrUnknown, id)
	}
	if err != nil {
		return nil, fmt.Errorf("load dictionary %d: %w", id, err)
	}
	if d, err = read(raw, id); err != nil {
		return nil, fmt.Errorf("load dictionary %d: %w", id, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.known[id]; other != nil {
		return other, nil // loaded by two at a time
	}
	s.known[id] = d
	return d, nil
}

// read makes a dictionary from its document. The error is ErrMalformed. A dictionary with a single
// wrong byte would decode frames to other mail without an error, so the document has a sum.
func read(raw bson.Raw, id ID) (*Dictionary, error) {
	var doc document
	if err := bson.Unmarshal(raw, &doc); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	if sum := dedupe.Sum(doc.Data); len(doc.Sum) > 0 && !bytes.Equal(doc.Sum, sum[:]) {
		return nil, fmt.Errorf("%w: its bytes were changed", ErrMalformed)
	}
	kind, err := parseKind(doc.Kind)
	if err != nil {
		return nil, err
	}
	d, err := New(kind, doc.Data)
	if err == nil && d.id != id {
		err = fmt.Errorf("%w: it is %d", ErrMalformed, d.id)
	}
	return d, err
}

// Add makes a dictionary trained on those samples durable, and from then on the current one of its
// kind.
func (s *Set) Add(ctx context.Context, d *Dictionary, samples [][]byte) error {
	if d.id < firstTrained || d.id > lastTrained {
		return fmt.Errorf("store dictionary %d: %w: the ID is not one for trained ones", d.id, ErrMalformed)
	}
	var size int64
	for _, b := range samples {
		size += int64(len(b))
	}
	sum := dedupe.Sum(d.data)
	_, err := s.coll.InsertOne(ctx, document{
		ID: int64(d.id), Kind: d.kind.String(), Data: d.data, Sum: sum[:], Created: time.Now().UTC(),
		Samples: int64(len(samples)), SampleBytes: size,
	})
	if err != nil {
		// also if the ID is taken: a chance of nearly nothing
		return fmt.Errorf("store dictionary %d: %w", d.id, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[d.id] = d
	s.current[d.kind] = d
	return nil
}

// List returns the trained dictionaries, oldest first.
func (s *Set) List(ctx context.Context) ([]Info, error) {
	cur, err := s.coll.Find(ctx, bson.D{}, options.Find().SetSort(bson.D{{Key: "created", Value: 1}}))
	if err != nil {
		return nil, fmt.Errorf("list dictionaries: %w", err)
	}
	defer cur.Close(ctx)
	var list []Info
	for cur.Next(ctx) {
		var doc document
		if err := cur.Decode(&doc); err != nil {
			return nil, fmt.Errorf("list dictionaries: %w", err)
		}
		kind, err := parseKind(doc.Kind)
		if err != nil {
			return nil, fmt.Errorf("dictionary %d: %w", doc.ID, err)
		}
		list = append(list, Info{ID(doc.ID), kind, len(doc.Data), doc.Created, doc.Samples, doc.SampleBytes})
	}
	if err := cur.Err(); err != nil {
		return nil, fmt.Errorf("list dictionaries: %w", err)
	}
	return list, nil
}
