package ingest

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what the servers of this package do.
type Metrics struct {
	connections *prometheus.GaugeVec
	bodies      *prometheus.CounterVec
	bytes       *prometheus.CounterVec
	deliveries  *prometheus.CounterVec
}

// NewMetrics registers with reg, unless that is nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		connections: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gadwall_ingest_connections", Help: "Open LMTP and SMTP connections."}, []string{"protocol"}),
		bodies: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gadwall_ingest_bodies_total",
			Help: "Message bodies by how their transfer ended: stored, refused, aborted, failed."},
			[]string{"protocol", "result"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gadwall_ingest_bytes_total", Help: "Octets of stored message bodies."}, []string{"protocol"}),
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gadwall_ingest_deliveries_total",
			Help: "Deliveries into mailboxes by result: ok, quota, failed."},
			[]string{"protocol", "result"}),
	}
	if reg != nil {
		reg.MustRegister(m.connections, m.bodies, m.bytes, m.deliveries)
	}
	return m
}
