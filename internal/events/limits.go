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
	// maxQueue bounds the events waiting to be sent to Redis; of the users whose
	// events do not fit, the other instances get Resync later.
	maxQueue = 1024
	// maxMissed bounds the users remembered for that Resync; with more, everybody
	// gets it.
	maxMissed = 4096
	// publishBatch bounds the events sent to Redis in one round trip.
	publishBatch = 128
	// publishTimeout bounds one round trip of publications.
	publishTimeout = time.Second
	// flushTimeout bounds how long Close waits for queued events to be sent.
	flushTimeout = time.Second
	// doubtSpread is the time within which Doubt tells all users, in doubtSteps.
	doubtSpread = 30 * time.Second
	doubtSteps  = 300
	// pingInterval is how long a Redis connection may be silent before it is
	// asked for a sign of life; silent as long again, it is given up.
	pingInterval = 10 * time.Second
	// reconnectMin and reconnectMax bound the pause between attempts to reach Redis.
	reconnectMin = 100 * time.Millisecond
	reconnectMax = 5 * time.Second
	// subscribeBatch bounds the channels named in one SUBSCRIBE command.
	subscribeBatch = 1000
	// maxEmbeddedCommand bounds one command to the embedded Redis in octets: subscribeBatch
	// channels, or one event.
	maxEmbeddedCommand = 128 << 10
	// maxEmbeddedConns bounds the connections to the embedded Redis.
	maxEmbeddedConns = 256
	// embeddedWriteTimeout bounds how long a client of the embedded Redis may not read.
	embeddedWriteTimeout = 5 * time.Second
)
