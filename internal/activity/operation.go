package activity

import (
	"context"
	"sync/atomic"
	"time"
)

// A Result says how an operation ended.
type Result uint8

const (
	OK      Result = iota
	Refused        // what the client asked for cannot be
	Failed         // by trouble of the server
	Aborted        // the client went away
	results = iota
)

// String is the value of the label.
func (r Result) String() string { return [results]string{"ok", "refused", "failed", "aborted"}[r] }

// An Operation counts one kind of work. Its methods may be called from any goroutine.
type Operation struct {
	protocol, command string
	timed             bool
	actor             Actor // who is always at this operation

	ended    [results]atomic.Int64
	duration histogram

	databaseCommands, databaseBytes atomic.Int64
}

// Done counts an operation that has ended.
func (o *Operation) Done(r Result, took time.Duration) {
	o.ended[r].Add(1)
	if o.timed {
		o.duration.observe(took)
	}
}

// Context returns a context whose database commands count for the operation.
func (o *Operation) Context(ctx context.Context) context.Context { return o.actor.Context(ctx) }

// Asked returns how many commands the database was sent for the operation, and the octets of the
// answers.
func (o *Operation) Asked() (commands, bytes int64) {
	return o.databaseCommands.Load(), o.databaseBytes.Load()
}

// An Actor is at one operation at a time. The zero Actor is at none.
type Actor struct{ at atomic.Pointer[Operation] }

// At says at which operation the actor is from now on.
func (a *Actor) At(o *Operation) { a.at.Store(o) }

type actorKey struct{}

// Context returns a context whose database commands count for the operation at which the actor is
// then.
func (a *Actor) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// Follow returns ctx with the actor of another context, for work that goes on behind a caller.
func Follow(ctx, caller context.Context) context.Context {
	if a, ok := caller.Value(actorKey{}).(*Actor); ok {
		return a.Context(ctx)
	}
	return ctx
}

// operationOf returns the operation at which the context's actor is; nil if there is none.
func operationOf(ctx context.Context) *Operation {
	if a, ok := ctx.Value(actorKey{}).(*Actor); ok {
		return a.at.Load()
	}
	return nil
}
