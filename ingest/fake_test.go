package ingest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gadwall/dedupe"
	"gadwall/internal/contents"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/quota"
)

// fakeStore keeps mail in memory and fails on demand. Its users are whoever is
// in users; user+detail leads to user.
type fakeStore struct {
	mu        sync.Mutex
	users     map[string]*mailstore.User
	fail      map[string]error // by step: "resolve", "write", "finish", "deliver", or a user's name
	panics    string           // a step that panics
	reached   chan string      // receives the names of steps, if not nil
	hold      chan struct{}    // steps "finish" wait for it, if not nil
	bodies    map[contents.ID][]byte
	delivered []message
	open      int // writers neither finished nor aborted
	refs      int // references held by nobody
}

type message struct {
	user   string
	prefix string
	body   string
}

func newFakeStore(users ...string) *fakeStore {
	f := &fakeStore{
		users: map[string]*mailstore.User{}, fail: map[string]error{},
		bodies: map[contents.ID][]byte{},
	}
	for i, name := range users {
		f.users[name] = &mailstore.User{ID: mailkey.UserID{byte(i + 1)}, Username: name}
	}
	return f
}

func (f *fakeStore) step(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.reached != nil {
		f.reached <- name
	}
	if f.panics == name {
		panic("injected at " + name)
	}
	return f.fail[name]
}

func (f *fakeStore) ResolveAddress(_ context.Context, address string) (*mailstore.Recipient, error) {
	if err := f.step("resolve"); err != nil {
		return nil, err
	}
	local, domain, _ := strings.Cut(strings.ToLower(address), "@")
	local, detail, _ := strings.Cut(local, "+")
	if u := f.users[local+"@"+domain]; u != nil {
		return &mailstore.Recipient{User: u, Detail: detail}, nil
	}
	return nil, mailstore.ErrNoSuchAddress
}

func (f *fakeStore) Inbox(_ context.Context, user mailkey.UserID) (mailkey.Mailbox, error) {
	return user.Mailbox(1), nil
}

func (f *fakeStore) MailboxByPath(context.Context, mailkey.UserID, string) (*mailstore.Mailbox, error) {
	return nil, mailstore.ErrNoSuchMailbox
}

func (f *fakeStore) NewWriter(context.Context) contentWriter {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open++
	return &fakeWriter{f: f}
}

func (f *fakeStore) Deliver(
	_ context.Context, stored *contents.Stored, to []mailstore.Delivery,
) ([]mailstore.Delivered, error) {
	err := f.step("deliver")
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.refs -= len(to)
		return nil, err
	}
	results := make([]mailstore.Delivered, len(to))
	for i, d := range to {
		f.refs--
		if !slices.Contains(stored.Magics, d.Magic) {
			return nil, errors.New("reference without a magic of the content")
		}
		for name, u := range f.users {
			if u.ID != d.Mailbox.User() {
				continue
			}
			if results[i].Err = f.fail[name]; results[i].Err == nil {
				f.delivered = append(f.delivered, message{name, string(d.Prefix), string(f.bodies[stored.ID])})
			}
		}
	}
	return results, nil
}

type fakeWriter struct {
	f    *fakeStore
	buf  bytes.Buffer
	done bool
}

func (w *fakeWriter) Write(p []byte) (int, error) {
	if w.done {
		return 0, errors.New("write after the end")
	}
	if err := w.f.step("write"); err != nil {
		return 0, err
	}
	return w.buf.Write(p)
}

func (w *fakeWriter) Finish(ctx context.Context, refs int) (*contents.Stored, error) {
	if w.f.hold != nil {
		w.f.step("held")
		select {
		case <-w.f.hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if err := w.f.step("finish"); err != nil {
		return nil, err
	}
	w.f.mu.Lock()
	defer w.f.mu.Unlock()
	w.end()
	id := contents.ID(sha256.Sum256(w.buf.Bytes()))
	w.f.bodies[id] = w.buf.Bytes()
	w.f.refs += refs
	st := &contents.Stored{ID: id, Size: int64(w.buf.Len())}
	for range refs {
		st.Magics = append(st.Magics, dedupe.NewMagic())
	}
	return st, nil
}

func (w *fakeWriter) Abort(context.Context) {
	w.f.mu.Lock()
	defer w.f.mu.Unlock()
	w.end()
}

func (w *fakeWriter) end() {
	if !w.done {
		w.done = true
		w.f.open--
	}
}

// check fails the test if something was left behind.
func (f *fakeStore) check(t testing.TB) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open != 0 || f.refs != 0 {
		t.Errorf("%d contents neither finished nor aborted, %d references held by nobody", f.open, f.refs)
	}
}

func (f *fakeStore) messages() []message {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.delivered)
}

// limited gives a user a quota that a message of more than n octets exceeds.
func (f *fakeStore) limited(user string, n int64) {
	f.users[user].Limits = quota.Limits{Bytes: n}
}

// testLog drops what a server logs, but fails the test when the server caught a panic.
type testLog struct {
	slog.Handler
	t testing.TB
}

func newTestLog(t testing.TB) *slog.Logger { return slog.New(testLog{slog.DiscardHandler, t}) }

func (l testLog) Enabled(context.Context, slog.Level) bool { return true }

func (l testLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "panic" {
		r.Attrs(func(a slog.Attr) bool { l.t.Errorf("panic: %v", a); return true })
	}
	return nil
}

func (l testLog) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l testLog) WithGroup(string) slog.Handler      { return l }

// newTextLog writes all that a server tells at info and above.
func newTextLog(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

// pipeListener hands out in-memory connections.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// within bounds every wait for something that must happen.
const within = 30 * time.Second

// testServer is a server on a loopback socket.
type testServer struct {
	*Server
	addr string
	done chan struct{}
	once sync.Once
}

func startServer(t testing.TB, st store, o Options) *testServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return startServerOn(t, l, st, o)
}

func startServerOn(t testing.TB, l net.Listener, st store, o Options) *testServer {
	t.Helper()
	if o.Hostname == "" {
		o.Hostname = "mx.example.com"
	}
	if o.Logger == nil {
		o.Logger = newTestLog(t)
	}
	srv, err := newServer(o, st)
	if err != nil {
		t.Fatal(err)
	}
	ts := &testServer{Server: srv, addr: l.Addr().String(), done: make(chan struct{})}
	go func() {
		defer close(ts.done)
		if err := srv.Serve(l); err != nil {
			t.Errorf("serve: %v", err)
		}
	}()
	t.Cleanup(func() { ts.stop(t) })
	return ts
}

// stop waits until every connection has ended, so that what they did can be looked at.
func (ts *testServer) stop(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	ts.once.Do(func() {
		if err := ts.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
	<-ts.done
}

func (ts *testServer) dial(t testing.TB) *client {
	t.Helper()
	conn, err := net.Dial("tcp", ts.addr)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, conn)
	t.Cleanup(func() { conn.Close() })
	return c
}
