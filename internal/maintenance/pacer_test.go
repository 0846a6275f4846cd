package maintenance

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"
)

func TestPacer(t *testing.T) {
	at := time.Unix(1000, 0)
	asked := 0
	var rests []time.Duration
	lost := errors.New("lost")
	p := &Pacer{Now: func() time.Time { return at }, Check: func(context.Context) error {
		if asked++; asked == 2 {
			return lost
		}
		return nil
	}, Rest: func(_ context.Context, d time.Duration) error {
		rests = append(rests, d)
		at = at.Add(d)
		return nil
	}}
	for _, step := range []struct {
		work time.Duration
		err  error
	}{{time.Hour, nil}, {15 * time.Millisecond, nil}, {15 * time.Millisecond, nil},
		{15 * time.Millisecond, nil}, {2 * time.Second, nil},
		{time.Minute, nil}, {time.Millisecond, nil}, {time.Minute, lost}} {
		at = at.Add(step.work)
		if err := p.Guard(t.Context()); !errors.Is(err, step.err) {
			t.Errorf("after %v: %v, want %v", step.work, err, step.err)
		}
	}
	if want := []time.Duration{90 * time.Millisecond, 6045 * time.Millisecond, maxRest}; !slices.Equal(rests, want) {
		t.Errorf("rested %v, want %v", rests, want)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Guard(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("%v after the end", err)
	}
}
