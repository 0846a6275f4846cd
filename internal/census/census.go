package census

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/contents"
	"gadwall/internal/database"
	"gadwall/internal/lease"
	"gadwall/internal/mailstore"
)

const (
	collection = "state"
	documentID = "census"
	taskName   = "census"
)

// A Census is what was found.
type Census struct {
	Taken time.Time     `bson:"taken"` // when it ended
	Took  time.Duration `bson:"took"`

	Users     int64 `bson:"users"`
	Mailboxes int64 `bson:"mailboxes"`
	Messages  int64 `bson:"messages"`
	Received  int64 `bson:"received"`

	Collections []Collection `bson:"collections"`
	// Contents is how many there are, Sampled how many of them the classes are made of.
	Contents int64   `bson:"contents"`
	Sampled  int64   `bson:"sampled"`
	Classes  []Class `bson:"classes"`

	LargestUsers     []mailstore.Large `bson:"largestUsers"`
	LargestMailboxes []mailstore.Large `bson:"largestMailboxes"`
}

// A Collection is what a collection takes in the database.
type Collection struct {
	Name      string `bson:"name"`
	Documents int64  `bson:"documents"`
	Bytes     int64  `bson:"bytes"`  // of the documents
	Stored    int64  `bson:"stored"` // what they take on disk
	Indexes   int64  `bson:"indexes"`
}

// A Class is what mail of one sort takes, in octets.
type Class struct {
	Name     string `bson:"name"`
	Received int64  `bson:"received"`
	Decoded  int64  `bson:"decoded"`
	Once     int64  `bson:"once"`
	Stored   int64  `bson:"stored"`
}

// Options of a Taker. Database, Mail and Contents are needed.
type Options struct {
	Database *mongo.Database
	Redis    *redis.Client // for the lease; nil without
	Mail     *mailstore.Store
	Contents *contents.Store
	Logger   *slog.Logger // nil is slog.Default()
	// Clock is the time; time.Now if nil.
	Clock func() time.Time
}

// A Taker takes a census when one is asked for and the last is old.
type Taker struct {
	o     Options
	log   *slog.Logger
	state *mongo.Collection

	base    context.Context
	stop    context.CancelFunc
	working sync.WaitGroup

	mu      sync.Mutex
	running bool
	retry   time.Time // no census begins before
	closed  bool
}

// New returns a Taker. The caller closes it.
func New(o Options) *Taker {
	t := &Taker{o: o, log: o.Logger, state: o.Database.Collection(collection, database.Collection())}
	if t.log == nil {
		t.log = slog.Default()
	}
	if t.o.Clock == nil {
		t.o.Clock = time.Now
	}
	t.base, t.stop = context.WithCancel(context.Background())
	return t
}

// Close ends a census that is being taken, and waits for its end.
func (t *Taker) Close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.stop()
	t.working.Wait()
}

// Latest returns the latest census, nil if there is none yet, and begins another if that is old. running
// says that this instance takes one just now.
func (t *Taker) Latest(ctx context.Context) (latest *Census, running bool, err error) {
	if latest, err = t.Taken(ctx); err != nil {
		return nil, false, err
	}
	return latest, t.begin(latest), nil
}

// Taken returns the latest census, nil if there is none yet. It begins none.
func (t *Taker) Taken(ctx context.Context) (*Census, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	latest := new(Census)
	err := t.state.FindOne(ctx, bson.D{{Key: "_id", Value: documentID}}).Decode(latest)
	switch {
	case errors.Is(err, mongo.ErrNoDocuments):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read the census: %w", err)
	}
	return latest, nil
}

// begin takes a census in the background if it is time, and reports whether one is being taken.
func (t *Taker) begin(latest *Census) (running bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.o.Clock()
	switch {
	case t.running, t.closed:
		return t.running
	case latest != nil && now.Sub(latest.Taken) < max(least, restFactor*latest.Took), now.Before(t.retry):
		return false
	}
	t.running = true
	t.working.Go(t.run)
	return true
}

// run takes a census, unless another instance is at it.
func (t *Taker) run() {
	ctx, cancel := context.WithTimeout(t.base, maxTime)
	defer cancel()
	err := t.take(ctx)
	switch {
	case errors.Is(err, lease.ErrHeld), t.base.Err() != nil:
		err = nil
	case err != nil:
		t.log.Warn("the census was not taken", "error", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.running = false
	t.retry = t.o.Clock().Add(least)
	if err != nil {
		t.retry = t.o.Clock().Add(retryAfter)
	}
}

func (t *Taker) take(ctx context.Context) error {
	task := lease.Task{Name: taskName, Database: t.o.Database, Redis: t.o.Redis, Log: t.log, Clock: t.o.Clock}
	held, err := task.Acquire(ctx)
	if err != nil {
		return err
	}
	defer held.Release(context.WithoutCancel(ctx))
	begun := t.o.Clock()
	c, err := t.count(ctx)
	if err != nil {
		return err
	}
	c.Taken = t.o.Clock().UTC()
	c.Took = c.Taken.Sub(begun)
	_, err = t.state.ReplaceOne(ctx, bson.D{{Key: "_id", Value: documentID}}, c, options.Replace().SetUpsert(true))
	return err
}

// count makes the figures.
func (t *Taker) count(ctx context.Context) (*Census, error) {
	survey, err := t.o.Mail.Survey(ctx, largest)
	if err != nil {
		return nil, err
	}
	c := &Census{Users: survey.Users, Mailboxes: survey.Mailboxes, Messages: survey.Messages, Received: survey.Bytes,
		LargestUsers: survey.LargestUsers, LargestMailboxes: survey.LargestMailboxes}
	spaces, err := database.MeasureCollections(ctx, t.o.Database)
	if err != nil {
		return nil, err
	}
	for _, s := range spaces {
		c.Collections = append(c.Collections, Collection(s))
		if s.Name == contents.Collection {
			c.Contents = s.Documents
		}
	}
	return c, t.sample(ctx, c)
}

// sample adds the figures by class.
func (t *Taker) sample(ctx context.Context, c *Census) (err error) {
	type sums struct{ logical, decoded, unique, stored float64 }
	classes := make(map[contents.Class]*sums)
	for _, class := range contents.Classes {
		classes[class] = new(sums)
	}
	c.Sampled, err = t.o.Contents.SampleUsage(ctx, sampleSize, func(u contents.Usage) error {
		s := classes[contents.ClassOf(u.Type)]
		s.logical += float64(u.Logical)
		s.decoded += float64(u.Decoded)
		s.unique += u.Unique
		s.stored += u.Stored
		return nil
	})
	if err != nil {
		return fmt.Errorf("sample of contents: %w", err)
	}
	scale := 1.0
	if c.Sampled == sampleSize && c.Contents > c.Sampled {
		scale = float64(c.Contents) / float64(c.Sampled)
	}
	for _, class := range contents.Classes {
		s := classes[class]
		c.Classes = append(c.Classes, Class{string(class), int64(s.logical * scale), int64(s.decoded * scale),
			int64(s.unique * scale), int64(s.stored * scale)})
	}
	return nil
}
