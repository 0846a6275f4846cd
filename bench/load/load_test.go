package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestClosedLoop(t *testing.T) {
	var mu sync.Mutex
	seen := make(map[int64]int)
	befores := 0
	samples, err := Run(t.Context(), Options{Workers: 4, Calls: 100, WarmUp: 20, Repeats: 3,
		Before: func(context.Context, int) error { befores++; return nil },
	}, func(_ context.Context, worker int, call int64) (int64, error) {
		mu.Lock()
		defer mu.Unlock()
		seen[call]++
		if worker < 0 || worker >= 4 {
			t.Errorf("worker %d", worker)
		}
		return 7, nil
	})
	if err != nil || len(samples) != 3 || befores != 3 || len(seen) != 320 {
		t.Fatalf("%d samples, %d before, %d calls, %v", len(samples), befores, len(seen), err)
	}
	for call, n := range seen {
		if n != 1 || call < 0 || call >= 320 {
			t.Errorf("call %d was made %d times", call, n)
		}
	}
	for _, s := range samples {
		if s.Calls != 100 || s.Octets != 700 || s.Errors != 0 || s.Latency.TotalCount() != 100 {
			t.Errorf("%+v", s)
		}
	}
}

// A worker makes the calls that are its own, also when another one is much faster.
func TestAssigned(t *testing.T) {
	var mu sync.Mutex
	made := make(map[int64]int)
	others := make(chan struct{})
	samples, err := Run(t.Context(), Options{Workers: 3, Calls: 7, WarmUp: 3, Repeats: 2, Assigned: true},
		func(_ context.Context, worker int, call int64) (int64, error) {
			mu.Lock()
			made[call] = worker
			all := len(made) == 3+4 // all of the first repeat but those of worker 0
			mu.Unlock()
			if all {
				close(others)
			}
			if call == 3 {
				<-others
			}
			return 0, nil
		})
	if err != nil || len(samples) != 2 || samples[0].Calls != 7 {
		t.Fatalf("%v, %v", samples, err)
	}
	want := map[int64]int{}
	for call, worker := range []int{0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 0, 1, 2, 0, 1, 2, 0} {
		want[int64(call)] = worker
	}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Error(diff)
	}
	if _, err := Run(t.Context(), Options{Workers: 1, Time: time.Hour, Repeats: 1, Assigned: true}, nil); err == nil {
		t.Error("assigned calls without a number are taken")
	}
}

// While the server stands still, calls of an open loop become due: their latency counts the wait.
func TestOpenLoopCountsTheWait(t *testing.T) {
	const rate, calls = 2000.0, 40
	gate := make(chan struct{})
	var once sync.Once
	samples, err := Run(t.Context(), Options{Workers: 1, Calls: calls, Rate: rate, Repeats: 1},
		func(context.Context, int, int64) (int64, error) {
			once.Do(func() { // the first call takes until all others are overdue
				time.AfterFunc(time.Duration(2*calls/rate*float64(time.Second)), func() { close(gate) })
				<-gate
			})
			return 0, nil
		})
	if err != nil {
		t.Fatal(err)
	}
	s := samples[0]
	// All were due while the first one ran, the last one half of that time before its end.
	least := int64(calls / rate * float64(time.Second) * 0.9)
	if s.Latency.Min() < least {
		t.Errorf("the least latency is %v, want %v", time.Duration(s.Latency.Min()), time.Duration(least))
	}
	if s.Service.ValueAtQuantile(50) >= least {
		t.Errorf("service time %v counts the wait", time.Duration(s.Service.ValueAtQuantile(50)))
	}
}

func TestErrors(t *testing.T) {
	broken := errors.New("broken")
	op := func(err error) Op {
		var n atomic.Int64
		return func(context.Context, int, int64) (int64, error) {
			if n.Add(1)%10 == 0 {
				return 0, err
			}
			return 1, nil
		}
	}
	samples, err := Run(t.Context(), Options{Workers: 3, Calls: 100, Repeats: 1, MaxErrors: 10}, op(broken))
	if err != nil || samples[0].Errors != 10 || samples[0].Calls != 90 || samples[0].FirstError != "broken" {
		t.Errorf("%+v, %v", samples, err)
	}
	if _, err := Run(t.Context(), Options{Workers: 3, Calls: 100, Repeats: 1, MaxErrors: 9},
		op(broken)); !errors.Is(err, broken) {
		t.Errorf("too many errors: %v", err)
	}
	wrong := fmt.Errorf("%w: two UIDs are one", ErrWrong)
	if _, err := Run(t.Context(), Options{Workers: 3, Calls: 100, Repeats: 1, MaxErrors: 100},
		op(wrong)); !errors.Is(err, ErrWrong) {
		t.Errorf("a wrong answer: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := Run(ctx, Options{Workers: 2, Time: time.Hour, Repeats: 1},
		func(context.Context, int, int64) (int64, error) {
			cancel()
			return 0, nil
		}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := Run(t.Context(), Options{Workers: 1, Repeats: 1}, nil); err == nil {
		t.Error("neither calls nor time")
	}
}
