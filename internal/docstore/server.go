package docstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/docstore/engine"
)

// Server is an open database and the connections to it. All methods may be called concurrently.
type Server struct {
	eng      *engine.Engine
	log      *slog.Logger
	cursors  *cursors
	sessions *sessions
	clock    clock
	tests    *testMode // nil unless test commands are enabled
	started  time.Time
	// commands counts the commands since the start.
	commands atomic.Int64
	counters commandCounters

	// ctx ends when the server closes; wg counts what must have ended before the engine closes.
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu        sync.Mutex
	closed    bool
	listeners map[net.Listener]struct{}
	conns     map[io.Closer]struct{}
}

// Open opens the database, and makes it if there is none. It returns an LockedError when another
// process has it open.
func Open(opts Options) (*Server, error) {
	eng, err := engine.Open(opts)
	var locked *engine.LockedError
	if errors.As(err, &locked) {
		return nil, &LockedError{Dir: locked.Dir, Socket: filepath.Join(locked.Dir, SocketName), cause: locked.Unwrap()}
	}
	if err != nil {
		return nil, err
	}
	log := opts.Logger
	if log == nil {
		log = slog.Default()
	}
	s := &Server{
		eng: eng, log: log, started: time.Now(), counters: newCommandCounters(),
		cursors:   newCursors(func(err error) { log.Error("close a cursor", "error", err) }),
		sessions:  newSessions(eng),
		listeners: map[net.Listener]struct{}{},
		conns:     map[io.Closer]struct{}{},
	}
	s.clock.tick()
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.wg.Go(s.maintain)
	return s, nil
}

// embeddedHost is the address by which the driver knows the in-memory connection.
const embeddedHost = "embedded.gadwall:27017"

// Dial opens an in-memory connection.
func (s *Server) Dial(ctx context.Context) (net.Conn, error) { return s.dial(ctx, embeddedHost) }

// dial opens an in-memory connection to the member with this address.
func (s *Server) dial(ctx context.Context, address string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l := newLocalConn(s, address)
	l.mu.Lock() // Close may hang up as soon as it knows of the connection
	defer l.mu.Unlock()
	var err error
	if l.gone, err = s.hold(serverEnd{l}); err != nil {
		l.cancel()
		return nil, err
	}
	return l, nil
}

// hold remembers a connection, for Close to close it and to wait until forget is called.
func (s *Server) hold(c io.Closer) (forget func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if len(s.conns) >= maxConnections {
		return nil, fmt.Errorf("docstore: more than %d connections", maxConnections)
	}
	s.conns[c] = struct{}{}
	s.wg.Add(1)
	return func() {
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
		s.wg.Done()
	}, nil
}

// accept starts to serve a connection.
func (s *Server) accept(nc net.Conn, host string) error {
	forget, err := s.hold(nc)
	if err != nil {
		return err
	}
	go func() {
		defer forget()
		s.serve(nc, host)
	}()
	return nil
}

type dialer struct{ s *Server }

func (d dialer) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	return d.s.dial(ctx, address)
}

// maxPool bounds the driver's connections of one client.
const maxPool = 100

// ClientOptions returns options with which mongo.Connect reaches the server in memory.
func (s *Server) ClientOptions() *options.ClientOptions {
	hosts := []string{embeddedHost}
	if s.tests != nil {
		hosts = s.tests.members
	}
	return options.Client().
		SetHosts(hosts).
		SetReplicaSet(SetName).
		SetDialer(dialer{s}).
		SetMaxPoolSize(maxPool).
		SetServerSelectionTimeout(10 * time.Second)
}

// ListenUnix serves on a unix socket that only the user of this process may open. A socket that a
// dead process left behind is removed. Clients connect with
// mongodb://%2Fpath%2Fto%2Fsocket/?directConnection=true; for drivers the path must end in "sock".
func (s *Server) ListenUnix(path string) error {
	if err := removeStaleSocket(path); err != nil {
		return err
	}
	// Linux gives the socket's file the mode of the socket, so that at no time anybody else may
	// connect.
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) { failed = syscall.Fchmod(int(fd), 0o600) })
		return errors.Join(err, failed)
	}}
	l, err := config.Listen(s.ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("docstore: listen on %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return fmt.Errorf("docstore: listen on %s: %w", path, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		l.Close() // which removes the file
		return ErrClosed
	}
	s.listeners[l] = struct{}{}
	s.wg.Go(func() { s.acceptAll(l, path) })
	return nil
}

// removeStaleSocket removes a socket on which nobody listens.
func removeStaleSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("docstore: %w", err)
	}
	if info.Mode()&os.ModeSocket == 0 {
		return fmt.Errorf("docstore: %s is there and is no socket", path)
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		c.Close()
		return fmt.Errorf("docstore: another process listens on %s", path)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("docstore: remove a stale socket: %w", err)
	}
	return nil
}

func (s *Server) acceptAll(l net.Listener, path string) {
	for {
		nc, err := l.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				s.log.Error("the socket stopped accepting", "path", path, "error", err)
			}
			return
		}
		if err := s.accept(nc, path); err != nil {
			s.log.Warn("refused a connection", "path", path, "error", err)
			nc.Close()
		}
	}
}

// Close ends all connections, waits for the commands that run, and closes the database. Writes that
// were not durable become so. If that takes very long, or the disk is full, it gives up: the
// database is left as the end of the process will leave it, with everything that was acknowledged
// as durable.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	s.closed = true
	for l := range s.listeners {
		l.Close() // which removes the file
	}
	conns := slices.Collect(maps.Keys(s.conns))
	s.mu.Unlock()
	s.cancel()
	for _, c := range conns {
		c.Close()
	}
	return s.eng.Close(func() {
		s.wg.Wait()
		s.cursors.kill(func(*cursor) bool { return true })
		s.sessions.abortAll()
	})
}

// Check compares every index with the documents of its collection, both ways, and looks at
// everything else that is stored. See Engine.Check.
func (s *Server) Check(ctx context.Context, progress func(ns string)) (*engine.CheckReport, error) {
	return s.eng.Check(ctx, progress)
}

// CheckEach is Check, and calls each with every problem. See Engine.CheckEach.
func (s *Server) CheckEach(
	ctx context.Context, progress func(ns string), each func(ns string, p engine.Problem),
) (*engine.CheckReport, error) {
	return s.eng.CheckEach(ctx, progress, each)
}

// Backup makes a copy of the database in dir. See Engine.Backup.
func (s *Server) Backup(ctx context.Context, dir string) error { return s.eng.Backup(ctx, dir) }

// Space tells how much of the disk is free, and whether writes are refused.
func (s *Server) Space() Space { return s.eng.Space() }

// DamagedFiles are the files whose damage was found since the database was opened.
func (s *Server) DamagedFiles() []DamagedFileError { return s.eng.DamagedFiles() }

// Metrics tells how the server is doing.
type Metrics struct {
	engine.Metrics
	Connections, Cursors int
	// Commands counts all since the start. BytesIn and BytesOut are their size and that of replies.
	Commands, BytesIn, BytesOut int64
}

// Metrics returns the current numbers.
func (s *Server) Metrics() Metrics {
	s.mu.Lock()
	conns := len(s.conns)
	s.mu.Unlock()
	s.cursors.mu.Lock()
	cursors := len(s.cursors.all)
	s.cursors.mu.Unlock()
	m := Metrics{Metrics: s.eng.Metrics(), Connections: conns, Cursors: cursors, Commands: s.commands.Load()}
	for _, c := range s.counters {
		m.BytesIn += c.bytesIn.Load()
		m.BytesOut += c.bytesOut.Load()
	}
	return m
}
