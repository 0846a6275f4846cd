package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/prometheus/client_golang/prometheus"

	"gadwall/imap"
	"gadwall/ingest"
	"gadwall/internal/config"
	"gadwall/internal/httpapi"
	"gadwall/internal/listen"
	"gadwall/internal/node"
	"gadwall/internal/pulse"
	"gadwall/internal/retention"
	"gadwall/internal/sasl"
	"gadwall/internal/submission"
)

type serveCmd struct {
	config.Serve
}

// errNoToken refuses an API that would be open to everybody.
var errNoToken = errors.New("--http-listen: beyond loopback, --http-token is required, or a token in the database: " +
	"run gadwall token create admin --scopes all")

// measured is a part of the server that has metrics of its own.
type measured interface{ Register(r prometheus.Registerer) }

// protocol is what one listener serves.
type protocol struct {
	name     string
	listener net.Listener
	tls      *tls.Config // TLS from the first octet
	serve    func(net.Listener) error
	shutdown func(context.Context) error
}

// Run serves until SIGTERM or SIGINT. again parses arguments and configuration file once more.
func (c *serveCmd) Run(std streams, again reparse) (err error) {
	// From the beginning, since without it the signal ends the process.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	if err := c.Check(); err != nil {
		return usageError{err}
	}
	log, level, err := newLogger(c.Log, std)
	if err != nil {
		return err
	}
	tail := pulse.NewTail(log.Handler())
	log = slog.New(tail)
	slog.SetDefault(log)
	limitMemory(log, memlimit.FromCgroup)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	certificates, err := c.TLS.Certificates()
	if err != nil {
		return usageError{err}
	}
	// Listeners before storage, so that addresses which cannot be had leave no data directory
	// behind. Clients that are early wait.
	listeners, err := c.listen(log)
	if err != nil {
		return usageError{err}
	}
	defer listeners.close()
	if c.NeedsToken() {
		var setting *node.SettingError
		if err := node.MustExist(c.Storage); errors.As(err, &setting) {
			return usageError{errNoToken} // a new database has none
		}
	}
	store, err := node.Open(ctx, node.Options{
		Storage: c.Storage, Access: node.Serving, PasswordCache: time.Duration(c.PasswordCache), Scram: c.Scram,
		JournalKept: time.Duration(c.JournalKept), AuthlogKept: time.Duration(c.AuthlogKept),
		MasterUsers: c.MasterUsers, Sharing: c.Sharing, SharedSeen: c.SharedSeen, PublicUser: c.PublicUser,
		ViewCache: int64(c.ViewCache), HeaderCache: int64(c.HeaderCache), Version: version, Logger: log})
	if err != nil {
		if ctx.Err() != nil {
			return nil // told to stop before it had started
		}
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if c.NeedsToken() {
		switch has, err := store.Mail.HasAdminToken(ctx); {
		case err != nil:
			return err
		case !has:
			return usageError{errNoToken}
		}
	}
	collection := store.Collection(time.Duration(c.GCInterval), time.Duration(c.GCGrace))
	check := store.Check(time.Duration(c.CheckInterval), int64(c.CheckTempSize))
	tokens := c.Tokens()
	if tokens != nil {
		defer tokens.Close()
	}
	external := c.External(version)
	if external != nil {
		defer external.Close()
	}
	logins := sasl.New(sasl.Options{
		Accounts: store.Accounts, Tokens: tokens, External: external, CreateUsers: c.AuthCreateUsers,
		Certificate: c.certificateName()})
	lately := newLately(store, tail, log)
	defer lately.census.Close()
	sender, err := c.newSender(lately.registry, log)
	if err != nil {
		return err
	}
	defer sender.close()
	expiry := retention.New(store.Mail, retention.Task(store.Database, store.Redis, log), retention.Limits{
		`\Trash`: time.Duration(c.ExpireTrash), `\Junk`: time.Duration(c.ExpireJunk)})
	hooks := store.WebhookSender(c.HTTPURL)
	protocols, err := c.protocols(store, logins, sender.service, listeners, certificates, log, lately,
		collection, check, expiry, hooks)
	if err != nil {
		return err
	}
	store.Schema.Report = lately.sampler.Figures
	background, end := context.WithCancel(ctx)
	outdated := make(chan error, 1)
	var running sync.WaitGroup
	running.Go(func() {
		if err := store.Schema.Watch(background); err != nil {
			outdated <- err
			stop()
		}
	})
	running.Go(func() { lately.sampler.Run(background) })
	running.Go(func() { collection.Run(background) })
	running.Go(func() { store.Sessions.Run(background) })
	running.Go(func() { check.Run(background) })
	running.Go(func() { expiry.Run(background) })
	running.Go(func() { hooks.Run(background) })
	reload := &reloader{again: again, certificates: certificates, level: level, log: log}
	running.Go(func() { reload.run(background, hangups) })
	defer running.Wait() // before the storage is closed
	defer end()
	log.Info("starting", "version", version, "hostname", c.Hostname)
	c.warn(log)
	if c.SubmissionListen != config.Off && c.Smarthost == "" {
		fmt.Fprintln(std.out, "submission not started: no --smarthost")
	}
	err = serveAll(ctx, stop, protocols, std, log)
	select {
	case outdated := <-outdated:
		err = errors.Join(err, outdated)
	default:
	}
	return err
}

// warn tells of settings that work and are likely not meant.
func (c *serveCmd) warn(log *slog.Logger) {
	local := true
	for _, n := range c.PlaintextLoginFrom {
		local = local && n.Addr().IsLoopback()
	}
	if c.IMAPListen != config.Off && !config.IsLocal(c.IMAPListen) && len(c.Cert) == 0 && local {
		log.Warn("IMAP listens beyond loopback without TLS: nobody but this machine can log in; "+
			"set --tls-cert and --tls-key, "+
			"or --plaintext-login-from and --trusted-proxies for a proxy that ends TLS", "imap_listen", c.IMAPListen)
	}
}

// listeners are those that are not off, by the names of their protocols.
type listeners map[string]net.Listener

// listen opens every listener, or none.
func (c *serveCmd) listen(log *slog.Logger) (listeners, error) {
	names := map[string]string{
		"imap-listen": "IMAP", "imaps-listen": "IMAPS", "lmtp-listen": "LMTP",
		"smtp-listen": "SMTP", "http-listen": "HTTP", "submission-listen": "submission",
		"submissions-listen": "submissions",
	}
	open := make(listeners)
	for _, at := range c.All(c.Smarthost != "") {
		if at.Addr == config.Off {
			continue
		}
		address, err := listen.ParseAddress(at.Addr)
		var listener net.Listener
		if err == nil {
			listener, err = address.Listen()
		}
		if err != nil {
			open.close()
			return nil, fmt.Errorf("--%s: %w", at.Flag, err)
		}
		open[names[at.Flag]] = listen.Proxied(listener, listen.Trusted(c.TrustedProxies), log)
	}
	return open, nil
}

func (l listeners) close() {
	for _, open := range l {
		open.Close()
	}
}

// protocols makes a server for each listener. certificates may be nil.
func (c *serveCmd) protocols(store *node.Node, logins *sasl.Authenticator, sender *submission.Service,
	open listeners, certificates *listen.Certificates, log *slog.Logger, lately *lately, others ...measured,
) ([]protocol, error) {
	registry := lately.registry
	counters := ingest.NewMetrics(registry)
	var tlsConfig *tls.Config
	if certificates != nil {
		tlsConfig = certificates.Config()
		registry.MustRegister(certificates)
	}
	loginTLS, err := c.loginTLS(tlsConfig)
	if err != nil {
		return nil, err
	}

	var list []protocol
	add := func(name string, tlsConfig *tls.Config, serve func(net.Listener) error,
		shutdown func(context.Context) error) {
		if l := open[name]; l != nil {
			list = append(list, protocol{name, l, tlsConfig, serve, shutdown})
		}
	}
	mail := imap.New(imap.Options{
		Authenticator: logins, TLSConfig: loginTLS, Hostname: c.Hostname, Version: version, Logger: log,
		MaxMessageSize: int64(c.MaxMessageSize), PlaintextFrom: c.PlaintextLoginFrom,
		MaxConnectionsPerAddress: c.MaxConnectionsPerAddress, MaxConnectionsPerUser: c.MaxConnectionsPerUser,
		MaxCommandsPerMinute: c.MaxCommandsPerMinute,
		Sessions:             store.Registry, Activity: store.Activity,
		Comment: c.ServerComment, AdminURI: c.AdminURI, NoUnauthenticate: c.Unauthenticate == "off",
	})
	add("IMAP", nil, mail.Serve, mail.Shutdown)
	add("IMAPS", loginTLS, mail.Serve, mail.Shutdown)
	for _, in := range []struct {
		name string
		lmtp bool
	}{{"LMTP", true}, {"SMTP", false}} {
		server, err := ingest.New(ingest.Options{
			Store: store.Mail, LMTP: in.lmtp, Hostname: c.Hostname, TLSConfig: tlsConfig,
			MaxMessageSize: int64(c.MaxMessageSize), RejectOverQuota: c.RejectOverQuota,
			RejectSuspended: c.RejectSuspended, DetailMailboxes: c.DetailMailboxes, Postmaster: c.Postmaster,
			MaxConnections: c.MaxMailConnections, MaxConnectionsPerAddress: c.MaxMailConnectionsPerAddress,
			TrustedMTAs: c.TrustedMTAs, Metrics: counters, Activity: store.Activity, Logger: log,
		})
		if err != nil {
			return nil, err
		}
		add(in.name, nil, server.Serve, server.Shutdown)
	}
	if sender != nil {
		server, err := ingest.New(ingest.Options{
			Submission: sender, Sessions: store.Registry,
			Authenticator: logins, PlaintextFrom: c.PlaintextLoginFrom, Hostname: c.Hostname,
			TLSConfig: loginTLS, MaxMessageSize: int64(c.MaxMessageSize), TrustedMTAs: c.TrustedMTAs,
			MaxConnections: c.MaxMailConnections, MaxConnectionsPerAddress: c.MaxMailConnectionsPerAddress,
			Metrics: counters, Activity: store.Activity, Logger: log,
		})
		if err != nil {
			return nil, err
		}
		add("submission", nil, server.Serve, server.Shutdown)
		add("submissions", loginTLS, server.Serve, server.Shutdown)
	}
	registerMetrics(registry, store, mail,
		&background{store: store, taken: lately.census.Taken, log: log, now: time.Now}, c.disks())
	for _, m := range others {
		m.Register(registry)
	}
	web := httpapi.Options{
		Users: store.Mail, Ping: func(ctx context.Context) error { return store.Client.Ping(ctx, nil) },
		Accounts: store.Accounts, Submission: sender, Webhooks: store.Webhooks,
		Token: c.HTTPToken, Gatherer: registry, Logger: log,
		Sessions: store.Sessions, Registry: store.Registry,
		TokenRequired: c.NeedsToken(), Authenticator: logins, PlaintextFrom: c.PlaintextLoginFrom,
		MaxMessageSize: int64(c.MaxMessageSize), Activity: store.Activity, Instances: store.Schema,
		Updates: httpapi.NewUpdateMetrics(registry), Sampler: lately.sampler, Tail: lately.tail, Census: lately.census,
	}
	if db := store.Embedded; db != nil {
		web.Disk = func() (httpapi.Disk, error) {
			m := db.Metrics()
			return httpapi.Disk{FreeBytes: m.FreeBytes, WritesRefused: m.WritesRefused}, nil
		}
	}
	api := httpapi.New(web)
	add("HTTP", nil, api.Serve, api.Shutdown)
	return list, nil
}

// serveAll serves until ctx ends or a listener fails, then shuts down. A signal during the shutdown
// ends the process at once.
func serveAll(ctx context.Context, stop context.CancelFunc, protocols []protocol, std streams,
	log *slog.Logger) error {
	failed := make(chan error, len(protocols))
	var serving sync.WaitGroup
	for _, p := range protocols {
		l := p.listener
		fmt.Fprintf(std.out, "%s ready on %s\n", p.name, listen.Text(l.Addr()))
		if p.tls != nil {
			l = tls.NewListener(l, p.tls)
		}
		serving.Go(func() {
			if err := p.serve(l); err != nil && !errors.Is(err, imap.ErrServerClosed) {
				failed <- fmt.Errorf("%s: %w", p.name, err)
			}
		})
	}
	notify(log, stateReady)

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	notify(log, stateStopping)
	stop() // the next signal has its usual effect
	shutdown(protocols, shutdownTell, log)
	serving.Wait()
	if err == nil {
		log.Info("stopped")
	}
	return err
}
