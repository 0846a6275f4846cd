package docstore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"gadwall/internal/docstore/engine"
	"gadwall/internal/docstore/mongoerr"
)

// A stream is the outcome of a query, document by document. It is used by one goroutine at a time.
type stream interface {
	// Next returns a document that is valid until the next call of any method, or io.EOF.
	Next(ctx context.Context) (bson.Raw, error)
	// Pause lets go of what pins memory until Next is called again.
	Pause() error
	Close() error
}

type emptyStream struct{}

func (emptyStream) Next(context.Context) (bson.Raw, error) { return nil, io.EOF }
func (emptyStream) Pause() error                           { return nil }
func (emptyStream) Close() error                           { return nil }

// A cursor is a stream that waits for getMore.
type cursor struct {
	id     int64
	ns     string
	stream stream
	// pending is a document that did not fit into the last batch.
	pending bson.Raw
	// reading is what the stream reads; nil for a stream that reads nothing.
	reading *engine.Reading
	// lsid and txn tell the session, and the transaction, in which the cursor lives.
	lsid      sessionID
	hasLsid   bool
	unit      *engine.Unit
	noTimeout bool
	lastUse   time.Time
	// busy is set while a command uses the cursor; doomed, when it is to be closed after that.
	busy, doomed bool
}

// close releases what the cursor holds. It may be called more than once.
func (c *cursor) close() (err error) {
	if c.reading != nil { // which is closed also when the stream panics
		defer func() { err = errors.Join(err, c.reading.Close()) }()
	}
	return c.stream.Close()
}

// unlessKept closes the cursor at the end of a command that did not leave it to getMore.
func (c *cursor) unlessKept(err *error) {
	if c.id == 0 {
		*err = errors.Join(*err, c.close())
	}
}

// cursors holds the open cursors.
type cursors struct {
	mu  sync.Mutex
	all map[int64]*cursor
	log func(error)
}

func newCursors(log func(error)) *cursors {
	return &cursors{all: map[int64]*cursor{}, log: log}
}

// add keeps a cursor and gives it an id.
func (cs *cursors) add(c *cursor) error {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if len(cs.all) >= maxOpenCursors {
		return mongoerr.New(mongoerr.OperationFailed, "more than %d open cursors", maxOpenCursors)
	}
	for c.id == 0 || cs.all[c.id] != nil {
		c.id = rand.Int64N(1<<62) + 1
	}
	c.lastUse = time.Now()
	cs.all[c.id] = c
	return nil
}

// take gives the cursor to one command.
func (cs *cursors) take(id int64) (*cursor, error) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c := cs.all[id]
	if c == nil || c.doomed {
		return nil, mongoerr.New(mongoerr.CursorNotFound, "cursor id %d not found", id)
	}
	if c.busy {
		return nil, mongoerr.New(mongoerr.OperationFailed, "cursor id %d is already in use", id)
	}
	c.busy = true
	return c, nil
}

// give puts the cursor back, or ends it.
func (cs *cursors) give(c *cursor, done bool) {
	cs.mu.Lock()
	c.busy = false
	c.lastUse = time.Now()
	done = done || c.doomed
	if done {
		delete(cs.all, c.id)
	}
	cs.mu.Unlock()
	if done {
		cs.finish(c)
	}
}

func (cs *cursors) finish(c *cursor) {
	if err := c.close(); err != nil {
		cs.log(err)
	}
}

// kill ends the cursors that choose picks, and returns their ids. One in use ends when its command
// does.
func (cs *cursors) kill(choose func(*cursor) bool) []int64 {
	cs.mu.Lock()
	var ids []int64
	var idle []*cursor
	for id, c := range cs.all {
		if !choose(c) {
			continue
		}
		ids = append(ids, id)
		if c.busy {
			c.doomed = true
			continue
		}
		delete(cs.all, id)
		idle = append(idle, c)
	}
	cs.mu.Unlock()
	for _, c := range idle {
		cs.finish(c)
	}
	return ids
}

// killIDs ends the cursors with these ids, and returns those that there were.
func (cs *cursors) killIDs(ids []int64) []int64 {
	wanted := make(map[int64]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
	}
	return cs.kill(func(c *cursor) bool { return wanted[c.id] })
}

func (cs *cursors) expire(now time.Time) {
	cs.kill(func(c *cursor) bool { return !c.busy && !c.noTimeout && now.Sub(c.lastUse) > cursorTimeout })
}

// fill appends the next batch as an array to dst. done reports that nothing is left.
func (c *cursor) fill(ctx context.Context, dst []byte, field string, batch int64) (out []byte,
	n int64, done bool, err error) {
	i, dst := bsoncore.AppendArrayElementStart(dst, field)
	start := len(dst)
	for n < batch {
		doc := c.pending
		c.pending = nil
		if doc == nil {
			doc, err = c.stream.Next(ctx)
			if err == io.EOF {
				done, err = true, nil
				break
			}
			if err != nil {
				return nil, 0, false, err
			}
		}
		if n > 0 && len(dst)-start+len(doc) > maxBatchBytes {
			c.pending = bytes.Clone(doc)
			break
		}
		dst = appendItem(dst, n, doc)
		n++
	}
	dst, _ = bsoncore.AppendArrayEnd(dst, i)
	if !done {
		err = c.stream.Pause()
	}
	return dst, n, done, err
}
