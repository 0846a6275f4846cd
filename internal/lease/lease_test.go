package lease

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/internal/dbtest"
)

// fixture makes tasks of several instances, whose clock moves when told so.
type fixture struct {
	db    *mongo.Database
	redis *miniredis.Miniredis
	now   time.Time
}

func (f *fixture) task(t *testing.T) *Task {
	task := &Task{Name: "gc", Database: f.db, Log: slog.New(slog.DiscardHandler),
		Clock: func() time.Time { return f.now }}
	if f.redis != nil {
		task.Redis = redis.NewClient(&redis.Options{Addr: f.redis.Addr(), MaxRetries: -1})
		t.Cleanup(func() { task.Redis.Close() })
	}
	return task
}

func (f *fixture) pass(d time.Duration) {
	f.now = f.now.Add(d)
	if f.redis != nil {
		f.redis.FastForward(d)
	}
}

func acquire(t *testing.T, task *Task) *Lease {
	t.Helper()
	l, err := task.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func forBoth(t *testing.T, f func(t *testing.T, f *fixture)) {
	t.Run("database", func(t *testing.T) { f(t, &fixture{db: dbtest.Database(t), now: time.Now()}) })
	t.Run("redis", func(t *testing.T) {
		f(t, &fixture{db: dbtest.Database(t), now: time.Now(), redis: miniredis.RunT(t)})
	})
}

func TestOneAtATime(t *testing.T) {
	forBoth(t, func(t *testing.T, f *fixture) {
		a, b := f.task(t), f.task(t)
		first := acquire(t, a)
		if _, err := b.Acquire(t.Context()); !errors.Is(err, ErrHeld) {
			t.Fatalf("second lease: %v", err)
		}
		if err := first.Check(t.Context()); err != nil {
			t.Error(err)
		}
		if err := first.SetDone(t.Context(), "all", f.now); err != nil {
			t.Error(err)
		}
		first.Release(t.Context())
		second := acquire(t, b)
		defer second.Release(t.Context())
		if second.Token() <= first.Token() {
			t.Errorf("token %d after %d", second.Token(), first.Token())
		}
		if got := second.Done("all"); !got.Equal(f.now.UTC().Truncate(time.Millisecond)) ||
			!second.Done("none").IsZero() {
			t.Errorf("done at %v, want %v; %v", got, f.now, second.Done("none"))
		}
	})
}

// A lease that is not renewed ends; who had it learns so before the next batch.
func TestTakenOver(t *testing.T) {
	forBoth(t, func(t *testing.T, f *fixture) {
		a, b := f.task(t), f.task(t)
		first := acquire(t, a)
		f.pass(duration - time.Second)
		if _, err := b.Acquire(t.Context()); !errors.Is(err, ErrHeld) {
			t.Fatalf("before the end: %v", err)
		}
		if err := first.extend(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.pass(duration - time.Second)
		if _, err := b.Acquire(t.Context()); !errors.Is(err, ErrHeld) {
			t.Fatalf("after a renewal: %v", err)
		}
		f.pass(2 * time.Second)
		second := acquire(t, b)
		if err := first.Check(t.Context()); !errors.Is(err, ErrLost) {
			t.Errorf("check: %v", err)
		}
		if err := first.SetDone(t.Context(), "all", f.now); !errors.Is(err, ErrLost) {
			t.Errorf("done: %v", err)
		}
		if err := first.extend(t.Context()); err != nil {
			t.Error(err)
		}
		first.Release(t.Context()) // must not end the other's
		if _, err := a.Acquire(t.Context()); !errors.Is(err, ErrHeld) {
			t.Errorf("a third: %v", err)
		}
		if err := second.Check(t.Context()); err != nil {
			t.Error(err)
		}
		second.Release(t.Context())
	})
}

// When Redis does not answer, or has forgotten, the database decides, and tokens go on rising.
func TestRedisFails(t *testing.T) {
	f := &fixture{db: dbtest.Database(t), now: time.Now(), redis: miniredis.RunT(t)}
	first := acquire(t, f.task(t))
	f.redis.FlushAll()
	second := acquire(t, f.task(t))
	if err := first.Check(t.Context()); !errors.Is(err, ErrLost) {
		t.Errorf("after Redis forgot: %v", err)
	}
	other := f.task(t)
	f.redis.Close()
	if _, err := other.Acquire(t.Context()); !errors.Is(err, ErrHeld) {
		t.Errorf("without Redis: %v", err)
	}
	first.Release(t.Context())
	second.Release(t.Context())
	third := acquire(t, other)
	defer third.Release(t.Context())
	if third.Token() != 3 {
		t.Errorf("token %d, want 3", third.Token())
	}
}

// Of many who try at once, one succeeds at a time.
func TestContention(t *testing.T) {
	forBoth(t, func(t *testing.T, f *fixture) {
		var holders, acquired atomic.Int64
		var wg sync.WaitGroup
		for range 8 {
			task := f.task(t)
			wg.Go(func() {
				for acquired.Load() < 10 {
					l, err := task.Acquire(context.Background())
					if errors.Is(err, ErrHeld) {
						continue
					}
					if err != nil {
						t.Error(err)
						return
					}
					if n := holders.Add(1); n != 1 {
						t.Errorf("%d holders", n)
					}
					acquired.Add(1)
					holders.Add(-1)
					l.Release(context.Background())
				}
			})
		}
		wg.Wait()
	})
}

// A process that opens a database for itself takes over what dead ones held.
func TestEndAll(t *testing.T) {
	f := &fixture{db: dbtest.Database(t), now: time.Now()}
	if err := EndAll(t.Context(), f.db); err != nil {
		t.Fatalf("no lease was ever given: %v", err)
	}
	held := acquire(t, f.task(t))
	if _, err := f.task(t).Acquire(t.Context()); !errors.Is(err, ErrHeld) {
		t.Fatalf("held: %v", err)
	}
	if err := EndAll(t.Context(), f.db); err != nil {
		t.Fatal(err)
	}
	if err := held.Check(t.Context()); !errors.Is(err, ErrLost) {
		t.Errorf("the holder before: %v", err)
	}
	f.pass(time.Second)
	acquire(t, f.task(t)).Release(t.Context())
	held.Release(t.Context())
}

// Done tells when the parts of all tasks were done, whoever holds their leases.
func TestDone(t *testing.T) {
	forBoth(t, func(t *testing.T, f *fixture) {
		task := f.task(t)
		if all, err := Done(t.Context(), task.Database); err != nil || len(all) != 0 {
			t.Errorf("before anything was done: %v, %v", all, err)
		}
		l := acquire(t, task)
		at := time.Unix(1_700_000_000, 0).UTC()
		if err := l.SetDone(t.Context(), "part", at); err != nil {
			t.Fatal(err)
		}
		all, err := Done(t.Context(), task.Database)
		if err != nil || len(all) != 1 || !all[task.Name]["part"].Equal(at) {
			t.Errorf("done %v, %v", all, err)
		}
		l.Release(t.Context())
	})
}
