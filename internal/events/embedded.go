package events

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"sync"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// NewClient returns a client for a redis://, rediss:// or unix:// URL, with
// limits that suit a Bus. It does not connect yet.
func NewClient(url string) (*redis.Client, error) {
	opt, err := redis.ParseURL(url)
	if err != nil {
		return nil, fmt.Errorf("redis url: %w", err)
	}
	return redis.NewClient(limited(opt)), nil
}

// SocketClient returns a client for the embedded Redis of another process, which
// listens on the unix socket at path.
func SocketClient(path string) *redis.Client {
	return redis.NewClient(limited(&redis.Options{Network: "unix", Addr: path}))
}

func limited(opt *redis.Options) *redis.Options {
	opt.ContextTimeoutEnabled = true
	opt.MaxRetries = 1
	opt.DialerRetries = 1 // the bus has its own pauses between attempts
	opt.DialTimeout = publishTimeout
	opt.WriteTimeout = publishTimeout
	opt.DisableIdentity = true
	opt.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return opt
}

// Embedded carries events between the processes of one machine when no Redis is
// configured: a Redis inside this process, which the others reach through a unix
// socket. It understands the commands of embeddedConn alone, so it is no place for
// locks, and it keeps nothing on disk.
type Embedded struct {
	mini   *miniredis.Miniredis
	client *redis.Client
	ln     net.Listener
	wg     sync.WaitGroup

	mu    sync.Mutex
	conns int // open ones
}

// StartEmbedded starts a Redis that listens on a unix socket at path, mode 0600.
// A socket left there by a dead process is replaced: the caller must hold the
// lock of the directory.
func StartEmbedded(path string) (*Embedded, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("embedded redis: %w", err)
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("embedded redis: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		ln.Close()
		return nil, fmt.Errorf("embedded redis: %w", err)
	}
	e := &Embedded{mini: miniredis.NewMiniRedis(), ln: ln}
	first, err := e.mini.Dial() // starts it, without a TCP listener
	if err != nil {
		ln.Close()
		return nil, fmt.Errorf("embedded redis: %w", err)
	}
	first.Close()
	// This process uses the socket, too. A pipe within the process has no buffer, and go-redis
	// holds a lock while it writes which it needs for reading: both sides would wait for each other.
	e.client = SocketClient(path)
	e.wg.Go(e.accept)
	return e, nil
}

// accept serves connections until the listener is closed.
func (e *Embedded) accept() {
	for {
		nc, err := e.ln.Accept()
		if err != nil {
			return
		}
		if !e.admit() {
			nc.Close()
			continue
		}
		conn := newEmbeddedConn(nc)
		conn.Conn = &releasedConn{Conn: nc, release: sync.OnceFunc(e.release)}
		e.mini.Server().ServeConn(conn)
	}
}

func (e *Embedded) admit() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.conns >= maxEmbeddedConns {
		return false
	}
	e.conns++
	return true
}

func (e *Embedded) release() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.conns--
}

// releasedConn calls release when it is closed.
type releasedConn struct {
	net.Conn
	release func()
}

// Close implements net.Conn.
func (c *releasedConn) Close() error {
	c.release()
	return c.Conn.Close()
}

// Client returns a client of the embedded Redis for this process. Close ends it.
func (e *Embedded) Client() *redis.Client { return e.client }

// Bus returns the bus of this process. It hands events to the embedded Redis by a call: a round trip
// through the socket would cost a delivery about as much as an insert. A subscriber that does not
// read holds that call up for embeddedWriteTimeout at most.
func (e *Embedded) Bus(logger *slog.Logger) *Redis {
	return newRedis(e.client, logger, func(_ context.Context, messages []message) error {
		for _, m := range messages {
			e.mini.Publish(m.channel, m.data)
		}
		return nil
	})
}

// Close ends the client, the listener and all connections.
func (e *Embedded) Close() error {
	err := errors.Join(e.client.Close(), e.ln.Close())
	e.wg.Wait()
	e.mini.Close()
	return err
}
