package events

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"gadwall/internal/mailkey"
)

// ErrDropped is returned by Publish of a Redis bus when the event was not queued
// for the other instances. They will get Resync for that user once Redis answers.
var ErrDropped = errors.New("events: not sent to other instances")

// Stats counts what a Redis bus did.
type Stats struct {
	Published uint64 // events handed to Redis
	Dropped   uint64 // events that never reached Redis
	Received  uint64 // events received from other instances
	Overheard uint64 // events of other instances, of all users, received while somebody watched
	Connects  uint64 // subscriber connections made
	Connected bool   // whether the subscriber connection is up now
}

// Redis is a bus across instances. One connection carries the subscriptions of all users that have
// subscribers in this process. Publications use the client's pool. Close ends all goroutines.
type Redis struct {
	client *redis.Client
	// publish hands messages to Redis.
	publish func(context.Context, []message) error
	log     *slog.Logger
	local   *local
	origin  string
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	queue   chan Event
	closing chan struct{} // closed first: the publisher empties the queue and ends

	// missed holds the users whose events did not reach Redis.
	missedMu  sync.Mutex
	missed    map[mailkey.UserID]struct{}
	missedAll bool

	// dirty holds the users whose channel must be looked at.
	dirtyMu sync.Mutex
	dirty   map[mailkey.UserID]struct{}
	wake    chan struct{}

	doubts chan struct{} // see Doubt

	watching chan struct{} // has an element when there are other watches than before
	hearsAll atomic.Bool   // whether events of all users arrive

	published, dropped, received, connects, overheard atomic.Uint64
	connected                                         atomic.Bool
	outage                                            outage
	closeOnce                                         sync.Once
}

var _ Bus = (*Redis)(nil)

// NewRedis returns a bus on client, which stays the caller's to close after the
// bus. While Redis cannot be reached, subscribers of this process are served as
// by NewLocal.
func NewRedis(client *redis.Client, logger *slog.Logger) *Redis {
	return newRedis(client, logger, func(ctx context.Context, messages []message) error {
		_, err := client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, m := range messages {
				p.Publish(ctx, m.channel, m.data)
			}
			return nil
		})
		return err
	})
}

// A message is what one event is on its way.
type message struct{ channel, data string }

func newRedis(
	client *redis.Client, logger *slog.Logger, publish func(context.Context, []message) error,
) *Redis {
	if logger == nil {
		logger = slog.Default()
	}
	ctx, cancel := context.WithCancel(context.Background())
	b := &Redis{
		client:  client,
		publish: publish,
		log:     logger,
		outage:  outage{now: time.Now},
		local:   newLocal(),
		origin:  rand.Text(),
		cancel:  cancel,
		queue:   make(chan Event, maxQueue),
		closing: make(chan struct{}),
		missed:  make(map[mailkey.UserID]struct{}),
		dirty:   make(map[mailkey.UserID]struct{}),
		wake:    make(chan struct{}, 1),
		doubts:  make(chan struct{}, 1),

		watching: make(chan struct{}, 1),
	}
	b.local.onFirst, b.local.onLast, b.local.onWatch = b.touch, b.touch, b.touchWatch
	b.wg.Go(func() { b.publishLoop(ctx) })
	b.wg.Go(func() { b.subscribeLoop(ctx) })
	b.wg.Go(func() { b.doubtLoop(ctx) })
	b.wg.Go(func() { b.watchLoop(ctx) })
	return b
}

// Publish implements Bus. It queues the event for Redis and returns without a look at ctx.
func (b *Redis) Publish(ctx context.Context, ev Event) error {
	if len(ev.UIDs) > MaxUIDs {
		ev.UIDs = nil
	}
	_ = b.local.Publish(ctx, ev) // a local bus has no errors
	select {
	case <-b.closing:
		return ErrDropped
	default:
	}
	select {
	case b.queue <- ev:
		return nil
	default:
		b.miss(ev)
		return ErrDropped
	}
}

// Subscribe implements Bus. After the process's first subscription to a user, a Resync follows as
// soon as Redis has confirmed the channel: this process did not hear what others sent before.
func (b *Redis) Subscribe(user mailkey.UserID) *Subscription { return b.local.Subscribe(user) }

func (b *Redis) SubscribeWaking(user mailkey.UserID, wake func()) *Subscription {
	return b.local.SubscribeWaking(user, wake)
}

// Connected implements Bus.
func (b *Redis) Connected() bool { return b.connected.Load() }

// Close implements Bus; it sends what is queued if Redis answers soon.
func (b *Redis) Close() error {
	b.closeOnce.Do(func() {
		close(b.closing)
		_ = b.local.Close()
		flushed := time.AfterFunc(flushTimeout, b.cancel)
		b.wg.Wait()
		flushed.Stop()
		b.cancel()
	})
	return nil
}

// RedisUnder returns the Redis of a bus, which others may have wrapped, or nil if there is none.
func RedisUnder(bus Bus) *Redis {
	for {
		wrapper, ok := bus.(interface{ Unwrap() Bus })
		if !ok {
			redis, _ := bus.(*Redis)
			return redis
		}
		bus = wrapper.Unwrap()
	}
}

// Stats returns the counts since NewRedis.
func (b *Redis) Stats() Stats {
	return Stats{b.published.Load(), b.dropped.Load(), b.received.Load(), b.overheard.Load(), b.connects.Load(),
		b.connected.Load()}
}

func (b *Redis) miss(evs ...Event) {
	b.dropped.Add(uint64(len(evs)))
	b.missedMu.Lock()
	defer b.missedMu.Unlock()
	for _, ev := range evs {
		if len(b.missed) >= maxMissed {
			b.missedAll = true
			clear(b.missed)
		}
		if !b.missedAll {
			b.missed[ev.User] = struct{}{}
		}
	}
}

// publishLoop sends the queued events, many in one round trip. After a failure it drops events for
// reconnectMin, and twice as long after each further one, up to reconnectMax: so they do not each wait
// for a time-out of their own. Then it sends Resync to the subscribers of the users whose events it
// dropped.
func (b *Redis) publishLoop(ctx context.Context) {
	batch := make([]Event, 0, publishBatch)
	retry := time.NewTicker(reconnectMax)
	defer retry.Stop()
	failing, pause := false, reconnectMin
	for {
		batch = batch[:0]
		ending := false
		select {
		case ev := <-b.queue:
			batch = append(batch, ev)
		case <-retry.C:
			failing = false // the next attempt finds out
		case <-b.closing:
			ending = true
		}
		for more := true; more && len(batch) < publishBatch; {
			select {
			case ev := <-b.queue:
				batch = append(batch, ev)
			default:
				more = false
			}
		}
		if ending && len(batch) == 0 || ctx.Err() != nil {
			return
		}
		if failing {
			b.miss(batch...)
			continue
		}
		if err := b.send(ctx, batch); err != nil {
			b.miss(batch...)
			failing = true
			retry.Reset(pause)
			pause = min(2*pause, reconnectMax)
			b.outage.begin(b.log, "publish", err)
			continue
		}
		if pause > reconnectMin {
			pause = reconnectMin
			retry.Reset(reconnectMax)
		}
		if len(batch) > 0 {
			b.outage.end(b.log, "publish")
		}
	}
}

// send publishes the events, and Resync for users whose events were missed.
func (b *Redis) send(ctx context.Context, evs []Event) error {
	b.missedMu.Lock()
	missed, all := b.missed, b.missedAll
	b.missed, b.missedAll = make(map[mailkey.UserID]struct{}), false
	b.missedMu.Unlock()
	if len(evs) == 0 && len(missed) == 0 && !all {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	var messages []message
	if all {
		messages = append(messages, message{channelAll, b.origin})
	}
	for user := range missed {
		evs = append(evs, Event{User: user, Kind: Resync})
	}
	var err error
	for _, ev := range evs {
		var data []byte
		if data, err = encode(b.origin, ev); err != nil {
			break
		}
		messages = append(messages, message{channelOf(ev.User), string(data)})
	}
	if err == nil {
		err = b.publish(ctx, messages)
	}
	if err != nil {
		b.missedMu.Lock()
		b.missedAll = b.missedAll || all
		for user := range missed {
			b.missed[user] = struct{}{}
		}
		b.missedMu.Unlock()
		return fmt.Errorf("publish %d events: %w", len(evs), err)
	}
	b.published.Add(uint64(len(evs)))
	return nil
}
