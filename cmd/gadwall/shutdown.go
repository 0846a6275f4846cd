package main

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// shutdownTimeout bounds how long a stopping server waits for transactions in progress. Those
	// that are cut off then were not acknowledged.
	shutdownTimeout = 30 * time.Second
	// shutdownTell is how often a stopping server tells what it waits for.
	shutdownTell = 5 * time.Second
)

// shutdown ends all protocols at the same time, and tells now and then what it waits for.
func shutdown(protocols []protocol, every time.Duration, log *slog.Logger) {
	limit, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	left := make(map[string]bool) // by name
	for _, p := range protocols {
		left[p.name] = true
	}
	log.Info("stopping: commands and deliveries in progress are finished first; another signal ends it at once",
		"protocols", namesOf(left), "at_most", shutdownTimeout)
	var stopping sync.WaitGroup
	ended := make(chan string, len(protocols))
	for _, p := range protocols {
		stopping.Go(func() {
			if err := p.shutdown(limit); err != nil {
				log.Warn("some connections were cut off", "protocol", p.name, "error", err)
			}
			ended <- p.name
		})
	}
	tell := time.NewTicker(every)
	defer tell.Stop()
	for len(left) > 0 {
		select {
		case name := <-ended:
			delete(left, name)
		case <-tell.C:
			log.Info("still stopping: connections have not ended", "protocols", namesOf(left))
		}
	}
	stopping.Wait()
}

func namesOf(left map[string]bool) string {
	var names []string
	for name := range left {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}
