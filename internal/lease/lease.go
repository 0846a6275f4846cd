// Package lease lets one of many instances do what need not be done by several at once.
//
// # Words
//
//   - task: what is done, by name.
//   - lease: the right of one instance to do a task for some time. It is renewed while the task is
//     done.
//   - token: the number of a lease: each has a greater one than all before.
//
// # How
//
// With Redis, the lease is a lock there: a key with an owner and a time to live. Without, or when
// it does not answer, it is the task's document in the database, which names an owner and when the
// lease ends. The token is counted in that document in either case, since a Redis may forget; so is
// when the task was done last.
//
//	leases {_id: task, owner, token, until, done: {name: time}}
//
// # What it is worth
//
// An instance that is stopped for longer than the lease lasts does not know that another has begun.
// Hence Check: it reads the document, and fails if it has a token greater than one's own. Whoever
// asks before each batch does at most a batch beside another. No lock can promise more to somebody
// who writes to another system; so a task must be harmless when done twice at the same time. The
// lease keeps work from being done twice, it does not keep data right.
package lease

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/database"
)

const (
	collection = "leases"
	// duration is how long a lease lasts that is not renewed, renewal how often it is.
	duration = 2 * time.Minute
	renewal  = duration / 4
	// callTimeout bounds each call of database or Redis.
	callTimeout = 15 * time.Second
	keyPrefix   = "gadwall:lease:"
)

var (
	// ErrHeld: another instance has the lease.
	ErrHeld = errors.New("another instance is at it")
	// ErrLost: the lease has ended, and another instance has taken it since.
	ErrLost = errors.New("another instance has taken over")
)

// A Task is what one instance at a time does.
type Task struct {
	Name     string
	Database *mongo.Database
	Redis    *redis.Client // nil without
	Log      *slog.Logger
	// Clock is the time; time.Now if nil.
	Clock func() time.Time
}

// document is the task's document.
type document struct {
	Owner string               `bson:"owner"`
	Token int64                `bson:"token"`
	Until time.Time            `bson:"until"`
	Done  map[string]time.Time `bson:"done"`
}

// A Lease is held until Release.
type Lease struct {
	task  *Task
	coll  *mongo.Collection
	owner string
	token int64
	redis bool // the lock in Redis is ours, too
	done  map[string]time.Time

	stop    context.CancelFunc
	renewer sync.WaitGroup
}

// Acquire takes the lease, or returns ErrHeld. It is renewed until Release, even when ctx has
// ended.
func (t *Task) Acquire(ctx context.Context) (*Lease, error) {
	l := &Lease{task: t, coll: t.Database.Collection(collection, database.Collection()), owner: rand.Text()}
	if err := l.acquire(ctx); err != nil {
		return nil, fmt.Errorf("lease %s: %w", t.Name, err)
	}
	ctx, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	l.renewer.Go(func() { l.renew(ctx) })
	return l, nil
}

func (t *Task) now() time.Time {
	if t.Clock != nil {
		return t.Clock().UTC()
	}
	return time.Now().UTC()
}

func (l *Lease) acquire(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	now := l.task.now()
	filter := bson.D{{Key: "_id", Value: l.task.Name}}
	free := bson.E{Key: "until", Value: bson.D{{Key: "$lte", Value: now}}}
	if l.task.Redis != nil {
		_, err := l.task.Redis.SetArgs(ctx, l.key(), l.owner, redis.SetArgs{Mode: "NX", TTL: duration}).Result()
		switch {
		case errors.Is(err, redis.Nil):
			return ErrHeld
		case err == nil:
			l.redis = true
		default:
			l.task.Log.Warn("no lock in Redis: the database has to do", "task", l.task.Name, "error", err)
		}
	}
	if !l.redis {
		filter = append(filter, free)
	}
	var doc document
	err := l.coll.FindOneAndUpdate(ctx, filter, bson.D{
		{Key: "$set", Value: bson.D{{Key: "owner", Value: l.owner}, {Key: "until", Value: now.Add(duration)}}},
		{Key: "$inc", Value: bson.D{{Key: "token", Value: int64(1)}}},
	}, options.FindOneAndUpdate().SetUpsert(true).SetReturnDocument(options.After)).Decode(&doc)
	if err != nil {
		l.unlock(ctx)
		if mongo.IsDuplicateKeyError(err) {
			return ErrHeld // there is a document, and it is not free; or another made it just now
		}
		return err
	}
	l.token, l.done = doc.Token, doc.Done
	return nil
}

func (l *Lease) key() string { return keyPrefix + l.task.Name }

// Token is greater than that of every lease before.
func (l *Lease) Token() int64 { return l.token }

// Done returns when the named part of the task was done last; zero for never.
func (l *Lease) Done(name string) time.Time { return l.done[name] }

// SetDone records that the named part was done at that time.
func (l *Lease) SetDone(ctx context.Context, name string, at time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	res, err := l.coll.UpdateOne(ctx, l.mine(), bson.D{{Key: "$set", Value: bson.D{{Key: "done." + name, Value: at}}}})
	if err != nil {
		return fmt.Errorf("lease %s: %w", l.task.Name, err)
	}
	if res.MatchedCount == 0 {
		return fmt.Errorf("lease %s: %w", l.task.Name, ErrLost)
	}
	if l.done == nil {
		l.done = make(map[string]time.Time)
	}
	l.done[name] = at
	return nil
}

// Check returns ErrLost if another instance has taken the lease. It is to be called before each
// batch.
func (l *Lease) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var doc document
	if err := l.coll.FindOne(ctx, bson.D{{Key: "_id", Value: l.task.Name}}).Decode(&doc); err != nil {
		return fmt.Errorf("lease %s: %w", l.task.Name, err)
	}
	if doc.Token != l.token {
		return fmt.Errorf("lease %s: %w: token %d, ours is %d", l.task.Name, ErrLost, doc.Token, l.token)
	}
	return nil
}

// mine is the condition that nobody has taken the lease since.
func (l *Lease) mine() bson.D {
	return bson.D{{Key: "_id", Value: l.task.Name}, {Key: "token", Value: l.token}}
}

// renew renews the lease until ctx ends. Trouble is logged: Check tells whether the lease was lost
// by it.
func (l *Lease) renew(ctx context.Context) {
	ticker := time.NewTicker(renewal)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := l.extend(ctx); err != nil && ctx.Err() == nil {
			l.task.Log.Warn("a lease was not renewed", "task", l.task.Name, "error", err)
		}
	}
}

// extendScript lets the lock live on if it is still ours.
var extendScript = redis.NewScript(`
	if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("pexpire", KEYS[1], ARGV[2]) end
	return 0`)

// unlockScript deletes the lock if it is still ours.
var unlockScript = redis.NewScript(`
	if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("del", KEYS[1]) end
	return 0`)

func (l *Lease) extend(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var lock error
	if l.redis {
		lock = extendScript.Run(ctx, l.task.Redis, []string{l.key()}, l.owner, duration.Milliseconds()).Err()
	}
	_, err := l.coll.UpdateOne(ctx, l.mine(),
		bson.D{{Key: "$set", Value: bson.D{{Key: "until", Value: l.task.now().Add(duration)}}}})
	return errors.Join(lock, err)
}

// Release ends the lease. It tries to tell the others, for a bounded time; else the lease ends by
// itself.
func (l *Lease) Release(ctx context.Context) {
	l.stop()
	l.renewer.Wait()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	if _, err := l.coll.UpdateOne(ctx, l.mine(),
		bson.D{{Key: "$set", Value: bson.D{{Key: "until", Value: l.task.now()}}}}); err != nil {
		l.task.Log.Warn("a lease was not given back", "task", l.task.Name, "error", err)
	}
	l.unlock(ctx)
}

// unlock gives up the lock in Redis, if it is ours.
func (l *Lease) unlock(ctx context.Context) {
	if !l.redis {
		return
	}
	if err := unlockScript.Run(ctx, l.task.Redis, []string{l.key()}, l.owner).Err(); err != nil {
		l.task.Log.Warn("a lock was not given back", "task", l.task.Name, "error", err)
	}
}
