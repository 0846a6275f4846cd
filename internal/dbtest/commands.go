package dbtest

import (
	"context"
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
}

func (c *Commands) of(t target) *count {
	n := c.counts[t]
	if n == nil {
		n = &count{}
		c.counts[t] = n
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
