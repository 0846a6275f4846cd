package httpapi

import (
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"gadwall/internal/mailkey"
)

// updateStreams counts open streams of updates and says whether another may be opened.
type updateStreams struct {
	max, maxPerUser int
	open            prometheus.Gauge

	mu    sync.Mutex
	all   int
	users map[mailkey.UserID]int
}

// admit counts a new stream of a user, unless there are too many.
func (s *updateStreams) admit(user mailkey.UserID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= s.max || s.users[user] >= s.maxPerUser {
		return false
	}
	if s.users == nil {
		s.users = make(map[mailkey.UserID]int)
	}
	s.all++
	s.users[user]++
	s.open.Inc()
	return true
}

// release takes a stream off the count.
func (s *updateStreams) release(user mailkey.UserID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.users[user]--; s.users[user] == 0 {
		delete(s.users, user)
	}
	s.open.Dec()
}

// watchStreams counts open streams of what happens to all users.
type watchStreams struct {
	max  int64
	open prometheus.Gauge
	all  atomic.Int64
}

// admit counts a new stream, unless there are too many.
func (s *watchStreams) admit() bool {
	if s.all.Add(1) > s.max {
		s.all.Add(-1)
		return false
	}
	s.open.Inc()
	return true
}

// release takes a stream off the count.
func (s *watchStreams) release() {
	s.all.Add(-1)
	s.open.Dec()
}

// UpdateMetrics counts what streams of updates do.
type UpdateMetrics struct {
	open                     prometheus.Gauge
	events, resumes, resyncs prometheus.Counter
	watches                  prometheus.Gauge // of streams of what happens to all users
	watched, leftOut         prometheus.Counter
}

// NewUpdateMetrics registers with reg, unless that is nil.
func NewUpdateMetrics(reg prometheus.Registerer) *UpdateMetrics {
	m := &UpdateMetrics{
		open: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gadwall_update_streams", Help: "Open streams of updates."}),
		events: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gadwall_update_events_total", Help: "Events that streams of updates sent."}),
		resumes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gadwall_update_resumes_total", Help: "Streams of updates that went on from a client's position."}),
		resyncs: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gadwall_update_resyncs_total",
			Help: "How often the journal did not reach back to the position of a client."}),
		watches: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gadwall_watch_streams", Help: "Open streams of what happens to all users."}),
		watched: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gadwall_watch_events_total", Help: "Events that streams of what happens to all users sent."}),
		leftOut: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gadwall_watch_left_out_total",
			Help: "Changes that streams of what happens to all users left out."}),
	}
	if reg != nil {
		reg.MustRegister(m.open, m.events, m.resumes, m.resyncs, m.watches, m.watched, m.leftOut)
	}
	return m
}
