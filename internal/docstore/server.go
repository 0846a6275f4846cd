package docstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	dto "github.com/prometheus/client_model/go"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Server is an open database and the connections to it. All methods may be called concurrently.
type Server struct {
	eng      *engine
	log      *slog.Logger
	dir      string
	fs       vfs.FS
	cursors  *cursors
	sessions *sessions
	cache    *pebble.Cache
	lock     *pebble.Lock
	started  time.Time
	// backups is held while a backup is made: there is one at a time.
	backups chan struct{}

	// ctx ends when the server closes; wg counts everything that must have ended before Pebble closes.
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu        sync.Mutex
	closed    bool
	listeners map[net.Listener]struct{}
	conns     map[net.Conn]struct{}
}

// ErrClosed is returned by a server that has been closed.
var ErrClosed = errors.New("docstore: the server is closed")

// embeddedHost is the address by which the driver knows the in-memory connection.
const embeddedHost = "embedded.gadwall:27017"

// Dial opens an in-memory connection.
func (s *Server) Dial(ctx context.Context) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	client, server := net.Pipe()
	if err := s.accept(server, embeddedHost); err != nil {
		client.Close()
		server.Close()
		return nil, err
	}
	return client, nil
}

// accept starts to serve a connection.
func (s *Server) accept(nc net.Conn, host string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if len(s.conns) >= maxConnections {
		return fmt.Errorf("docstore: more than %d connections", maxConnections)
	}
	s.conns[nc] = struct{}{}
	s.wg.Go(func() {
		s.serve(nc, host)
		s.mu.Lock()
		delete(s.conns, nc)
		s.mu.Unlock()
	})
	return nil
}

type dialer struct{ s *Server }

func (d dialer) DialContext(ctx context.Context, _, _ string) (net.Conn, error) { return d.s.Dial(ctx) }

// maxPool bounds the driver's connections of one client. Each costs some KiB and two goroutines.
const maxPool = 100

// ClientOptions returns options with which mongo.Connect reaches the server in memory.
func (s *Server) ClientOptions() *options.ClientOptions {
	return options.Client().
		SetHosts([]string{embeddedHost}).
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
	// Linux gives the socket's file the mode of the socket, so that at no time anybody else may connect.
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
				s.log.Error("the socket stopped accepting", "path", path, "err", err)
			}
			return
		}
		if err := s.accept(nc, path); err != nil {
			s.log.Warn("refused a connection", "path", path, "err", err)
			nc.Close()
		}
	}
}

// Close ends all connections, waits for the commands that run, and closes the database. Writes that
// were not durable become so. If that takes more than closeWait, or the disk is full, it gives up: the database is left as the end of the
// process will leave it, with everything that was acknowledged as durable.
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
	s.cancel()
	for nc := range s.conns {
		nc.Close()
	}
	s.mu.Unlock()
	close(s.eng.space.closing)

	closed := make(chan error, 1)
	go func() { closed <- s.finish() }()
	limit := time.NewTimer(closeWait)
	defer limit.Stop()
	select {
	case err := <-closed:
		return err
	case <-limit.C:
		return fmt.Errorf("docstore: close: the storage was not ready after %v", closeWait)
	case <-s.eng.space.whenFull():
	}
	limit.Reset(fullWait)
	select {
	case err := <-closed:
		return err
	case <-limit.C:
		return errors.New("docstore: close: the disk is full; what was not acknowledged may be lost")
	}
}

// finish waits for whoever uses the storage, and closes it.
func (s *Server) finish() error {
	s.wg.Wait()
	s.eng.commits.Wait()
	s.cursors.kill(func(*cursor) bool { return true })
	s.sessions.abortAll()
	err := s.eng.db.LogData(nil, pebble.Sync)
	err = errors.Join(err, s.eng.db.Close(), s.lock.Close())
	s.cache.Unref()
	if err != nil {
		return fmt.Errorf("docstore: close: %w", err)
	}
	return nil
}

func newUUID() bson.Binary {
	u := make([]byte, 16)
	rand.Read(u) // never fails
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return bson.Binary{Subtype: bson.TypeBinaryUUID, Data: u}
}

// Metrics tells how the server is doing.
type Metrics struct {
	Connections, Cursors int
	// Commands counts all since the start.
	Commands int64
	// SyncedCommits counts the commits that waited for the disk, and SyncWait their time in all. LogSyncs counts
	// the syncs they shared.
	SyncedCommits, LogSyncs int64
	SyncWait                time.Duration
	// DiskBytes is the size of the database's files.
	DiskBytes uint64
	// MemTableBytes and CacheBytes are what write buffers and block cache hold.
	MemTableBytes, CacheBytes uint64
}

type metrics struct {
	commands, syncedCommits, syncWait atomic.Int64
}

func (m *metrics) synced(d time.Duration) {
	m.syncedCommits.Add(1)
	m.syncWait.Add(int64(d))
}

// Metrics returns the current numbers.
func (s *Server) Metrics() Metrics {
	s.mu.Lock()
	conns := len(s.conns)
	closed := s.closed
	s.mu.Unlock()
	s.cursors.mu.Lock()
	cursors := len(s.cursors.all)
	s.cursors.mu.Unlock()
	m := Metrics{
		Connections:   conns,
		Cursors:       cursors,
		Commands:      s.eng.metrics.commands.Load(),
		SyncedCommits: s.eng.metrics.syncedCommits.Load(),
		SyncWait:      time.Duration(s.eng.metrics.syncWait.Load()),
	}
	if !closed {
		p := s.eng.db.Metrics()
		m.DiskBytes = diskBytes(p)
		m.MemTableBytes = p.MemTable.Size
		m.CacheBytes = uint64(p.BlockCache.Size)
		var latency dto.Metric
		if h := p.LogWriter.FsyncLatency; h != nil && h.Write(&latency) == nil {
			m.LogSyncs = int64(latency.GetHistogram().GetSampleCount())
		}
	}
	return m
}

// diskBytes is the size of the database's files. Pebble itself leaves out the files of values that were there when
// it was opened, and subtracts them when they go.
func diskBytes(m *pebble.Metrics) uint64 {
	return m.DiskSpaceUsage() - m.BlobFiles.Local.LiveSize + m.BlobFiles.LiveSize
}
