package workload

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"gadwall/bench"
	"gadwall/bench/load"
	"gadwall/bench/result"
	"gadwall/bench/target"
)

// suite is one run.
type suite struct {
	Options
	mail    Source
	machine result.Machine
	shared  *folder // nil until a workload needs it
}

// Run runs the workloads of these names, or all of them, one after the other. Lines of the steps
// before an error are written.
func Run(ctx context.Context, o Options, names ...string) (err error) {
	if err := o.Check(); err != nil {
		return err
	}
	list, err := named(names)
	if err != nil {
		return err
	}
	o.Progress = oneAtATime(o.Progress)
	s := &suite{Options: o, mail: o.Mail, machine: target.Machine()}
	if s.mail == nil {
		s.mail = generated{bench.NewCorpus(o.Corpus)}
	}
	if err := o.Target.CreateUsers(ctx, o.Users); err != nil {
		return err
	}
	defer func() {
		if s.shared != nil {
			err = errors.Join(err, s.shared.remove(ctx))
		}
	}()
	for _, w := range list {
		steps, err := w.open(ctx, s)
		if err == nil {
			err = s.steps(ctx, w, steps)
		}
		for _, st := range steps {
			if st.close != nil {
				st.close()
			}
		}
		if err != nil {
			return &Failure{Workload: w.Name, Err: err}
		}
	}
	return nil
}

// oneAtATime returns f for callers of several goroutines; f may be nil.
func oneAtATime(f func(string, int64, int64)) func(string, int64, int64) {
	if f == nil {
		return func(string, int64, int64) {}
	}
	var mu sync.Mutex
	return func(what string, done, total int64) {
		mu.Lock()
		defer mu.Unlock()
		f(what, done, total)
	}
}

func (s *suite) steps(ctx context.Context, w Workload, steps []step) (err error) {
	for i := range steps {
		stepErr := s.step(ctx, w.Name, &steps[i])
		if stepErr == nil {
			continue
		}
		if steps[i].name != "" {
			stepErr = fmt.Errorf("%s: %w", steps[i].name, stepErr)
		}
		err = errors.Join(err, stepErr)
		if !steps[i].alone || !errors.Is(stepErr, load.ErrWrong) {
			return err
		}
	}
	return err
}

// callsOf is how many calls a repeat has: what the options say, or else the number of a step, but
// at least one for each worker.
func (s *suite) callsOf(usual int64) int64 {
	if s.Calls > 0 {
		usual = s.Calls
	}
	return max(usual, int64(s.Connections))
}
