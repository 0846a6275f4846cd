package events

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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

// Embedded is a Redis inside this process, for when none is configured. Further
// processes on the same data reach it through a unix socket, so that they wake
// each other up as instances around a real Redis do. It keeps nothing on disk.
type Embedded struct {
	mini   *miniredis.Miniredis
	client *redis.Client
	ln     net.Listener
	wg     sync.WaitGroup
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
	e.client = redis.NewClient(limited(&redis.Options{
		Addr:   "embedded",
		Dialer: func(context.Context, string, string) (net.Conn, error) { return e.mini.Dial() },
	}))
	e.wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			e.mini.Server().ServeConn(conn)
		}
	})
	return e, nil
}

// Client returns a client that reaches the embedded Redis without a socket.
// Close ends it.
func (e *Embedded) Client() *redis.Client { return e.client }

// Close ends the client, the listener and all connections.
func (e *Embedded) Close() error {
	err := errors.Join(e.client.Close(), e.ln.Close())
	e.wg.Wait()
	e.mini.Close()
	return err
}
