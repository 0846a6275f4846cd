package retention

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/internal/database"
	"gadwall/internal/lease"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/internal/maintenance"
)

const (
	taskName = "retention"
	part     = "expire"
	// interval is the time between runs, look how often an instance looks whether it is time.
	interval = 24 * time.Hour
	look     = 30 * time.Minute
	// page is how many mailboxes are read at a time.
	page = 500
	day  = 24 * time.Hour
	// maxFailed is how many mailboxes may fail before a walk ends.
	maxFailed = 100
	// own stands for mailboxes with a limit of their own, where others have a special use.
	own = ""
)

// Limits are how long messages stay in the mailboxes of a special use, such as \Trash; 0 is for ever.
type Limits map[string]time.Duration

// Task is what one instance at a time does on a database.
func Task(db *mongo.Database, client *redis.Client, log *slog.Logger) *lease.Task {
	return &lease.Task{Name: taskName, Database: db, Redis: client, Log: log}
}

// Expiry removes old messages once a day, in one instance of all that serve.
type Expiry struct {
	mail   *mailstore.Store
	task   *lease.Task
	limits Limits
	log    *slog.Logger

	now  func() time.Time
	rest func(ctx context.Context, d time.Duration) error

	runs    *prometheus.CounterVec
	expired *prometheus.CounterVec
}

// New returns an Expiry, which does nothing before Run.
func New(mail *mailstore.Store, task *lease.Task, limits Limits) *Expiry {
	e := &Expiry{mail: mail, task: task, limits: limits, log: task.Log, now: time.Now, rest: maintenance.Rest,
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gadwall_expiry_runs_total",
			Help: "Walks of this instance over the mailboxes whose messages expire."}, []string{"result"}),
		expired: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gadwall_expired_messages_total",
			Help: "Messages that this instance removed because they were in their mailbox for so long, " +
				"by the special use that says so, or own."}, []string{"use"})}
	if e.log == nil {
		e.log = slog.Default()
	}
	for _, result := range []string{"ok", "failed"} { // 0 is shown, too
		e.runs.WithLabelValues(result)
	}
	for use := range limits {
		e.expired.WithLabelValues(use)
	}
	e.expired.WithLabelValues("own")
	return e
}

// Register adds the metrics of this instance.
func (e *Expiry) Register(r prometheus.Registerer) { r.MustRegister(e.runs, e.expired) }

// Run makes a run whenever it is time, until ctx ends.
func (e *Expiry) Run(ctx context.Context) {
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		e.turn(ctx)
	}
}

// turn makes a run if it is time and no other instance is at it.
func (e *Expiry) turn(ctx context.Context) {
	err := e.turnOnce(ctx)
	switch {
	case err == nil, ctx.Err() != nil, errors.Is(err, lease.ErrHeld):
	case errors.Is(err, lease.ErrLost):
		e.log.Warn("expiry given up", "error", err)
	default:
		e.runs.WithLabelValues("failed").Inc()
		e.log.Error("expiry failed; it goes on next time", "error", err)
	}
}

func (e *Expiry) turnOnce(ctx context.Context) error {
	l, err := e.task.Acquire(ctx)
	if err != nil {
		return err
	}
	defer l.Release(ctx)
	began := e.now()
	// A little early rather than a whole turn late.
	if began.Sub(l.Done(part)) < interval-look/2 {
		return nil
	}
	if ready, err := e.ready(ctx); err != nil || !ready {
		return err
	}
	pacer := &maintenance.Pacer{Check: l.Check, Now: e.now, Rest: e.rest}
	messages, err := e.once(ctx, pacer.Guard)
	if err != nil {
		return err
	}
	if err := l.SetDone(ctx, part, began); err != nil {
		return err
	}
	e.runs.WithLabelValues("ok").Inc()
	if messages > 0 {
		e.log.Info("expired", "messages", messages, "took", e.now().Sub(began).Round(time.Millisecond))
	}
	return nil
}

// ready reports whether the indexes are there by which mailboxes are found. Without them each page
// would read all mailboxes.
func (e *Expiry) ready(ctx context.Context) (bool, error) {
	missing, err := e.mail.MissingIndexes(ctx)
	if err != nil {
		return false, err
	}
	for _, d := range missing {
		if mailstore.IsExpiryIndex(d.Collection, d.Index) {
			e.log.Warn("no message expires before gadwall schema apply has built the index "+
				"by which mailboxes are found", "collection", d.Collection, "index", d.Index)
			return false, nil
		}
	}
	return true, nil
}

// once makes a run and returns how many messages went. guard is called before each mailbox and
// transaction; its error ends the run.
func (e *Expiry) once(ctx context.Context, guard func(context.Context) error) (messages int, err error) {
	walk := func(use string) error {
		n, err := e.walk(ctx, use, guard)
		messages += n
		return err
	}
	if err := walk(own); err != nil {
		return messages, err
	}
	for use, limit := range e.limits {
		if limit <= 0 {
			continue
		}
		if err := walk(use); err != nil {
			return messages, err
		}
	}
	return messages, nil
}

// walk expires the mailboxes of a special use, or those with a limit of their own.
func (e *Expiry) walk(ctx context.Context, use string, guard func(context.Context) error) (messages int, err error) {
	label := use
	if use == own {
		label = "own"
	}
	count := e.expired.WithLabelValues(label)
	var last mailkey.Mailbox
	failed := 0
	for more := true; more; {
		if err := guard(ctx); err != nil {
			return messages, err
		}
		var list []mailstore.Expiring
		if list, last, more, err = e.mail.ExpiringMailboxes(ctx, use, last, page); err != nil {
			return messages, err
		}
		for _, box := range list {
			limit := e.limits[use]
			switch {
			case use == own:
				limit = time.Duration(*box.Days) * day
			case box.Days != nil:
				continue // its own limit holds
			}
			if limit <= 0 {
				continue
			}
			if err := guard(ctx); err != nil {
				return messages, err
			}
			var stopped error
			err := e.mail.Expire(ctx, box.Mailbox, e.now().Add(-limit), func(n int) error {
				messages += n
				count.Add(float64(n))
				stopped = guard(ctx)
				return stopped
			})
			switch {
			case err == nil, errors.Is(err, mailstore.ErrNoSuchMailbox), errors.Is(err, mailstore.ErrNoSuchUser):
			case stopped != nil, ctx.Err() != nil, database.IsUnavailable(err):
				return messages, err
			default: // this one cannot be expired; the others can
				e.log.Error("messages that should expire stay", "mailbox", box.Mailbox.String(), "error", err)
				if failed++; failed >= maxFailed {
					return messages, err
				}
			}
		}
	}
	return messages, nil
}
