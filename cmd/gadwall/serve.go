package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gadwall/imap"
	"gadwall/ingest"
	"gadwall/internal/config"
	"gadwall/internal/httpapi"
	"gadwall/internal/node"
)

// shutdownTimeout bounds how long a stopping server waits for transactions in
// progress. What is cut off then was not acknowledged.
const shutdownTimeout = 30 * time.Second

type serveCmd struct {
	config.Serve
}

// measured is what has metrics of its own.
type measured interface{ Register(r prometheus.Registerer) }

// protocol is what one listener serves.
type protocol struct {
	name     string
	listener net.Listener
	tls      *tls.Config // TLS from the first octet
	serve    func(net.Listener) error
	shutdown func(context.Context) error
}

func (c *serveCmd) Run(std streams) (err error) {
	if err := c.Check(); err != nil {
		return usageError{err}
	}
	log, err := newLogger(c.Log, std)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	// First of all, so that addresses which cannot be had leave no data directory behind. Clients that are
	// early wait.
	listeners, err := c.listen()
	if err != nil {
		return usageError{err}
	}
	defer listeners.close()
	store, err := node.Open(ctx, node.Options{Storage: c.Storage, Access: node.Serving, Logger: log})
	if err != nil {
		if ctx.Err() != nil {
			return nil // told to stop before it had started
		}
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	collection := store.Collection(c.GCInterval, c.GCGrace)
	check := store.Check(c.CheckInterval)
	protocols, err := c.protocols(store, listeners, log, collection, check)
	if err != nil {
		return err
	}
	background, end := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { collection.Run(background) })
	running.Go(func() { check.Run(background) })
	defer running.Wait() // before the storage is closed
	defer end()
	log.Info("starting", "version", version, "hostname", c.Hostname)
	if c.SubmissionListen != config.Off {
		fmt.Fprintln(std.out, "submission not started: no --smarthost")
	}
	return serveAll(ctx, stop, protocols, std, log)
}

// listeners are those that are not off, by the names of their protocols.
type listeners map[string]net.Listener

// listen opens every listener, or none.
func (c *serveCmd) listen() (listeners, error) {
	open := make(listeners)
	for _, l := range []struct{ name, flag, addr string }{
		{"IMAP", "imap-listen", c.IMAPListen}, {"IMAPS", "imaps-listen", c.IMAPSListen},
		{"LMTP", "lmtp-listen", c.LMTPListen}, {"SMTP", "smtp-listen", c.SMTPListen}, {"HTTP", "http-listen", c.HTTPListen},
	} {
		if l.addr == config.Off {
			continue
		}
		listener, err := net.Listen("tcp", l.addr)
		if err != nil {
			open.close()
			return nil, fmt.Errorf("--%s: %w", l.flag, err)
		}
		open[l.name] = listener
	}
	return open, nil
}

func (l listeners) close() {
	for _, open := range l {
		open.Close()
	}
}

// protocols makes a server for each listener.
func (c *serveCmd) protocols(store *node.Node, open listeners, log *slog.Logger, others ...measured) ([]protocol, error) {
	tlsConfig, err := c.TLSConfig()
	if err != nil {
		return nil, usageError{err}
	}
	registry := prometheus.NewRegistry()
	counters := ingest.NewMetrics(registry)

	var list []protocol
	add := func(name string, tlsConfig *tls.Config, serve func(net.Listener) error, shutdown func(context.Context) error) {
		if l := open[name]; l != nil {
			list = append(list, protocol{name, l, tlsConfig, serve, shutdown})
		}
	}
	mail := imap.New(imap.Options{
		Accounts: store.Accounts, TLSConfig: tlsConfig, Hostname: c.Hostname, Logger: log, MaxMessageSize: int64(c.MaxMessageSize),
	})
	add("IMAP", nil, mail.Serve, mail.Shutdown)
	add("IMAPS", tlsConfig, mail.Serve, mail.Shutdown)
	for _, in := range []struct {
		name string
		lmtp bool
	}{{"LMTP", true}, {"SMTP", false}} {
		server, err := ingest.New(ingest.Options{
			Store: store.Mail, LMTP: in.lmtp, Hostname: c.Hostname, TLSConfig: tlsConfig,
			MaxMessageSize: int64(c.MaxMessageSize), RejectOverQuota: c.RejectOverQuota, Postmaster: c.Postmaster,
			Metrics: counters, Logger: log,
		})
		if err != nil {
			return nil, err
		}
		add(in.name, nil, server.Serve, server.Shutdown)
	}
	registerMetrics(registry, store, mail)
	for _, m := range others {
		m.Register(registry)
	}
	api := httpapi.New(httpapi.Options{
		Users: store.Mail, Ping: func(ctx context.Context) error { return store.Client.Ping(ctx, nil) },
		Token: c.HTTPToken, Gatherer: registry, Logger: log,
	})
	add("HTTP", nil, api.Serve, api.Shutdown)
	return list, nil
}

// serveAll serves until ctx ends or a listener fails, then shuts down. A signal during the shutdown ends the process at once.
func serveAll(ctx context.Context, stop context.CancelFunc, protocols []protocol, std streams, log *slog.Logger) error {
	failed := make(chan error, len(protocols))
	var serving sync.WaitGroup
	for _, p := range protocols {
		l := p.listener
		fmt.Fprintf(std.out, "%s ready on %s\n", p.name, l.Addr())
		if p.tls != nil {
			l = tls.NewListener(l, p.tls)
		}
		serving.Go(func() {
			if err := p.serve(l); err != nil && !errors.Is(err, imap.ErrServerClosed) {
				failed <- fmt.Errorf("%s: %w", p.name, err)
			}
		})
	}

	var err error
	select {
	case <-ctx.Done():
		log.Info("stopping")
	case err = <-failed:
	}
	stop() // the next signal has its usual effect
	limit, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	var stopping sync.WaitGroup
	for _, p := range protocols {
		stopping.Go(func() {
			if err := p.shutdown(limit); err != nil {
				log.Warn("some connections were cut off", "protocol", p.name, "error", err)
			}
		})
	}
	stopping.Wait()
	serving.Wait()
	if err == nil {
		log.Info("stopped")
	}
	return err
}
