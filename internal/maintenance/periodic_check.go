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

	// checkLook is how often an instance looks, at least, whether it is time for a check, or another
	// instance is at one.
	checkLook = 10 * time.Minute
	// checkProgress is how often a scheduled check logs how far it is.
	checkProgress = 10 * time.Minute
	// maxLogged is how many findings of one check are logged one by one.
	maxLogged = 100
)

// PeriodicCheck checks the store now and then, in one instance of all that serve. It repairs leaks,
// which are what crashes leave, and reports everything else.
type PeriodicCheck struct {
	periodic
	mail     *mailstore.Store
	rest     func(ctx context.Context, d time.Duration) error
	tempSize int64
	perRange int64 // for tests

	runs                           *prometheus.CounterVec
	findings                       *prometheus.GaugeVec
	completed, duration, undecided prometheus.Gauge
}

// CheckTask is the task of checks on a database.
func CheckTask(db *mongo.Database, client *redis.Client, log *slog.Logger) *lease.Task {
	return &lease.Task{Name: taskCheck, Database: db, Redis: client, Log: log}
}

// NewPeriodicCheck returns a check that Run repeats every interval; never if that is 0. Its temporary
// files take at most tempSize bytes; 0 is the default.
func NewPeriodicCheck(mail *mailstore.Store, task *lease.Task, interval time.Duration,
	tempSize int64) *PeriodicCheck {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	c := &PeriodicCheck{
		periodic: periodic{
			task: task, part: partCheck, interval: interval, look: min(interval/lookTries, checkLook),
			log: task.Log, now: time.Now,
		},
		mail: mail, rest: Rest, tempSize: tempSize,
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
	for _, result := range []string{"clean", "repaired", "damaged", "failed"} { // 0 is shown, too
		c.runs.WithLabelValues(result)
	}
	c.do, c.help = c.check, c.helpOthers
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

// options are those that all instances have in common.
func (c *PeriodicCheck) options(guard func(context.Context) error) CheckOptions {
	return CheckOptions{Repair: true, LeaksOnly: true, Guard: guard, Wait: c.rest, Shared: true,
		Redis: c.task.Redis, Log: c.log, TempSize: c.tempSize, perRange: c.perRange}
}

// helpOthers does a part of a check that another instance is at, which reports what is found.
func (c *PeriodicCheck) helpOthers(ctx context.Context) error {
	pacer := &Pacer{Check: func(context.Context) error { return nil }, Now: c.now, Rest: c.rest}
	n, _, err := HelpCheck(ctx, c.mail, c.options(pacer.Guard))
	if n > 0 {
		c.log.Info("helped with the check of another instance", "ranges", n)
	}
	return err
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
	o := c.options(pacer.Guard)
	o.Progress = progress.show
	o.Found = func(f Finding) {
		counts[counted{f.Kind, f.Repaired}]++
		if logged++; !f.Repaired && logged <= maxLogged {
			c.log.Error("damage found", "kind", f.Kind, "user", f.User, "mailbox", f.Mailbox, "uid", f.UID,
				"content", f.Content, "blob", f.Blob, "file", f.File, "detail", f.Detail)
		}
	}
	sum, err := Check(ctx, c.mail, o)
	if err != nil {
		return err
	}
	if sum.Begun.Before(began) {
		began = sum.Begun // another instance was interrupted
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
