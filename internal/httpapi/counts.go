package httpapi

import (
	"net/http"
	"slices"
	"time"

	"gadwall/internal/activity"
)

// counts are those of requests.
type counts struct {
	operations map[string]*activity.Operation // by the ids of routes; not changed after newCounts
	unknown    *activity.Operation            // no such route
	traffic    *activity.Traffic
}

// protocolName stands in metrics.
const protocolName = "HTTP"

func newCounts(all *activity.Counts, routes []route) counts {
	c := counts{
		operations: make(map[string]*activity.Operation, len(routes)),
		unknown:    all.Operation(protocolName, "unknown"), traffic: all.Traffic(protocolName),
	}
	for _, r := range routes {
		id := r.about.id
		if slices.Contains(r.about.answerTypes, "text/event-stream") { // lasts as long as the client likes
			c.operations[id] = all.Untimed(protocolName, id)
			continue
		}
		c.operations[id] = all.Operation(protocolName, id)
	}
	return c
}

// of returns what counts the requests of a route.
func (c *counts) of(id string) *activity.Operation {
	if o := c.operations[id]; o != nil {
		return o
	}
	return c.unknown
}

// done counts a request that was answered.
func (c *counts) done(r *http.Request, w *responseWriter, took time.Duration) {
	operation := w.operation
	if operation == nil {
		operation = c.unknown
	}
	result := activity.OK
	switch {
	case r.Context().Err() != nil:
		result = activity.Aborted
	case w.status >= http.StatusInternalServerError:
		result = activity.Failed
	case w.status >= http.StatusBadRequest:
		result = activity.Refused
	}
	operation.Done(result, took)
}
