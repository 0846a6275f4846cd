package events

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"gadwall/internal/mailkey"
)

// touch notes that the user's channel may have to be subscribed or unsubscribed.
func (b *Redis) touch(user mailkey.UserID) {
	b.dirtyMu.Lock()
	b.dirty[user] = struct{}{}
	b.dirtyMu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// subscribeLoop keeps one subscriber connection alive. go-redis would connect again by itself and
// tell nobody. So subscribeLoop throws away a connection that failed, and makes a new one.
func (b *Redis) subscribeLoop(ctx context.Context) {
	// Close ends the subscriptions at once. Only the publisher goes on, with what is queued.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := make(chan struct{})
	defer close(stop)
	b.wg.Go(func() {
		select {
		case <-b.closing:
			cancel()
		case <-stop:
		}
	})

	pause := reconnectMin
	for ctx.Err() == nil {
		confirmed, err := b.listen(ctx)
		b.connected.Store(false)
		if ctx.Err() != nil {
			return
		}
		if confirmed {
			pause = reconnectMin
		}
		b.outage.begin(b.log, "subscribe", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, reconnectMax)
	}
}

// listen subscribes to all channels and serves until something fails. confirmed
// says whether Redis had answered.
func (b *Redis) listen(ctx context.Context) (confirmed bool, err error) {
	b.dirtyMu.Lock()
	clear(b.dirty) // before the users are listed: who comes later is dirty again
	b.dirtyMu.Unlock()
	users := b.local.subscribed()

	ps := b.client.Subscribe(ctx, channelAll)
	defer ps.Close()
	have := make(map[mailkey.UserID]struct{}, len(users))
	for part := range slices.Chunk(users, subscribeBatch) {
		channels := make([]string, len(part))
		for i, u := range part {
			channels[i] = channelOf(u)
			have[u] = struct{}{}
		}
		if err := ps.Subscribe(ctx, channels...); err != nil {
			return false, fmt.Errorf("subscribe: %w", err)
		}
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	follow := make(chan error, 1)
	b.wg.Go(func() { follow <- b.followUsers(ctx, ps, have) })
	defer func() { cancel(); <-follow }()
	// A receive in progress does not look at the context, but ends when the
	// connection is closed.
	defer context.AfterFunc(ctx, func() { ps.Close() })()

	err = receiveAll(ctx, ps, func(msg any) {
		switch msg := msg.(type) {
		case *redis.Subscription:
			if msg.Kind != "subscribe" {
				return
			}
			if msg.Channel == channelAll {
				confirmed = true
				b.connected.Store(true)
				b.connects.Add(1)
				b.outage.end(b.log, "subscribe")
			} else if user, ok := userOf(msg.Channel); ok {
				// From here on nothing is missed; before, something may have been.
				b.local.resyncUser(user)
			}
		case *redis.Message:
			b.take(msg)
		}
	})
	select {
	case ferr := <-follow:
		follow <- nil // for the deferred receive
		if ferr != nil {
			err = ferr
		}
	default:
	}
	return confirmed, err
}

// take hands one message to the subscriptions.
func (b *Redis) take(msg *redis.Message) {
	if msg.Channel == channelAll {
		if msg.Payload != b.origin {
			b.received.Add(1)
			b.local.resync()
			b.local.eachWatch((*Watch).lose)
		}
		return
	}
	user, ok := userOf(msg.Channel)
	if !ok {
		return
	}
	origin, ev, err := decode(user, msg.Payload)
	if origin == b.origin {
		return
	}
	b.received.Add(1)
	if err != nil {
		b.log.Debug("events: unreadable event", "error", err)
		b.local.resyncUser(user)
		return
	}
	b.local.deliver(ev)
}

// followUsers subscribes and unsubscribes channels as users come and go. When
// it fails it closes ps, which ends listen.
func (b *Redis) followUsers(ctx context.Context, ps *redis.PubSub, have map[mailkey.UserID]struct{}) error {
	for {
		select {
		case <-b.wake:
		case <-ctx.Done():
			return nil
		}
		b.dirtyMu.Lock()
		dirty := b.dirty
		b.dirty = make(map[mailkey.UserID]struct{})
		b.dirtyMu.Unlock()

		var add, drop []string
		for user := range dirty {
			_, subscribed := have[user]
			switch wanted := b.local.has(user); {
			case wanted && !subscribed:
				have[user] = struct{}{}
				add = append(add, channelOf(user))
			case !wanted && subscribed:
				delete(have, user)
				drop = append(drop, channelOf(user))
			}
		}
		for part := range slices.Chunk(add, subscribeBatch) {
			if err := ps.Subscribe(ctx, part...); err != nil {
				ps.Close()
				return fmt.Errorf("subscribe: %w", err)
			}
		}
		for part := range slices.Chunk(drop, subscribeBatch) {
			if err := ps.Unsubscribe(ctx, part...); err != nil {
				ps.Close()
				return fmt.Errorf("unsubscribe: %w", err)
			}
		}
	}
}
