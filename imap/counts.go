package imap

import (
	"github.com/emersion/go-imap/v2"

	"gadwall/internal/activity"
)

// counts are those of a server's commands.
type counts struct {
	commands map[string]*activity.Operation // by name; not changed after newCounts
	unknown  *activity.Operation
	traffic  *activity.Traffic
}

// protocolName stands in metrics.
const protocolName = "IMAP"

func newCounts(all *activity.Counts) *counts {
	c := &counts{
		commands: make(map[string]*activity.Operation, len(rules)),
		unknown:  all.Operation(protocolName, "unknown"), traffic: all.Traffic(protocolName),
	}
	for name := range rules {
		if name == "IDLE" { // lasts as long as the client likes
			c.commands[name] = all.Untimed(protocolName, name)
			continue
		}
		c.commands[name] = all.Operation(protocolName, name)
	}
	return c
}

// of returns what counts the command of this name, as command.name has it.
func (c *counts) of(name string) *activity.Operation {
	if o := c.commands[name]; o != nil {
		return o
	}
	return c.unknown
}

// resultOf says whose trouble it is that a command is answered with this code and not OK.
func resultOf(code imap.ResponseCode) activity.Result {
	if code == imap.ResponseCodeUnavailable || code == imap.ResponseCodeServerBug {
		return activity.Failed
	}
	return activity.Refused
}
