package submission

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what a Service does.
type Metrics struct {
	messages   *prometheus.CounterVec
	recipients *prometheus.CounterVec
	copies     *prometheus.CounterVec
	waiting    prometheus.Gauge
	seconds    prometheus.Histogram
}

// NewMetrics registers with reg, unless that is nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gadwall_submission_messages_total",
			Help: "Submitted messages by result: relayed, refused (for good), deferred (the client may try " +
				"again), abandoned (by the client)."}, []string{"result"}),
		recipients: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gadwall_submission_recipients_total",
			Help: "Recipients of submitted messages by the smarthost's answer: accepted, refused, deferred."},
			[]string{"result"}),
		copies: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gadwall_submission_copies_total",
			Help: "Copies of sent messages by result: saved, existed (the client had saved it), retried, lost."},
			[]string{"result"}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gadwall_submission_copies_waiting", Help: "Copies of sent messages that wait for the database."}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "gadwall_submission_answer_seconds",
			Help:    "From the end of a submitted message to the smarthost's answer.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}}),
	}
	if reg != nil {
		reg.MustRegister(m.messages, m.recipients, m.copies, m.waiting, m.seconds)
	}
	return m
}

// result is the label of what became of a message or recipient.
func result(r *Refusal) string {
	if r.Temporary() {
		return "deferred"
	}
	return "refused"
}
