package activity

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.mongodb.org/mongo-driver/v2/event"
)

// Counts are those of an instance. Its methods may be called from any goroutine.
type Counts struct {
	background Operation
	database   map[string]*databaseCommand // by name; not changed after New

	mu         sync.Mutex
	operations map[[2]string]*Operation
	order      []*Operation
	traffic    []*Traffic
}

// A databaseCommand counts commands of one name.
type databaseCommand struct {
	name     string
	duration histogram
	failed   atomic.Int64
}

// Traffic counts octets between the server and clients of one protocol.
type Traffic struct {
	protocol       string
	Received, Sent atomic.Int64
}

// otherCommand counts commands that are not in databaseCommands.
const otherCommand = "other"

var databaseCommands = []string{
	"find", "getMore", "aggregate", "count", "distinct", "insert", "update", "delete", "findAndModify",
	"bulkWrite", "commitTransaction", "abortTransaction", "killCursors", "ping", otherCommand,
}

// New returns Counts without operations but the one that nobody asked for.
func New() *Counts {
	c := &Counts{
		background: Operation{protocol: "background", command: "other"},
		database:   make(map[string]*databaseCommand), operations: make(map[[2]string]*Operation),
	}
	for _, name := range databaseCommands {
		c.database[name] = &databaseCommand{name: name}
	}
	c.order = append(c.order, &c.background)
	return c
}

// Operation returns the operation of a protocol and a command. Protocols call it when they start.
func (c *Counts) Operation(protocol, command string) *Operation {
	return c.operation(protocol, command, true)
}

// Untimed is Operation for commands that last as long as the client likes, such as IDLE. They have
// no histogram.
func (c *Counts) Untimed(protocol, command string) *Operation {
	return c.operation(protocol, command, false)
}

func (c *Counts) operation(protocol, command string, timed bool) *Operation {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := [2]string{protocol, command}
	o := c.operations[key]
	if o == nil {
		o = &Operation{protocol: protocol, command: command, timed: timed}
		o.actor.At(o)
		c.operations[key] = o
		c.order = append(c.order, o)
	}
	return o
}

// Traffic returns what counts the octets of a protocol.
func (c *Counts) Traffic(protocol string) *Traffic {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.traffic {
		if t.protocol == protocol {
			return t
		}
	}
	t := &Traffic{protocol: protocol}
	c.traffic = append(c.traffic, t)
	return t
}

// Monitor is what a driver tells of its commands. It asks for no Started, for which the driver would
// copy each command.
func (c *Counts) Monitor() *event.CommandMonitor {
	return &event.CommandMonitor{
		Succeeded: func(ctx context.Context, e *event.CommandSucceededEvent) {
			c.asked(ctx, e.CommandName, len(e.Reply), e.Duration)
		},
		Failed: func(ctx context.Context, e *event.CommandFailedEvent) {
			c.asked(ctx, e.CommandName, 0, e.Duration).failed.Add(1)
		},
	}
}

// asked counts a command of the database and its answer.
func (c *Counts) asked(ctx context.Context, command string, bytes int, took time.Duration) *databaseCommand {
	o := operationOf(ctx)
	if o == nil {
		o = &c.background
	}
	o.databaseCommands.Add(1)
	o.databaseBytes.Add(int64(bytes))
	d := c.database[command]
	if d == nil {
		d = c.database[otherCommand]
	}
	d.duration.observe(took)
	return d
}

var (
	commandsDesc = prometheus.NewDesc("gadwall_commands_total",
		"Commands of clients by how they ended: ok, refused, failed, aborted.",
		[]string{"protocol", "command", "result"}, nil)
	durationDesc = prometheus.NewDesc("gadwall_command_duration_seconds",
		"How long commands of clients took, reading what the client sends and writing the answer included.",
		[]string{"protocol", "command"}, nil)
	askedDesc = prometheus.NewDesc("gadwall_command_database_commands_total",
		"Commands that the database was sent for commands of clients.", []string{"protocol", "command"}, nil)
	loadedDesc = prometheus.NewDesc("gadwall_command_database_bytes_total",
		"Octets of the database's answers to them.", []string{"protocol", "command"}, nil)
	receivedDesc = prometheus.NewDesc("gadwall_client_received_bytes_total",
		"Octets that clients sent.", []string{"protocol"}, nil)
	sentDesc = prometheus.NewDesc("gadwall_client_sent_bytes_total",
		"Octets that clients were sent.", []string{"protocol"}, nil)
	databaseDurationDesc = prometheus.NewDesc("gadwall_database_command_duration_seconds",
		"How long commands of the database took.", []string{"command"}, nil)
	databaseFailedDesc = prometheus.NewDesc("gadwall_database_command_failures_total",
		"Commands of the database that failed, those that are tried again included.", []string{"command"}, nil)
)

var _ prometheus.Collector = (*Counts)(nil)

// Describe implements prometheus.Collector.
func (c *Counts) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{commandsDesc, durationDesc, askedDesc, loadedDesc, receivedDesc, sentDesc,
		databaseDurationDesc, databaseFailedDesc} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c *Counts) Collect(to chan<- prometheus.Metric) {
	c.mu.Lock()
	operations, traffic := c.order[:len(c.order):len(c.order)], c.traffic[:len(c.traffic):len(c.traffic)]
	c.mu.Unlock()
	count := func(desc *prometheus.Desc, n int64, labels ...string) {
		to <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n), labels...)
	}
	for _, o := range operations {
		for r := range o.ended {
			if n := o.ended[r].Load(); n > 0 {
				count(commandsDesc, n, o.protocol, o.command, Result(r).String())
			}
		}
		if m := o.duration.metric(durationDesc, o.protocol, o.command); m != nil {
			to <- m
		}
		if commands, bytes := o.Asked(); commands > 0 {
			count(askedDesc, commands, o.protocol, o.command)
			count(loadedDesc, bytes, o.protocol, o.command)
		}
	}
	for _, t := range traffic {
		count(receivedDesc, t.Received.Load(), t.protocol)
		count(sentDesc, t.Sent.Load(), t.protocol)
	}
	for _, name := range databaseCommands {
		d := c.database[name]
		if m := d.duration.metric(databaseDurationDesc, d.name); m != nil {
			to <- m
			count(databaseFailedDesc, d.failed.Load(), d.name)
		}
	}
}
