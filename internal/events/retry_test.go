package events

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gadwall/internal/mailkey"
)

// After a failure events are soon sent again, as Resync, and the attempts become fewer the longer
// Redis is away. After it was back, the next outage is met as the first.
func TestPublishTriesAgainSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex // guards what follows
		begun := time.Now()
		var down bool
		var attempts []time.Duration
		var sent []string
		b := &Redis{
			log: slog.New(slog.DiscardHandler), outage: outage{now: time.Now}, local: newLocal(),
			queue: make(chan Event, maxQueue), closing: make(chan struct{}),
			missed: make(map[mailkey.UserID]struct{}),
			publish: func(_ context.Context, messages []message) error {
				mu.Lock()
				defer mu.Unlock()
				attempts = append(attempts, time.Since(begun))
				if down {
					return errors.New("away")
				}
				for _, m := range messages {
					sent = append(sent, m.data)
				}
				return nil
			},
		}
		b.wg.Go(func() { b.publishLoop(t.Context()) })
		set := func(fails bool) {
			mu.Lock()
			defer mu.Unlock()
			attempts, sent, begun, down = nil, nil, time.Now(), fails
		}
		publish := func() {
			if err := b.Publish(t.Context(), Event{User: mailkey.UserID{1}, Mailbox: 1, Kind: Changed}); err != nil {
				t.Fatal(err)
			}
		}
		for round := range 2 {
			set(true)
			publish()
			time.Sleep(reconnectMin * 33 / 10) // of the bubble's clock
			mu.Lock()
			down = false
			mu.Unlock()
			time.Sleep(2 * reconnectMax)
			mu.Lock()
			want := []time.Duration{0, reconnectMin, 3 * reconnectMin, 7 * reconnectMin}
			if !slices.Equal(attempts, want) {
				t.Errorf("round %d: attempts after %v, want %v", round, attempts, want)
			}
			if len(sent) != 1 || !strings.Contains(sent[0], Resync.String()) {
				t.Errorf("round %d: sent %q", round, sent)
			}
			mu.Unlock()
		}
		set(true)
		publish()
		time.Sleep(time.Minute)
		mu.Lock()
		n := len(attempts)
		if last := attempts[n-1] - attempts[n-2]; n > 20 || last != reconnectMax {
			t.Errorf("%d attempts in a minute, the last after %v", n, last)
		}
		mu.Unlock()
		set(false)
		close(b.closing)
		b.wg.Wait()
	})
}
