package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gadwall/internal/smarthost"
	"gadwall/internal/submission"
)

// lastCopies bounds how long a stopping server tries to save copies of sent messages that wait for
// the database.
const lastCopies = 15 * time.Second

// sender is submission as a running server has it; without a smarthost it does nothing.
type sender struct {
	service *submission.Service // nil without a smarthost
	stop    context.CancelFunc
	probing sync.WaitGroup
}

// newSender makes what the settings want. It connects to the smarthost in the background, to learn
// what it offers, and to warn if it cannot be reached.
func (c *serveCmd) newSender(registry *prometheus.Registry, log *slog.Logger) (*sender, error) {
	s := &sender{}
	if c.Smarthost == "" {
		return s, nil
	}
	at, o := c.SubmissionOptions()
	o.Logger, o.Metrics = log, submission.NewMetrics(registry)
	o.Smarthost = smarthost.New(at)
	registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "gadwall_smarthost_connections", Help: "Connections to the smarthost that carry a message.",
		}, func() float64 { used, _ := o.Smarthost.Connections(); return float64(used) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "gadwall_smarthost_connections_idle", Help: "Connections to the smarthost that wait for a message.",
		}, func() float64 { _, idle := o.Smarthost.Connections(); return float64(idle) }))
	var err error
	if s.service, err = submission.New(o); err != nil {
		return nil, err
	}
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	s.probing.Go(func() {
		if err := o.Smarthost.Probe(ctx); err != nil && ctx.Err() == nil {
			log.Warn("the smarthost cannot be reached: mail cannot be sent now", "smarthost", c.Smarthost, "error", err)
		}
	})
	return s, nil
}

// close ends submission after its listeners, and before the storage.
func (s *sender) close() {
	if s.service == nil {
		return
	}
	s.stop()
	s.probing.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), lastCopies)
	defer cancel()
	s.service.Close(ctx)
}
