package events

import (
	"context"
	"errors"
	"fmt"
	"net"

	"time"

	"github.com/redis/go-redis/v9"
)

// allUsers is the pattern of the channels of all users.
const allUsers = channelPrefix + "*"

// Watch implements Bus. While anybody watches, this process has a connection to Redis by which it hears
// what all instances publish: one of its own, so that the subscriptions of users do not wait behind the
// events of all.
func (b *Redis) Watch(room int, want func(Event) bool) *Watch {
	return b.local.watch(room, want, b.hearsAll.Load)
}

// watchLoop hears the events of all users while anybody watches, until the bus closes.
func (b *Redis) watchLoop(ctx context.Context) {
	for {
		select {
		case <-b.watching:
		case <-b.closing:
			return
		case <-ctx.Done():
			return
		}
		if b.local.watched() && !b.hearWhileWatched(ctx) {
			return
		}
	}
}

// hearWhileWatched hears the events of all users until nobody watches. It reports false when the bus
// closes.
func (b *Redis) hearWhileWatched(ctx context.Context) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done, closed := make(chan struct{}), false
	b.wg.Go(func() { // the one receiver of watching meanwhile
		defer close(done)
		defer cancel()
		for {
			select {
			case <-b.watching:
				if !b.local.watched() {
					return
				}
			case <-b.closing:
				closed = true
				return
			case <-ctx.Done():
				closed = true
				return
			}
		}
	})
	pause, told := reconnectMin, false
	for ctx.Err() == nil {
		confirmed, err := b.hearAll(ctx)
		b.hears(false)
		if ctx.Err() != nil {
			break
		}
		if confirmed {
			pause, told = reconnectMin, false
			b.local.eachWatch((*Watch).lose) // from now until the next connection
		}
		if !told {
			told = true
			b.log.Warn("events: those of other instances do not arrive at the stream of all users", "error", err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, reconnectMax)
	}
	<-done
	if closed {
		return false
	}
	// A watch that came after the last had gone.
	if b.local.watched() {
		b.touchWatch()
	}
	return true
}

// touchWatch notes that there are other watches than before.
func (b *Redis) touchWatch() {
	select {
	case b.watching <- struct{}{}:
	default:
	}
}

// hears notes whether events of other instances arrive at watches, and tells these when that changes.
func (b *Redis) hears(now bool) {
	if b.hearsAll.Swap(now) != now {
		b.local.eachWatch((*Watch).awake)
	}
}

// hearAll hands what other instances publish to the watches, until something fails or ctx ends.
func (b *Redis) hearAll(ctx context.Context) (confirmed bool, err error) {
	ps := b.client.PSubscribe(ctx, allUsers)
	defer ps.Close()
	// A receive in progress does not look at the context, but ends when the connection is closed.
	defer context.AfterFunc(ctx, func() { ps.Close() })()
	err = receiveAll(ctx, ps, func(msg any) {
		switch msg := msg.(type) {
		case *redis.Subscription:
			if msg.Kind == "psubscribe" {
				confirmed = true
				b.hears(true)
			}
		case *redis.Message:
			b.overhear(msg)
		}
	})
	return confirmed, err
}

// receiveAll calls take for what arrives, until something fails. A connection that is silent for long is
// asked for a sign of life.
func receiveAll(ctx context.Context, ps *redis.PubSub, take func(msg any)) error {
	silent := false
	for {
		msg, err := ps.ReceiveTimeout(ctx, pingInterval)
		var timeout net.Error
		switch {
		case errors.As(err, &timeout) && timeout.Timeout() && ctx.Err() == nil:
			if silent {
				return errors.New("no sign of life")
			}
			silent = true
			if err := ps.Ping(ctx); err != nil {
				return fmt.Errorf("ping: %w", err)
			}
			continue
		case err != nil:
			return fmt.Errorf("receive: %w", err)
		}
		silent = false
		take(msg)
	}
}

// overhear hands one event of another instance to the watches. Those of this process have come already.
func (b *Redis) overhear(msg *redis.Message) {
	user, ok := userOf(msg.Channel)
	if !ok {
		return
	}
	origin, ev, err := decode(user, msg.Payload)
	if origin == b.origin {
		return
	}
	b.overheard.Add(1)
	if err != nil {
		ev = Event{User: user, Kind: Resync} // of a later version: something that watches cannot tell
	}
	b.local.overhear(ev)
}
