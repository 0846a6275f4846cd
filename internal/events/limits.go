package events

import "time"

const (
	// MaxUIDs bounds Event.UIDs. An event about more messages carries none.
	MaxUIDs = 256
	// maxPending bounds the events waiting in one subscription; one more turns
	// them all into a single Resync.
	maxPending = 16
	// maxPayload bounds what is accepted from Redis; longer messages become Resync.
	maxPayload = 8 << 10
	// publishTimeout bounds how long Publish may wait for Redis.
	publishTimeout = 500 * time.Millisecond
	// breakAfterFailure is how long Publish leaves Redis alone after a failure,
	// so that an absent Redis does not add its timeout to every change.
	breakAfterFailure = 2 * time.Second
	// maxPublishing bounds the publications to Redis in flight; the rest is dropped.
	maxPublishing = 256
	// pingInterval is how often a silent Redis connection is asked for a sign of life.
	pingInterval = 15 * time.Second
	// reconnectMin and reconnectMax bound the pause between attempts to reach Redis.
	reconnectMin = 100 * time.Millisecond
	reconnectMax = 5 * time.Second
	// subscribeBatch bounds the channels named in one SUBSCRIBE command.
	subscribeBatch = 1000
)
