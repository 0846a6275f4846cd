package webhooks

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gadwall/internal/database"
	"gadwall/internal/feed"
	"gadwall/internal/lease"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
)

// Users is what a Sender needs of the mail store.
type Users interface {
	UserByID(ctx context.Context, id mailkey.UserID) (*mailstore.User, error)
}

// SenderOptions are those of a Sender. All but the last two are required.
type SenderOptions struct {
	Registry *Registry
	Feed     *feed.Feed
	Users    Users
	Task     *lease.Task
	// BaseURL is that of the HTTP API for receivers; without it, the addresses of sources are paths.
	BaseURL string
	Logger  *slog.Logger // slog.Default() if nil
}

// A Sender sends what is due, as long as its instance has the lease.
type Sender struct {
	SenderOptions
	client *http.Client
	log    *slog.Logger
	giveUp time.Duration

	deliveries *prometheus.CounterVec
	events     prometheus.Counter
	waiting    prometheus.Gauge
}

// NewSender returns a Sender, which Run starts.
func NewSender(o SenderOptions) *Sender {
	s := &Sender{SenderOptions: o, client: newClient(), log: o.Logger, giveUp: giveUp,
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gadwall_webhook_deliveries_total",
			Help: "Requests to webhooks: delivered, failed (it is tried again), given_up (it became a letter)."},
			[]string{"result"}),
		events: prometheus.NewCounter(prometheus.CounterOpts{Name: "gadwall_webhook_events_total",
			Help: "Events that webhooks took."}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{Name: "gadwall_webhook_waiting",
			Help: "Users for whom a webhook has something to get; 0 in instances that do not send."}),
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	for _, result := range []string{"delivered", "failed", "given_up"} {
		s.deliveries.WithLabelValues(result)
	}
	s.BaseURL = strings.TrimSuffix(s.BaseURL, "/")
	return s
}

// Register adds the sender's figures.
func (s *Sender) Register(r prometheus.Registerer) { r.MustRegister(s.deliveries, s.events, s.waiting) }

// Run sends until ctx ends.
func (s *Sender) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if !s.Registry.idle() {
			if err := s.hold(ctx); err != nil && ctx.Err() == nil {
				s.log.Error("webhooks: begin again", "error", err)
			}
		}
		timer := time.NewTimer(refreshInterval)
		select {
		case <-s.Registry.changed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// hold sends while this instance has the lease and there are hooks, or what removed ones have left.
func (s *Sender) hold(ctx context.Context) error {
	l, err := s.Task.Acquire(ctx)
	if errors.Is(err, lease.ErrHeld) {
		return nil
	}
	if err != nil {
		return err
	}
	defer l.Release(context.WithoutCancel(ctx))
	defer s.waiting.Set(0)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines := make(map[string]*line)
	defer func() {
		cancel()
		for _, ln := range lines {
			ln.done.Wait()
		}
	}()
	if err := s.Registry.removeStrays(ctx); err != nil {
		return err
	}
	for {
		hooks := s.renewLines(ctx, lines)
		more, err := s.Registry.removeLeft(ctx, func(id string) bool { return lines[id] != nil })
		if err != nil {
			return err
		}
		if err := s.Registry.refresh(ctx); err != nil {
			return err
		}
		if hooks == 0 && s.Registry.idle() {
			return nil
		}
		if !more {
			s.count(ctx)
			s.spread(ctx, lines)
		}
		if ctx.Err() != nil {
			return nil
		}
		if err := l.Check(ctx); err != nil {
			return err
		}
	}
}

// spread wakes the lines, until it is time to look whether the instance still has the lease, or there
// are other hooks.
func (s *Sender) spread(ctx context.Context, lines map[string]*line) {
	timer := time.NewTimer(refreshInterval)
	defer timer.Stop()
	for {
		select {
		case <-s.Registry.wake:
			for _, ln := range lines {
				tell(ln.wake)
			}
		case <-s.Registry.changed:
			return
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// line sends to one hook, as it was when the line began.
type line struct {
	hook *Hook
	wake chan struct{}
	stop context.CancelFunc
	done sync.WaitGroup
}

// same reports whether a hook is as it was.
func same(a, b *Hook) bool {
	return a.ID == b.ID && a.URL == b.URL && a.Secret == b.Secret && a.Paused == b.Paused &&
		slices.Equal(a.Kinds, b.Kinds)
}

// renewLines starts and ends lines so that each hook that gets something has one. It returns how
// many hooks there are.
func (s *Sender) renewLines(ctx context.Context, lines map[string]*line) int {
	hooks := s.Registry.list()
	wanted := make(map[string]*Hook)
	for _, h := range hooks {
		if h.Paused == "" {
			wanted[h.ID] = h
		}
	}
	for id, ln := range lines {
		if h := wanted[id]; h == nil || !same(h, ln.hook) {
			ln.stop()
			ln.done.Wait() // before another line has the same readers
			delete(lines, id)
		}
	}
	for id, h := range wanted {
		if lines[id] == nil {
			ln := &line{hook: h, wake: make(chan struct{}, 1)}
			var lineCtx context.Context
			lineCtx, ln.stop = context.WithCancel(ctx)
			ln.done.Go(func() { s.serve(lineCtx, ln) })
			lines[id] = ln
		}
	}
	return len(hooks)
}

// serve sends to a hook until ctx ends. When a whole round fails, the hook has a pause.
func (s *Sender) serve(ctx context.Context, ln *line) {
	failures := 0
	for ctx.Err() == nil {
		due, err := s.Registry.due(ctx, ln.hook.ID)
		if err != nil {
			if ctx.Err() == nil {
				s.log.Warn("webhooks: cannot read what is due", "webhook", ln.hook.ID, "error", err)
			}
			sleep(ctx, lastPoll(failures))
			failures++
			continue
		}
		if len(due) > 0 {
			if s.round(ctx, ln.hook, due) {
				failures = 0
				continue
			}
			sleep(ctx, lastPoll(failures))
			failures++
			continue
		}
		failures = 0
		timer := time.NewTimer(pollInterval)
		select {
		case <-ln.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// lastPoll is the pause of a hook after so many rounds that failed.
func lastPoll(failures int) time.Duration {
	return min(pollInterval<<min(failures, 8), time.Minute)
}

// round sends to several readers at a time, and reports whether a delivery worked, or none was
// needed.
func (s *Sender) round(ctx context.Context, h *Hook, due []*reader) bool {
	var wg sync.WaitGroup
	var mu sync.Mutex
	worked := false
	slots := make(chan struct{}, perHook)
	for _, rd := range due {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			err := s.send(ctx, h, rd)
			if err != nil && ctx.Err() == nil {
				s.log.Warn("webhook failed", "webhook", h.ID, "user", rd.key.user().String(), "tries", rd.tries,
					"error", err)
			}
			mu.Lock()
			defer mu.Unlock()
			worked = worked || err == nil
		})
	}
	wg.Wait()
	return worked
}

// send sends what a reader has not had. After an error the reader is due again later, so that it does
// not hold up the others.
func (s *Sender) send(ctx context.Context, h *Hook, rd *reader) error {
	err := s.sendAll(ctx, h, rd)
	if err != nil && ctx.Err() == nil {
		return errors.Join(err, s.Registry.postpone(ctx, rd, err))
	}
	return err
}

func (s *Sender) sendAll(ctx context.Context, h *Hook, rd *reader) error {
	user, err := s.Users.UserByID(ctx, rd.key.user())
	if errors.Is(err, mailstore.ErrNoSuchUser) {
		return s.Registry.deleteReader(ctx, rd.key)
	}
	if err != nil {
		return err
	}
	// What the instance that told of a change has seen, this one sees, too.
	ctx = database.Causal(ctx)
	for range maxPages {
		b, err := s.next(ctx, h, rd, user)
		if errors.Is(err, mailstore.ErrNoSuchUser) {
			return s.Registry.deleteReader(ctx, rd.key)
		}
		if err != nil {
			return err
		}
		if len(b.body) > 0 {
			if err := s.deliver(ctx, h, rd, b); err != nil {
				return err
			}
		}
		if !b.more {
			return s.Registry.rest(ctx, rd, b.to)
		}
		if err := s.Registry.moveOn(ctx, rd, b.to); err != nil {
			return err
		}
	}
	return nil // still due
}

// bundle is a delivery on its way. The body is empty if the hook wants none of the events.
type bundle struct {
	id     string
	body   []byte
	events int
	to     string // the position after it
	more   bool
}

// next makes the next delivery of a reader.
func (s *Sender) next(ctx context.Context, h *Hook, rd *reader, user *mailstore.User) (*bundle, error) {
	for limit := pageEvents; ; limit = 1 {
		page, err := s.Feed.Read(ctx, user.ID, rd.position, limit)
		if errors.Is(err, feed.ErrResync) || errors.Is(err, feed.ErrPosition) {
			page.Events = []feed.Event{{Kind: Resync}}
			page.Next, err = s.Feed.Now(ctx, user.ID)
		}
		if err != nil {
			return nil, err
		}
		b := &bundle{id: deliveryID(h.ID, rd.position, page.Next), to: page.Next, more: page.More}
		d := Delivery{ID: b.id, Webhook: h.ID, User: &User{user.ID.String(), user.Username}, Created: s.Registry.now()}
		for _, e := range page.Events {
			if e.Kind == Resync || h.wants(e.Kind) {
				d.Events = append(d.Events, e)
			}
		}
		if b.events = len(d.Events); b.events == 0 {
			return b, nil
		}
		if err := s.addLinks(ctx, user.ID, d.Events, d.Created.Add(linkValid)); err != nil {
			return nil, err
		}
		if b.body, err = json.Marshal(d); err != nil {
			return nil, err
		}
		if len(b.body) <= maxBody || limit == 1 {
			return b, nil
		}
	}
}

// addLinks gives messages the address of their source.
func (s *Sender) addLinks(ctx context.Context, user mailkey.UserID, list []feed.Event, until time.Time) error {
	key, err := s.Registry.key(ctx)
	if err != nil {
		return err
	}
	for _, e := range list {
		number, ok := e.MailboxNumber()
		if !ok {
			continue
		}
		address := func(m *feed.Message) {
			m.Source = s.BaseURL + LinkPath + link(key, user.Mailbox(number).Message(m.UID), until)
		}
		if e.Message != nil {
			address(e.Message)
		}
		for i := range e.Messages {
			address(&e.Messages[i])
		}
	}
	return nil
}

// deliver sends a bundle. When that has failed for too long, the bundle becomes a letter, and the
// reader goes on.
func (s *Sender) deliver(ctx context.Context, h *Hook, rd *reader, b *bundle) error {
	err := post(ctx, s.client, h, b.id, b.body, s.Registry.now())
	if err == nil {
		s.deliveries.WithLabelValues("delivered").Inc()
		s.events.Add(float64(b.events))
		return nil
	}
	if ctx.Err() != nil {
		return err // told to stop: nobody knows whether it arrived
	}
	if isGone(err) {
		if err := s.Registry.pause(ctx, h.ID, PausedGone); err != nil {
			return err
		}
		s.log.Warn("webhook paused: "+PausedGone, "webhook", h.ID)
	}
	if rd.tries > 0 && !isGone(err) && s.Registry.now().Sub(rd.failed) >= s.giveUp {
		if err := s.Registry.KeepLetter(ctx, Letter{ID: b.id, Hook: h.ID, User: rd.key.user(),
			Error: shortText(err), Body: string(b.body)}); err != nil {
			return err
		}
		s.deliveries.WithLabelValues("given_up").Inc()
		s.log.Error("webhook delivery given up: gadwall webhooks resend sends it again", "webhook", h.ID,
			"user", rd.key.user().String(), "delivery", b.id, "error", err)
		return nil
	}
	s.deliveries.WithLabelValues("failed").Inc()
	return err
}

// count counts the users that wait.
func (s *Sender) count(ctx context.Context) {
	n, err := s.Registry.Waiting(ctx)
	if err == nil {
		s.waiting.Set(float64(n))
	}
}
