package main

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"gadwall/internal/census"
	"gadwall/internal/node"
	"gadwall/internal/pulse"
)

// lately is what this instance tells operators of itself and of the store.
type lately struct {
	registry *prometheus.Registry
	sampler  *pulse.Sampler
	tail     *pulse.Tail
	census   *census.Taker
}

// newLately returns it, with a census that the caller closes.
func newLately(store *node.Node, tail *pulse.Tail, log *slog.Logger) *lately {
	registry := prometheus.NewRegistry()
	return &lately{registry: registry, sampler: pulse.NewSampler(registry), tail: tail,
		census: census.New(census.Options{Database: store.Database, Redis: store.Redis, Mail: store.Mail,
			Contents: store.Contents, Logger: log})}
}
