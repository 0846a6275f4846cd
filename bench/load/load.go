// Package load calls an operation as often as a measurement wants and says how long
// the calls took.
//
// # Words
//
//   - operation: what is measured, one call of an Op.
//   - worker: a goroutine that makes one call after the other.
//   - closed loop: each worker begins a call when its last one has ended, so the
//     server sets the pace.
//   - open loop: calls are due at a fixed rate, whatever the server does. A call's
//     latency counts from the moment at which it was due, not from that at which a
//     worker was free for it: a server that stands still is not flattered by the
//     calls that nobody made meanwhile (coordinated omission).
//   - warm-up: calls before the measurement that are not counted.
//   - repeat: one measurement out of several of the same thing.
//
// # Flow
//
//	Run: warm-up -> repeat 1..n: workers -> a histogram of each -> Sample
package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Op is one call. The worker and the number of the call say what to ask for; numbers begin at 0 and
// go on through warm-up and repeats. It returns how many octets it moved.
type Op func(ctx context.Context, worker int, call int64) (octets int64, err error)

// ErrWrong is in the chain of errors that say that an answer came and was wrong. It is worse than
// none: a workload that has any has no result.
var ErrWrong = errors.New("wrong answer")

// Options say how to call an operation.
type Options struct {
	Workers int           // at least 1
	Calls   int64         // of one repeat; 0: as many as Time allows
	Time    time.Duration // of one repeat; 0: until Calls are made
	Rate    float64       // calls a second in all; 0 is a closed loop
	WarmUp  int64         // calls before the first repeat
	Repeats int           // at least 1
	// Assigned says that worker w makes the calls w, w + Workers and so on of each repeat, however
	// fast the others are. It needs Calls.
	Assigned bool

	// MaxErrors ends the run: with more, the server is broken rather than slow.
	MaxErrors int64
	// Progress, if set, is told of the calls of the running repeat now and then.
	Progress func(repeat int, calls int64, elapsed time.Duration)
	// Before, if set, runs before each repeat, and is not measured.
	Before func(ctx context.Context, repeat int) error
}

// Bounds of recorded latencies.
const (
	minLatency = int64(time.Microsecond)
	maxLatency = int64(10 * time.Minute)
	precision  = 3 // decimal digits
	// progressPeriod is how often Options.Progress is called.
	progressPeriod = 500 * time.Millisecond
)

// NewHistogram returns a histogram of latencies in nanoseconds.
func NewHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(minLatency, maxLatency, precision)
}

// Sample is one repeat.
type Sample struct {
	Calls   int64 // those that succeeded
	Errors  int64
	Octets  int64
	Elapsed time.Duration
	// Latency has what clients see: in an open loop from the moment when a call was due.
	Latency *hdrhistogram.Histogram
	// Service has how long calls took from the moment when a worker made them.
	Service *hdrhistogram.Histogram
	// FirstError is an example of Errors.
	FirstError string
}

// Rate is the calls a second.
func (s *Sample) Rate() float64 { return float64(s.Calls) / s.Elapsed.Seconds() }

// Record notes a call that succeeded, of a closed loop.
func (s *Sample) Record(took time.Duration) {
	s.Calls++
	record(s.Latency, took)
	record(s.Service, took)
}

// Run measures an operation. The error is that of ctx, of Before, a wrong answer, or that there were
// too many errors; the samples so far come with it.
func Run(ctx context.Context, o Options, op Op) ([]*Sample, error) {
	if o.Workers < 1 || o.Repeats < 1 || o.Calls <= 0 && (o.Time <= 0 || o.Assigned) {
		return nil, fmt.Errorf("load: %d workers, %d repeats, %d calls, %v", o.Workers, o.Repeats, o.Calls, o.Time)
	}
	var call atomic.Int64
	if o.WarmUp > 0 {
		warm := o
		warm.Calls, warm.Time, warm.Rate = o.WarmUp, 0, 0
		if _, err := repeat(ctx, warm, op, &call, -1); err != nil {
			return nil, fmt.Errorf("warm-up: %w", err)
		}
	}
	var samples []*Sample
	for n := range o.Repeats {
		if o.Before != nil {
			if err := o.Before(ctx, n); err != nil {
				return samples, fmt.Errorf("before repeat %d: %w", n+1, err)
			}
		}
		s, err := repeat(ctx, o, op, &call, n)
		if err != nil {
			return samples, err
		}
		samples = append(samples, s)
	}
	return samples, nil
}

// pace hands out the calls of one repeat.
type pace struct {
	o     Options
	begun time.Time
	next  atomic.Int64
}

// number returns the number, in the repeat, of the next call of a worker that has made so many.
func (p *pace) number(worker int, made int64) int64 {
	if p.o.Assigned {
		return int64(worker) + made*int64(p.o.Workers)
	}
	return p.next.Add(1) - 1
}

// due waits until call n is to be made and returns when it was due; ok is false if there is none.
func (p *pace) due(ctx context.Context, n int64) (at time.Time, ok bool) {
	if p.o.Calls > 0 && n >= p.o.Calls || ctx.Err() != nil {
		return at, false
	}
	at = time.Now()
	if p.o.Rate > 0 {
		at = p.begun.Add(time.Duration(float64(n) / p.o.Rate * float64(time.Second)))
	}
	if p.o.Time > 0 && at.Sub(p.begun) >= p.o.Time {
		return at, false
	}
	if wait := time.Until(at); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return at, false
		}
	}
	return at, true
}

// worker is what one worker has seen.
type worker struct {
	Sample
	err error // that ends the run
}

// repeat makes the calls of one repeat.
func repeat(ctx context.Context, o Options, op Op, call *atomic.Int64, number int) (*Sample, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := &pace{o: o, begun: time.Now()}
	var calls, failures atomic.Int64
	first := call.Load()
	workers := make([]worker, o.Workers)
	var running sync.WaitGroup
	for i := range workers {
		w := &workers[i]
		w.Latency, w.Service = NewHistogram(), NewHistogram()
		running.Go(func() {
			for made := int64(0); ; made++ {
				n := p.number(i, made)
				due, ok := p.due(ctx, n)
				if !ok {
					return
				}
				this := call.Add(1) - 1
				if o.Assigned {
					this = first + n
				}
				begun := time.Now()
				octets, err := op(ctx, i, this)
				ended := time.Now()
				if err == nil {
					w.Calls++
					w.Octets += octets
					record(w.Latency, ended.Sub(due))
					record(w.Service, ended.Sub(begun))
					calls.Add(1)
					continue
				}
				if ctx.Err() != nil {
					return // the error may be no more than that
				}
				w.Errors++
				if w.FirstError == "" {
					w.FirstError = err.Error()
				}
				if failures.Add(1) > o.MaxErrors || errors.Is(err, ErrWrong) {
					w.err = err
					cancel()
					return
				}
			}
		})
	}
	stopProgress := watch(o, number, &calls, p.begun)
	running.Wait()
	elapsed := time.Since(p.begun)
	stopProgress()

	sum := &Sample{Elapsed: elapsed, Latency: NewHistogram(), Service: NewHistogram()}
	var failed error
	for i := range workers {
		w := &workers[i]
		sum.Calls += w.Calls
		sum.Errors += w.Errors
		sum.Octets += w.Octets
		sum.Latency.Merge(w.Latency)
		sum.Service.Merge(w.Service)
		if sum.FirstError == "" {
			sum.FirstError = w.FirstError
		}
		failed = errors.Join(failed, w.err)
	}
	if failed != nil {
		return nil, failed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return sum, nil
}

// record notes a latency; beyond the bounds it counts as the bound.
func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(int64(d), minLatency), maxLatency)) // always within the bounds
}

// watch tells of progress until the returned function is called.
func watch(o Options, number int, calls *atomic.Int64, begun time.Time) (stop func()) {
	if o.Progress == nil || number < 0 {
		return func() {}
	}
	stopped, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(progressPeriod)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				o.Progress(number, calls.Load(), time.Since(begun))
			case <-stopped:
				o.Progress(number, calls.Load(), time.Since(begun))
				return
			}
		}
	}()
	return func() {
		close(stopped)
		<-ended
	}
}
