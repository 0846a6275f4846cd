package database

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// How long things may take unless the connection string says otherwise.
const (
	// operationTimeout bounds each call of the database whose context has no deadline: a command, or
	// the next batch of a cursor (timeoutMS).
	operationTimeout = time.Minute
	// selectTimeout bounds how long a call looks for a primary (serverSelectionTimeoutMS). A set
	// elects another one within 10 to 12 seconds.
	selectTimeout = 15 * time.Second
	// connectTimeout bounds a connection attempt (connectTimeoutMS). connectTimeout and heartbeat
	// together are how long the driver waits for a sign of life of a server that hangs, before it
	// breaks the calls that wait for it.
	connectTimeout = 5 * time.Second
	heartbeat      = 5 * time.Second // heartbeatFrequencyMS
)

// Bound sets how long calls may take, unless the options, which come from a connection string, say
// it.
func Bound(o *options.ClientOptions) *options.ClientOptions {
	if o.Timeout == nil {
		o.SetTimeout(operationTimeout)
	}
	if o.ServerSelectionTimeout == nil {
		o.SetServerSelectionTimeout(selectTimeout)
	}
	if o.ConnectTimeout == nil {
		o.SetConnectTimeout(connectTimeout)
	}
	if o.HeartbeatInterval == nil {
		o.SetHeartbeatInterval(heartbeat)
	}
	return o
}

// never is a deadline that the driver takes for one, and no server hears of.
const never = 100 * 365 * 24 * time.Hour

// Unbounded returns a context whose calls may take as long as they need: to build an index, to
// validate a collection. The caller calls cancel in the end.
func Unbounded(ctx context.Context) (unbounded context.Context, cancel context.CancelFunc) {
	return context.WithTimeout(ctx, never)
}
