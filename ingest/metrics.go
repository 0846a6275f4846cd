package ingest

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"gadwall/internal/activity"
)

// Metrics counts what the servers of this package do.
type Metrics struct {
	connections *prometheus.GaugeVec
	bodies      *prometheus.CounterVec
	bytes       *prometheus.CounterVec
	deliveries  *prometheus.CounterVec
	refusals    *prometheus.CounterVec
}

// Reasons of refusals, as metrics name them.
const (
	refusedFull      = "connections"       // more than MaxConnections
	refusedAddress   = "address"           // more than MaxConnectionsPerAddress
	refusedSilent    = "silent"            // no greeting within greetingTimeout
	refusedUnknown   = "unknown_recipient" // RCPT
	refusedQuota     = "over_quota"        // RCPT
	refusedSuspended = "suspended"         // RCPT
	refusedSize      = "size"              // MAIL with SIZE
	refusedHarvest   = "many_unknown"      // more than maxRefused
	refusedIdle      = "idle_commands"     // more than maxIdleCommands
	refusedMistakes  = "mistakes"          // more than maxMistakes
)

// NewMetrics registers with reg, unless that is nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		connections: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gadwall_ingest_connections", Help: "Open connections of LMTP, SMTP and submission."},
			[]string{"protocol"}),
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
	m.refusals = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gadwall_ingest_refusals_total",
		Help: "What was refused before a body: connections (connections, address, silent, " +
			"many_unknown, idle_commands, mistakes), recipients (unknown_recipient, over_quota), " +
			"messages (size)."},
		[]string{"protocol", "reason"})
	if reg != nil {
		reg.MustRegister(m.connections, m.bodies, m.bytes, m.deliveries, m.refusals)
	}
	return m
}

// resultOf says how a delivery ended that was answered like this. One recipient who has it makes it
// a success: the others have replies of their own.
func resultOf(results []reply) activity.Result {
	end := activity.Refused
	for _, r := range results {
		switch {
		case !r.failed():
			return activity.OK
		case strings.HasPrefix(r.status, "4.3."): // trouble of the server
			end = activity.Failed
		}
	}
	return end
}
