package maintenance

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/internal/lease"
	"gadwall/internal/mailstore"
)

const (
	taskCheck = "check"
	partCheck = "check"

	// checkLook is how often an instance looks whether it is time for a check, at least.
	checkLook = time.Hour
	// checkProgress is how often a scheduled check logs how far it is.
	checkProgress = 10 * time.Minute
	// maxLogged is how many findings of one check are logged one by one.
	maxLogged = 100
)

// PeriodicCheck checks the store now and then, in one instance of all that serve. It repairs leaks,
// which are what crashes leave, and reports everything else.
type PeriodicCheck struct {
	periodic
	mail *mailstore.Store
	rest func(ctx context.Context, d time.Duration) error

	runs                           *prometheus.CounterVec
	findings                       *prometheus.GaugeVec
	completed, duration, undecided prometheus.Gauge
}

// CheckTask is the task of checks on a database.
func CheckTask(db *mongo.Database, client *redis.Client, log *slog.Logger) *lease.Task {
	return &lease.Task{Name: taskCheck, Database: db, Redis: client, Log: log}
}

// NewPeriodicCheck returns a check that Run repeats every interval; never if that is 0.
func NewPeriodicCheck(mail *mailstore.Store, task *lease.Task, interval time.Duration) *PeriodicCheck {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	c := &PeriodicCheck{
		periodic: periodic{
			task: task, part: partCheck, interval: interval, look: min(interval/lookTries, checkLook),
			log: task.Log, now: time.Now,
		},
		mail: mail, rest: Rest,
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gadwall_check_runs_total", Help: "Scheduled checks by this instance."}, []string{"result"}),
		findings: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gadwall_check_findings", Help: "What the last check by this instance found."},
			[]string{"kind", "repaired"}),
		completed: gauge("gadwall_check_completed_timestamp_seconds",
			"When the last complete check by any instance began, as far as this one knows."),
		duration: gauge("gadwall_check_duration_seconds", "How long the last check by this instance took."),
		undecided: gauge("gadwall_check_undecided",
			"Documents and users that were in use during the last check by this instance, which says nothing of them."),
	}
	c.do = c.check
	c.seen = func(at time.Time) {
		if !at.IsZero() {
			c.completed.Set(float64(at.Unix()))
		}
	}
	c.failed = func() { c.runs.WithLabelValues("failed").Inc() }
	return c
}

// Register adds the metrics of the checks of this instance.
func (c *PeriodicCheck) Register(r prometheus.Registerer) {
	r.MustRegister(c.runs, c.findings, c.completed, c.duration, c.undecided)
}

// check checks as long as the lease is held, and records when.
func (c *PeriodicCheck) check(ctx context.Context, l *lease.Lease) error {
	began := c.now()
	type counted struct {
		kind     string
		repaired bool
	}
	counts := make(map[counted]int64)
	logged := 0
	progress := progressLog{log: c.log, now: c.now}
	pacer := &Pacer{Check: l.Check, Now: c.now, Rest: c.rest}
	c.log.Info("check begins")
	sum, err := Check(ctx, c.mail, CheckOptions{
		Repair: true, LeaksOnly: true, Progress: progress.show, Guard: pacer.Guard, Wait: c.rest,
		Found: func(f Finding) {
			counts[counted{f.Kind, f.Repaired}]++
			if logged++; !f.Repaired && logged <= maxLogged {
				c.log.Error("damage found", "kind", f.Kind, "user", f.User, "mailbox", f.Mailbox, "uid", f.UID,
					"content", f.Content, "blob", f.Blob, "file", f.File, "detail", f.Detail)
			}
		},
	})
	if err != nil {
		return err
	}
	if err := l.SetDone(ctx, partCheck, began); err != nil {
		return err
	}
	c.duration.Set(c.now().Sub(began).Seconds())
	c.undecided.Set(float64(sum.Undecided()))
	c.findings.Reset()
	var kinds []any // damage by kind
	for of, n := range counts {
		repaired := "no"
		if of.repaired {
			repaired = "yes"
		} else {
			kinds = append(kinds, slog.Int64(of.kind, n))
		}
		c.findings.WithLabelValues(of.kind, repaired).Set(float64(n))
	}
	about := []any{"took", c.now().Sub(began).Round(time.Second), "users", sum.Mail.Users,
		"messages", sum.Mail.Messages, "contents", sum.Contents.Documents, "blobs", sum.Blobs.Documents,
		"leaks_repaired", sum.Repaired, "undecided", sum.Undecided()}
	if sum.Damaged > 0 {
		c.runs.WithLabelValues("damaged").Inc()
		c.log.Error("the check found damage: see gadwall check",
			append(about, "damaged", sum.Damaged, slog.Group("found", kinds...))...)
		return nil
	}
	result := "clean"
	if sum.Repaired > 0 {
		result = "repaired"
	}
	c.runs.WithLabelValues(result).Inc()
	c.log.Info("checked", about...)
	return nil
}

// progressLog logs the phases of a check, and now and then how far it is.
type progressLog struct {
	log   *slog.Logger
	now   func() time.Time
	phase int
	last  time.Time
}

func (p *progressLog) show(at Progress) {
	now := p.now()
	if at.Number == p.phase && now.Sub(p.last) < checkProgress {
		return
	}
	p.phase, p.last = at.Number, now
	p.log.Info("check goes on", "phase", at.Phase, "number", at.Number, "of", at.Of,
		"done", at.Done, "about", at.Total)
}
