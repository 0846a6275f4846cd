package pulse

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// A Sample is what an instance did, and had, at one moment. Rates are for a second.
type Sample struct {
	At              time.Time `json:"at"`
	IMAPConnections float64   `json:"imapConnections"`
	MailConnections float64   `json:"mailConnections" doc:"LMTP, SMTP and submission."`
	Deliveries      float64   `json:"deliveries" doc:"Into mailboxes, a second."`
	ReceivedBytes   float64   `json:"receivedBytes" doc:"Of message bodies, a second."`
	IMAPCommands    float64   `json:"imapCommands" doc:"A second."`
	IMAPBytes       float64   `json:"imapBytes" doc:"Sent to IMAP clients, a second."`
	Database        float64   `json:"databaseCommands" doc:"A second."`
	Memory          float64   `json:"memory" doc:"Resident, in octets."`
	Processor       float64   `json:"processor" doc:"Processors in use: 1 is one of them all the time."`
	Goroutines      float64   `json:"goroutines"`
}

// counts are the sums that a sample is made of.
type counts struct {
	deliveries, received, commands, sent, database, processor float64
}

// A Sampler takes samples.
type Sampler struct {
	from prometheus.Gatherer

	mu      sync.Mutex
	samples []Sample // the oldest first
	last    counts
}

// NewSampler returns a Sampler of what a registry has.
func NewSampler(from prometheus.Gatherer) *Sampler { return &Sampler{from: from} }

// Run takes a sample now and then, until ctx ends.
func (s *Sampler) Run(ctx context.Context) {
	ticker := time.NewTicker(Interval)
	defer ticker.Stop()
	for {
		s.take(time.Now())
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// take adds a sample. The first has no rates.
func (s *Sampler) take(now time.Time) {
	families, err := s.from.Gather()
	if err != nil && len(families) == 0 {
		return
	}
	f := make(figures, len(families))
	for _, family := range families {
		f[family.GetName()] = family
	}
	sum := counts{
		deliveries: f.sum("gadwall_ingest_deliveries_total", "result", "ok"),
		received:   f.sum("gadwall_ingest_bytes_total", "", ""),
		commands:   f.sum("gadwall_commands_total", "protocol", "IMAP"),
		sent:       f.sum("gadwall_client_sent_bytes_total", "protocol", "IMAP"),
		database:   f.sum("gadwall_database_command_duration_seconds", "", ""),
		processor:  f.sum("process_cpu_seconds_total", "", ""),
	}
	sample := Sample{
		At:              now.UTC().Truncate(time.Millisecond),
		IMAPConnections: f.sum("gadwall_imap_connections", "", ""),
		MailConnections: f.sum("gadwall_ingest_connections", "", ""),
		Memory:          f.sum("process_resident_memory_bytes", "", ""),
		Goroutines:      float64(runtime.NumGoroutine()),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.samples); n > 0 {
		seconds := now.Sub(s.samples[n-1].At).Seconds()
		rate := func(now, before float64) float64 {
			if seconds <= 0 {
				return 0
			}
			return max(0, now-before) / seconds
		}
		sample.Deliveries = rate(sum.deliveries, s.last.deliveries)
		sample.ReceivedBytes = rate(sum.received, s.last.received)
		sample.IMAPCommands = rate(sum.commands, s.last.commands)
		sample.IMAPBytes = rate(sum.sent, s.last.sent)
		sample.Database = rate(sum.database, s.last.database)
		sample.Processor = rate(sum.processor, s.last.processor)
		if n == maxSamples {
			s.samples = append(s.samples[:0], s.samples[1:]...)
		}
	}
	s.last = sum
	s.samples = append(s.samples, sample)
}

// Samples returns those after a time, the oldest first.
func (s *Sampler) Samples(after time.Time) []Sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.samples {
		if s.samples[i].At.After(after) {
			return append([]Sample{}, s.samples[i:]...)
		}
	}
	return []Sample{}
}

// Figures returns those of the latest sample that an instance tells others, by their names in Sample.
func (s *Sampler) Figures() map[string]float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.samples) == 0 {
		return nil
	}
	last := s.samples[len(s.samples)-1]
	return map[string]float64{
		"imapConnections": last.IMAPConnections, "mailConnections": last.MailConnections,
		"deliveries": last.Deliveries, "imapCommands": last.IMAPCommands,
		"memory": last.Memory, "processor": last.Processor,
	}
}

// figures are families of metrics by their names.
type figures map[string]*dto.MetricFamily

// sum adds up a family: values, or of histograms the numbers of observations. With a label it adds up
// the metrics that have that value of it.
func (f figures) sum(name, label, value string) (sum float64) {
	for _, m := range f[name].GetMetric() {
		fits := label == ""
		for _, l := range m.GetLabel() {
			fits = fits || l.GetName() == label && l.GetValue() == value
		}
		if !fits {
			continue
		}
		sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
	}
	return sum
}
