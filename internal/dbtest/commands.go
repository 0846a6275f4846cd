package dbtest

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
)

// Commands counts what a client asks of the database and gets from it. It may be used concurrently.
type Commands struct {
	mu      sync.Mutex
	counts  map[target]*count
	order   []target         // of their first commands
	waits   int              // see Waits
	pending map[int64]target // by request id
}

type target struct{ command, collection string }

type count struct{ commands, failed, documents, bytes int }

func newCommands() *Commands {
	return &Commands{counts: map[target]*count{}, pending: map[int64]target{}}
}

func (c *Commands) started(_ context.Context, e *event.CommandStartedEvent) {
	t := target{command: e.CommandName}
	field := e.CommandName
	if e.CommandName == "getMore" {
		field = "collection"
	}
	if name, ok := e.Command.Lookup(field).StringValueOK(); ok {
		t.collection = name
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of(t).commands++
	c.pending[e.RequestID] = t
	if w, err := e.Command.LookupErr("writeConcern", "w"); err == nil && w.Type == bson.TypeString {
		c.waits++
	}
}

func (c *Commands) of(t target) *count {
	n := c.counts[t]
	if n == nil {
		n = &count{}
		c.counts[t] = n
		c.order = append(c.order, t)
	}
	return n
}

func (c *Commands) succeeded(_ context.Context, e *event.CommandSucceededEvent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.of(c.pending[e.RequestID])
	delete(c.pending, e.RequestID)
	for _, batch := range []string{"firstBatch", "nextBatch"} {
		v, err := e.Reply.LookupErr("cursor", batch)
		if err != nil {
			continue
		}
		docs, ok := v.ArrayOK()
		if !ok {
			continue
		}
		values, err := docs.Values()
		if err != nil {
			continue
		}
		n.documents += len(values)
		for _, doc := range values {
			n.bytes += len(doc.Value)
		}
	}
	if v, err := e.Reply.LookupErr("value"); err == nil && v.Type == bson.TypeEmbeddedDocument {
		n.documents++ // findAndModify
		n.bytes += len(v.Value)
	}
}

func (c *Commands) failed(_ context.Context, e *event.CommandFailedEvent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of(c.pending[e.RequestID]).failed++
	delete(c.pending, e.RequestID)
}

// Reset forgets everything counted.
func (c *Commands) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.counts)
	c.order, c.waits = nil, 0
}

func (c *Commands) sum(match func(target) bool, get func(*count) int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for t, cnt := range c.counts {
		if match(t) {
			n += get(cnt)
		}
	}
	return n
}

// Count is how often a command was sent to a collection; "" stands for any collection.
func (c *Commands) Count(command, collection string) int {
	return c.sum(func(t target) bool {
		return t.command == command && (collection == "" || t.collection == collection)
	}, func(n *count) int { return n.commands })
}

// Total is how many commands were sent in all.
func (c *Commands) Total() int {
	return c.sum(func(target) bool { return true }, func(n *count) int { return n.commands })
}

// Waits is how many commands had the write concern majority: each waited until what it had written
// was durable. Statements of a transaction have none, its commit has one.
func (c *Commands) Waits() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waits
}

// Sequence lists the commands in the order in which the first of each was sent, those that were
// sent several times with their number.
func (c *Commands) Sequence() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []string
	for _, t := range c.order {
		item := t.command
		if t.collection != "" {
			item += " " + t.collection
		}
		if n := c.counts[t].commands; n > 1 {
			item = fmt.Sprintf("%d x %s", n, item)
		}
		list = append(list, item)
	}
	return strings.Join(list, ", ")
}

// reads tells the commands that return documents.
func reads(t target, collection string) bool {
	switch t.command {
	case "find", "getMore", "aggregate", "findAndModify":
		return collection == "" || t.collection == collection
	}
	return false
}

// Reads is how many reading commands (find, getMore, aggregate, findAndModify) a collection got; "" stands
// for any.
func (c *Commands) Reads(collection string) int {
	return c.sum(func(t target) bool { return reads(t, collection) }, func(n *count) int { return n.commands })
}

// Documents is how many documents reading commands returned from a collection; "" stands for any.
func (c *Commands) Documents(collection string) int {
	return c.sum(func(t target) bool { return reads(t, collection) }, func(n *count) int { return n.documents })
}

// Bytes is the size of these documents.
func (c *Commands) Bytes(collection string) int {
	return c.sum(func(t target) bool { return reads(t, collection) }, func(n *count) int { return n.bytes })
}

// String lists the counts, for the message of a failed test.
func (c *Commands) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var lines []string
	for t, n := range c.counts {
		lines = append(lines, strings.TrimSpace(t.command+" "+t.collection)+
			": "+plural(n.commands, "command")+", "+plural(n.documents, "document"))
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}
