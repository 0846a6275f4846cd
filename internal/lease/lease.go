// Package lease lets one instance at a time do a task.
//
// # Words
//
//   - task: a piece of work, known by its name.
//   - lease: the right of one instance to do a task for some time. The instance renews it while it
//     does the task.
//   - token: the number of a lease, greater than that of every lease before.
//
// # How
//
// With Redis, the lease is a lock there: a key with an owner and a time to live. Without Redis, or
// while it does not answer, the lease is the task's document in the database, which names the owner
// and the end of the lease. In both cases the document has the token, since a Redis may forget, and
// the time at which the task was done last.
//
//	leases {_id: task, owner, token, until, done: {name: time}}
//
// # What it is worth
//
// An instance that is stopped for longer than its lease does not know that another instance has
// begun. So it calls Check before each batch. Check reads the document, and fails if its token is
// greater than the instance's own. Two instances then overlap for at most a batch. No lock can
// promise more to a process that writes to another system. So a task must be harmless when two
// instances do it at the same time: the lease saves work, it does not keep data right.
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
	// duration is how long a lease lasts without renewal, renewal the time between renewals.
	duration = 2 * time.Minute
	renewal  = duration / 4
	// callTimeout bounds each call of database or Redis.
	callTimeout = 15 * time.Second
	keyPrefix   = "gadwall:lease:"
)

var (
	// ErrHeld: another instance has the lease.
	ErrHeld = errors.New("another instance is at it")
	// ErrLost: the lease has ended, and another instance has taken it.
	ErrLost = errors.New("another instance has taken over")
)

// A Task is done by one instance at a time.
type Task struct {
	Name     string
	Database *mongo.Database
	Redis    *redis.Client // nil without
	Log      *slog.Logger  // slog.Default() if nil
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

// Acquire takes the lease, or returns ErrHeld. A goroutine renews the lease until Release, even
// after ctx has ended.
func (t *Task) Acquire(ctx context.Context) (*Lease, error) {
	l := &Lease{task: t, coll: t.Database.Collection(collection, database.Collection()), owner: rand.Text()}
	if err := l.acquire(ctx); err != nil {
		return nil, fmt.Errorf("lease %s: %w", t.Name, err)
	}
	ctx, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	l.renewer.Go(func() { l.renew(ctx) })
	return l, nil
}

func (t *Task) log() *slog.Logger {
	if t.Log != nil {
		return t.Log
	}
	return slog.Default()
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
			l.task.log().Warn("no lock in Redis: the database has to do", "task", l.task.Name, "error", err)
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

// Done returns the time at which the named part of the task was done last; zero for never.
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

// Check returns ErrLost if another instance has taken the lease. The holder calls it before each
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

// Done returns when each part of each task was done last, by any instance.
func Done(ctx context.Context, db *mongo.Database) (map[string]map[string]time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	cur, err := db.Collection(collection, database.Collection()).Find(ctx, bson.D{})
	if err != nil {
		return nil, fmt.Errorf("read leases: %w", err)
	}
	var list []struct {
		ID   string               `bson:"_id"`
		Done map[string]time.Time `bson:"done"`
	}
	if err := cur.All(ctx, &list); err != nil {
		return nil, fmt.Errorf("read leases: %w", err)
	}
	all := make(map[string]map[string]time.Time, len(list))
	for _, doc := range list {
		all[doc.ID] = doc.Done
	}
	return all, nil
}

// EndAll ends all leases that a database holds. Only a process that has the database for itself calls
// it, when it opens it: the processes that held them have ended, or have lost their connections and
// find out by Check. A lease in Redis stays.
func EndAll(ctx context.Context, db *mongo.Database) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	now := time.Now().UTC()
	_, err := db.Collection(collection, database.Collection()).UpdateMany(ctx,
		bson.D{{Key: "until", Value: bson.D{{Key: "$gt", Value: now}}}},
		bson.D{
			{Key: "$set", Value: bson.D{{Key: "until", Value: now}}},
			// Holders who still run must find that they have lost it.
			{Key: "$inc", Value: bson.D{{Key: "token", Value: int64(1)}}},
		})
	if err != nil {
		return fmt.Errorf("end leases: %w", err)
	}
	return nil
}

// mine is the condition that no other instance has taken the lease.
func (l *Lease) mine() bson.D {
	return bson.D{{Key: "_id", Value: l.task.Name}, {Key: "token", Value: l.token}}
}

// renew renews the lease until ctx ends. It logs failures. Check tells the holder whether the lease
// is lost.
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
			l.task.log().Warn("a lease was not renewed", "task", l.task.Name, "error", err)
		}
	}
}

// extendScript extends the lock if this lease still owns it.
var extendScript = redis.NewScript(`
	if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("pexpire", KEYS[1], ARGV[2]) end
	return 0`)

// unlockScript deletes the lock if this lease still owns it.
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

// Release ends the lease. It tries to free it for the others, for a bounded time; otherwise the
// lease runs out by itself.
func (l *Lease) Release(ctx context.Context) {
	l.stop()
	l.renewer.Wait()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	if _, err := l.coll.UpdateOne(ctx, l.mine(),
		bson.D{{Key: "$set", Value: bson.D{{Key: "until", Value: l.task.now()}}}}); err != nil {
		l.task.log().Warn("a lease was not given back", "task", l.task.Name, "error", err)
	}
	l.unlock(ctx)
}

// unlock deletes the lock in Redis if this lease owns it.
func (l *Lease) unlock(ctx context.Context) {
	if !l.redis {
		return
	}
	if err := unlockScript.Run(ctx, l.task.Redis, []string{l.key()}, l.owner).Err(); err != nil {
		l.task.log().Warn("a lock was not given back", "task", l.task.Name, "error", err)
	}
}
