package webhooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/internal/dbtest"
	"gadwall/internal/events"
	"gadwall/internal/feed"
	"gadwall/internal/lease"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/internal/signature"
	"gadwall/internal/storetest"
)

// env is a store whose changes webhooks hear of.
type env struct {
	*storetest.Store
	*Registry
	db   *mongo.Database
	feed *feed.Feed
}

func newEnv(t *testing.T, db *mongo.Database) *env {
	t.Helper()
	r, err := Open(t.Context(), Options{Database: db})
	if err != nil {
		t.Fatal(err)
	}
	local := events.NewLocal()
	t.Cleanup(func() { _ = local.Close() })
	st := storetest.Open(t, storetest.Options{Database: db, Watcher: r, Bus: r.Bus(local)})
	f := feed.New(feed.Options{Store: st.Store, Bus: st.Bus})
	r.Follow(f)
	return &env{st, r, db, f}
}

// run lets a sender run until the test ends.
func (e *env) run(t *testing.T, change ...func(*Sender)) {
	t.Helper()
	s := NewSender(SenderOptions{Registry: e.Registry, Feed: e.feed, Users: e.Store, BaseURL: "https://mail.example/",
		Task: &lease.Task{Name: "webhooks", Database: e.db}})
	for _, f := range change {
		f(s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
}

// receiver takes deliveries. The answers are the statuses of the first requests; later ones are 200.
type receiver struct {
	*httptest.Server
	mu      sync.Mutex
	answers []int
	seen    []Delivery
	bad     []string // what was wrong with requests
	secret  string
	got     chan Delivery
	// requests has an element for each request, also those that are refused.
	requests chan struct{}
}

func newReceiver(t *testing.T, answers ...int) *receiver {
	t.Helper()
	r := &receiver{answers: answers, got: make(chan Delivery, 1000),
		requests: make(chan struct{}, 1000)}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	var d Delivery
	if err == nil {
		err = json.Unmarshal(body, &d)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.bad = append(r.bad, err.Error())
	}
	timestamp := req.Header.Get(signature.HeaderTimestamp)
	if req.Header.Get(signature.HeaderSignature) != signature.Version+signature.Sign(r.secret, timestamp, body) {
		r.bad = append(r.bad, "signature "+req.Header.Get(signature.HeaderSignature))
	}
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		r.bad = append(r.bad, err.Error())
	}
	if age := time.Since(time.Unix(seconds, 0)); age > time.Hour || age < -time.Hour {
		r.bad = append(r.bad, "signed at another time")
	}
	if req.Header.Get(HeaderDelivery) != d.ID {
		r.bad = append(r.bad, "id "+req.Header.Get(HeaderDelivery))
	}
	r.seen = append(r.seen, d)
	status := http.StatusOK
	if len(r.answers) > 0 {
		status, r.answers = r.answers[0], r.answers[1:]
	}
	w.WriteHeader(status)
	r.requests <- struct{}{}
	if status == http.StatusOK {
		r.got <- d
	}
}

// hook adds a hook for the receiver.
func (e *env) hook(t *testing.T, r *receiver, user mailkey.UserID, kinds ...feed.Kind) *Hook {
	t.Helper()
	h, err := e.Add(t.Context(), Hook{Name: "test", URL: r.URL, User: user, Kinds: kinds})
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secret = h.Secret
	return h
}

// next waits for a delivery.
func (r *receiver) next(t *testing.T) Delivery {
	t.Helper()
	select {
	case d := <-r.got:
		return d
	case <-time.After(time.Minute):
		t.Fatal("no delivery in a minute")
		return Delivery{}
	}
}

// await waits for so many events, and returns them with what deliveries they came in.
func (r *receiver) await(t *testing.T, n int) (list []feed.Event) {
	t.Helper()
	for len(list) < n {
		select {
		case d := <-r.got:
			list = append(list, d.Events...)
		case <-time.After(time.Minute):
			r.mu.Lock()
			defer r.mu.Unlock()
			t.Fatalf("%d events of %d in a minute: %+v; %q", len(list), n, list, r.bad)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(list) != n || len(r.bad) > 0 {
		t.Fatalf("%d events instead of %d: %+v; %q", len(list), n, list, r.bad)
	}
	return list
}

func (e *env) deliver(t *testing.T, u *mailstore.User, subject string) {
	t.Helper()
	w := e.Contents.NewWriter(t.Context())
	if _, err := w.Write([]byte("Subject: " + subject + "\r\n\r\ntext\r\n")); err != nil {
		t.Fatal(err)
	}
	stored, err := w.Finish(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := e.Deliver(t.Context(), stored, []mailstore.Delivery{{
		Mailbox: e.Mailbox(t, u, "INBOX").Key, Magic: stored.Magics[0]}})
	if err != nil || got[0].Err != nil {
		t.Fatal(err, got[0].Err)
	}
}

func subjects(list []feed.Event) (s []string) {
	for _, e := range list {
		if e.Message != nil {
			s = append(s, e.Message.Subject)
		}
	}
	return s
}

// What happens after the hook was made comes in order, once, and of the kinds that it wants, with
// addresses of sources that hold.
func TestDeliveries(t *testing.T) {
	e := newEnv(t, dbtest.Database(t))
	ada, bob := e.User(t, "ada@example.com"), e.User(t, "bob@example.com")
	e.deliver(t, ada, "before")
	all, own := newReceiver(t), newReceiver(t)
	e.hook(t, all, mailkey.UserID{}, feed.NewMessage)
	e.hook(t, own, bob.ID)
	e.run(t)
	for i := range 45 { // more than two deliveries
		e.deliver(t, ada, fmt.Sprintf("a%d", i))
	}
	e.deliver(t, bob, "b")
	var ofAda []string
	for _, ev := range all.await(t, 46) {
		if ev.Message.Subject != "b" {
			ofAda = append(ofAda, ev.Message.Subject)
		}
		text, found := strings.CutPrefix(ev.Message.Source, "https://mail.example"+LinkPath)
		m, err := e.ReadLink(t.Context(), text)
		if !found || err != nil || m.UID() != ev.Message.UID {
			t.Fatalf("source %s: %v, %v", ev.Message.Source, m, err)
		}
	}
	for i, s := range ofAda {
		if s != fmt.Sprintf("a%d", i) {
			t.Fatalf("out of order: %q", ofAda)
		}
	}
	if got := own.await(t, 1); got[0].Kind != feed.NewMessage || got[0].Message.Subject != "b" {
		t.Errorf("the user's hook got %+v", got)
	}
}

// A delivery that fails is sent again with the same id, and what happens meanwhile waits behind it.
func TestRetries(t *testing.T) {
	e := newEnv(t, dbtest.Database(t))
	ada := e.User(t, "ada@example.com")
	r := newReceiver(t, 500, 503)
	e.hook(t, r, mailkey.UserID{}, feed.NewMessage)
	e.deliver(t, ada, "one")
	e.run(t, func(s *Sender) { e.Registry.now = aheadOf(e.Registry.now) })
	r.awaitSeen(t, 1)
	e.deliver(t, ada, "two")
	list := r.await(t, 2)
	if got := subjects(list); got[0] != "one" || got[1] != "two" {
		t.Errorf("%q", got)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.seen) < 3 || r.seen[0].ID != r.seen[1].ID && len(r.seen[1].Events) == 1 {
		t.Errorf("%+v", r.seen)
	}
}

// aheadOf returns a clock that goes so fast that pauses are short.
func aheadOf(now func() time.Time) func() time.Time {
	begun := now()
	return func() time.Time { return begun.Add(100 * now().Sub(begun)).Truncate(time.Millisecond) }
}

// awaitSeen waits for so many requests, whatever the answers are.
func (r *receiver) awaitSeen(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		select {
		case <-r.requests:
		case <-time.After(time.Minute):
			t.Fatalf("%d requests of %d in a minute", i, n)
		}
	}
}

// What fails for too long becomes a letter; the reader goes on, and the letter can be sent again.
func TestGivingUp(t *testing.T) {
	e := newEnv(t, dbtest.Database(t))
	ada := e.User(t, "ada@example.com")
	r := newReceiver(t, 500, 400)
	h := e.hook(t, r, mailkey.UserID{}, feed.NewMessage)
	e.deliver(t, ada, "one")
	e.Registry.now = aheadOf(e.Registry.now)
	e.run(t, func(s *Sender) { s.giveUp = time.Millisecond })
	r.awaitSeen(t, 2)
	e.deliver(t, ada, "two")
	if got := subjects(r.await(t, 1)); got[0] != "two" {
		t.Fatalf("%q", got)
	}
	letters, err := e.Letters(t.Context(), h.ID, 0, true)
	if err != nil || len(letters) != 1 || letters[0].User != ada.ID || !strings.Contains(letters[0].Body, `"one"`) ||
		!strings.Contains(letters[0].Error, "400") {
		t.Fatalf("%+v, %v", letters, err)
	}
	if err := e.Resend(t.Context(), h.ID, letters[0].ID); err != nil {
		t.Fatal(err)
	}
	if got := subjects(r.await(t, 1)); got[0] != "one" {
		t.Errorf("%q", got)
	}
	if err := e.Resend(t.Context(), h.ID, letters[0].ID); !errors.Is(err, ErrNoSuchLetter) {
		t.Errorf("sent twice: %v", err)
	}
}

// A URL that is gone pauses its hook. What happens in a pause comes after it.
func TestPause(t *testing.T) {
	e := newEnv(t, dbtest.Database(t))
	ada := e.User(t, "ada@example.com")
	r := newReceiver(t, http.StatusGone)
	h := e.hook(t, r, mailkey.UserID{}, feed.NewMessage)
	e.deliver(t, ada, "one")
	due, err := e.due(t.Context(), h.ID)
	if err != nil || len(due) != 1 {
		t.Fatalf("%d due, %v", len(due), err)
	}
	s := NewSender(SenderOptions{Registry: e.Registry, Feed: e.feed, Users: e.Store})
	if err := s.send(t.Context(), h, due[0]); !isGone(err) {
		t.Fatalf("sent with %v", err)
	}
	e.Registry.now = aheadOf(e.Registry.now)
	if h, err := e.Hook(t.Context(), h.ID); err != nil || h.Paused != PausedGone {
		t.Fatalf("%+v, %v", h, err)
	}
	e.deliver(t, ada, "two")
	paused := false
	if _, err := e.Change(t.Context(), h.ID, HookChange{Paused: &paused}); err != nil {
		t.Fatal(err)
	}
	e.run(t)
	if got := subjects(r.await(t, 2)); got[0] != "one" || got[1] != "two" {
		t.Errorf("%q", got)
	}
}

// Another instance goes on where one was killed between a delivery and its note: no event is missing,
// and what comes twice has the same id.
func TestTakeover(t *testing.T) {
	db := dbtest.Database(t)
	e := newEnv(t, db)
	ada := e.User(t, "ada@example.com")
	r := newReceiver(t)
	e.hook(t, r, mailkey.UserID{}, feed.NewMessage)
	e.deliver(t, ada, "one")
	due, err := e.due(t.Context(), e.list()[0].ID)
	if err != nil || len(due) != 1 {
		t.Fatalf("%d due, %v", len(due), err)
	}
	s := NewSender(SenderOptions{Registry: e.Registry, Feed: e.feed, Users: e.Store})
	b, err := s.next(t.Context(), e.list()[0], due[0], ada)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.deliver(t.Context(), e.list()[0], due[0], b); err != nil { // and dies here
		t.Fatal(err)
	}
	other := newEnv(t, db)
	other.deliver(t, ada, "two")
	other.run(t)
	first := r.next(t)
	if again := r.next(t); len(again.Events) == 1 && again.ID != first.ID {
		t.Errorf("%s came again as %s", first.ID, again.ID)
	} else if got := subjects(again.Events); got[0] != "one" {
		t.Errorf("%q", got)
	}
}

// A reader that became due while it was read is read again.
func TestDueMeanwhile(t *testing.T) {
	e := newEnv(t, dbtest.Database(t))
	ada := e.User(t, "ada@example.com")
	r := newReceiver(t)
	h := e.hook(t, r, mailkey.UserID{})
	e.deliver(t, ada, "one")
	due, err := e.due(t.Context(), h.ID)
	if err != nil || len(due) != 1 {
		t.Fatalf("%d due, %v", len(due), err)
	}
	page, err := e.feed.Read(t.Context(), ada.ID, due[0].position, 0)
	if err != nil {
		t.Fatal(err)
	}
	e.deliver(t, ada, "two")
	if err := e.rest(t.Context(), due[0], page.Next); err != nil {
		t.Fatal(err)
	}
	if due, err = e.due(t.Context(), h.ID); err != nil || len(due) != 1 || due[0].position != page.Next {
		t.Fatalf("%d due, %v", len(due), err)
	}
	if err := e.rest(t.Context(), due[0], page.Next); err != nil {
		t.Fatal(err)
	}
	if due, err = e.due(t.Context(), h.ID); err != nil || len(due) != 0 {
		t.Errorf("%d due, %v", len(due), err)
	}
}

// A change that another instance makes after a hook's reader exists is told, wherever the reader was
// made.
func TestInstances(t *testing.T) {
	db := dbtest.Database(t)
	one := newEnv(t, db)
	ada := one.User(t, "ada@example.com")
	r := newReceiver(t)
	one.hook(t, r, mailkey.UserID{}, feed.NewMessage)
	two := newEnv(t, db)
	one.run(t)
	var running sync.WaitGroup
	for i, e := range []*env{one, two} {
		running.Go(func() {
			for j := range 10 {
				e.deliver(t, ada, fmt.Sprintf("%d-%d", i, j))
			}
		})
	}
	running.Wait()
	seen := make(map[string]bool)
	for _, s := range subjects(r.await(t, 20)) {
		seen[s] = true
	}
	if len(seen) != 20 {
		t.Errorf("%d different ones: %v", len(seen), seen)
	}
}

// Nothing is left of a hook that was removed, and of a user who was deleted.
func TestRemoval(t *testing.T) {
	e := newEnv(t, dbtest.Database(t))
	ada, bob := e.User(t, "ada@example.com"), e.User(t, "bob@example.com")
	r := newReceiver(t)
	h := e.hook(t, r, mailkey.UserID{})
	e.deliver(t, ada, "one")
	e.deliver(t, bob, "two")
	count := func() int64 {
		n, err := e.readers.CountDocuments(t.Context(), bson.D{})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if err := e.DeleteUser(t.Context(), bob.ID); err != nil {
		t.Fatal(err)
	}
	if err := e.FinishDeletions(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 1 {
		t.Errorf("%d readers with one user", n)
	}
	if err := e.Remove(t.Context(), h.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Hook(t.Context(), h.ID); !errors.Is(err, ErrNoSuchHook) {
		t.Errorf("still there: %v", err)
	}
	e.removeAllLeft(t)
	if n := count(); n != 0 {
		t.Errorf("%d readers without a hook", n)
	}
}

func TestInvalidHooks(t *testing.T) {
	e := newEnv(t, dbtest.Database(t))
	for name, h := range map[string]Hook{
		"no URL":     {Name: "a"},
		"file":       {Name: "a", URL: "file:///etc/passwd"},
		"user":       {Name: "a", URL: "https://a:b@example.com/"},
		"no name":    {URL: "https://example.com/"},
		"long":       {Name: "a", URL: "https://example.com/" + strings.Repeat("a", MaxURL)},
		"kind":       {Name: "a", URL: "https://example.com/", Kinds: []feed.Kind{"news"}},
		"kind twice": {Name: "a", URL: "https://example.com/", Kinds: []feed.Kind{feed.Junk, feed.Junk}},
	} {
		if _, err := e.Add(t.Context(), h); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := e.Change(t.Context(), "0011223344556677", HookChange{}); !errors.Is(err, ErrNoSuchHook) {
		t.Errorf("%v", err)
	}
}

// A link is of one message and one database, for a while.
func TestLinks(t *testing.T) {
	e := newEnv(t, dbtest.Database(t))
	key, err := e.key(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m := mailkey.NewUserID().Mailbox(3).Message(7)
	text := link(key, m, e.Registry.now().Add(time.Hour))
	other := newEnv(t, e.db) // another instance
	if got, err := other.ReadLink(t.Context(), text); err != nil || got != m {
		t.Fatalf("%v, %v", got, err)
	}
	for i := range text {
		changed := []byte(text)
		if changed[i]++; changed[i] == text[i] {
			continue
		}
		if _, err := e.ReadLink(t.Context(), string(changed)); !errors.Is(err, ErrBadLink) {
			t.Errorf("octet %d changed: %v", i, err)
		}
	}
	for name, bad := range map[string]string{
		"empty": "", "over": link(key, m, e.Registry.now()),
		"of others": link(make([]byte, keySize), m, e.Registry.now().Add(time.Hour)),
	} {
		if _, err := e.ReadLink(t.Context(), bad); !errors.Is(err, ErrBadLink) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// noUsers is a store that cannot say who a user is.
type noUsers struct{}

func (noUsers) UserByID(context.Context, mailkey.UserID) (*mailstore.User, error) {
	return nil, errors.New("the shard is away")
}

// A user who cannot be read waits as one whose delivery failed, and holds up nobody.
func TestTroubleWaits(t *testing.T) {
	e := newEnv(t, dbtest.Database(t))
	ada := e.User(t, "ada@example.com")
	h := e.hook(t, newReceiver(t), mailkey.UserID{})
	e.deliver(t, ada, "one")
	due, err := e.due(t.Context(), h.ID)
	if err != nil || len(due) != 1 {
		t.Fatalf("%d due, %v", len(due), err)
	}
	s := NewSender(SenderOptions{Registry: e.Registry, Feed: e.feed, Users: noUsers{}})
	if err := s.send(t.Context(), h, due[0]); err == nil {
		t.Error("sent")
	}
	if due, err = e.due(t.Context(), h.ID); err != nil || len(due) != 0 {
		t.Errorf("%d due, %v", len(due), err)
	}
	if n, err := e.Waiting(t.Context()); err != nil || n != 1 {
		t.Errorf("%d wait, %v", n, err)
	}
}

func TestPauses(t *testing.T) {
	for tries, want := range map[int]time.Duration{1: firstRetry, 2: 2 * firstRetry, 30: lastRetry, 1000: lastRetry} {
		if got := pauseAfter(tries); got != want {
			t.Errorf("%d: %v, want %v", tries, got, want)
		}
	}
}
