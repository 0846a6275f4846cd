package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	results "gadwall/bench/result"
	"gadwall/bench/target"
	"gadwall/bench/workload"
	"gadwall/internal/config"
)

// benchRunCmd measures a server of its own in a new directory, or a running one.
type benchRunCmd struct {
	Workloads []string `arg:"" optional:"" name:"workload" help:"What to run; everything if not given. --list names all."`
	List      bool     `help:"Name the workloads, and run none."`
	benchLoad
	SweepMessages []int `placeholder:"N,..." help:"Run once with each of these in the place of --messages, so that a report shows how the cost grows."`
	SweepUsers    []int `placeholder:"N,..." help:"The same with --users."`

	SweepConnections    []int         `placeholder:"N,..." help:"The same with --connections."`
	SweepAttachmentSize []config.Size `placeholder:"SIZE,..." help:"The same with --attachment-size."`
	SweepBigMail        []int64       `placeholder:"BYTES,..." help:"The same with --big-mail."`

	IMAPTLS      string `name:"imap-tls" enum:"none,starttls,tls" default:"none" help:"How connections to IMAP are encrypted: starttls, tls (from the first octet), none. A server of our own gets a certificate; that of another one is not checked."`
	IMAPCompress bool   `name:"imap-compress" help:"Compress connections to IMAP (COMPRESS=DEFLATE)."`

	MongoDBURI string `name:"mongodb-uri" placeholder:"URI" help:"MongoDB for the server of our own, instead of the embedded database. It makes a new database there, which is dropped in the end."`

	Cold bool `help:"Give the server of our own no memory for the flags of mailboxes: each visit is as the first on an instance."`

	IMAP       string `name:"imap" placeholder:"ADDR" help:"Measure the server that listens there, host:port, instead of one of our own."`
	LMTP       string `name:"lmtp" placeholder:"ADDR" help:"Its LMTP; ingest, bigmail and footprint need it, and idle measures less without."`
	HTTP       string `name:"http" placeholder:"ADDR" help:"HTTP of a Gadwall, to create the users there, and to read its metrics; without it, they must exist."`
	UserFormat string `default:"bench%d@example.com" placeholder:"FORMAT" help:"Addresses of the users; %d is their number from 0 on."`
	Name       string `default:"server" help:"What to call that server in the results."`
}

func (c *benchRunCmd) check() error {
	switch {
	case c.IMAP == "" && (c.LMTP != "" || c.HTTP != ""):
		return errors.New("--lmtp and --http need --imap")
	case c.IMAP != "" && c.MongoDBURI != "":
		return errors.New("--mongodb-uri is for a server of our own, and --imap for another one")
	case c.IMAP != "" && c.Cold:
		return errors.New("--cold is for a server of our own, and --imap for another one")
	case strings.Count(c.UserFormat, "%") != 1 || !strings.Contains(c.UserFormat, "%d"):
		return errors.New("--user-format has one %d and no other %")
	case c.IMAP != "" && os.Getenv(passwordVariable) == "":
		return errors.New("the password of the users must be in " + passwordVariable)
	}
	if c.IMAP != "" && c.LMTP == "" {
		for _, name := range c.names() {
			if workload.NeedsLMTP(name) {
				return fmt.Errorf("%s needs --lmtp", name)
			}
		}
	}
	if err := c.benchLoad.check(c.Workloads); err != nil {
		return err
	}
	for _, load := range c.sweep() {
		if err := load.check(c.Workloads); err != nil {
			return err
		}
	}
	return nil
}

// sweep are the loads to run, one after the other: one, unless the flags name several sizes. Each has
// mail of its own, since the server has that of the one before.
func (c *benchRunCmd) sweep() (list []*benchLoad) {
	list = []*benchLoad{&c.benchLoad}
	list = swept(list, c.SweepUsers, func(l *benchLoad, n int) { l.Users = n })
	list = swept(list, c.SweepMessages, func(l *benchLoad, n int) { l.Messages = n })
	list = swept(list, c.SweepConnections, func(l *benchLoad, n int) { l.Connections = n })
	list = swept(list, c.SweepAttachmentSize, func(l *benchLoad, n config.Size) { l.AttachmentSize = n })
	list = swept(list, c.SweepBigMail, func(l *benchLoad, n int64) { l.BigMail = n })
	for i, load := range list {
		load.Seed = c.Seed + uint64(i)
	}
	return list
}

// swept are the loads with each of the values; without values, the loads as they are.
func swept[T any](list []*benchLoad, values []T, set func(*benchLoad, T)) (all []*benchLoad) {
	if len(values) == 0 {
		return list
	}
	for _, load := range list {
		for _, value := range values {
			one := *load
			set(&one, value)
			all = append(all, &one)
		}
	}
	return all
}

// names are those of the workloads to run.
func (c *benchRunCmd) names() []string {
	if len(c.Workloads) > 0 {
		return c.Workloads
	}
	var names []string
	for _, w := range workload.All() {
		names = append(names, w.Name)
	}
	return names
}

func (c *benchRunCmd) Run(std streams) (err error) {
	if c.List {
		for _, w := range workload.All() {
			fmt.Fprintf(std.out, "%-8s %s\n", w.Name, w.Help)
		}
		return nil
	}
	if err := c.check(); err != nil {
		return usageError{err}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	dir, err := os.MkdirTemp("", "gadwall-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	out, err := c.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.close()) }()
	to, end, err := c.target(ctx, dir)
	if err != nil {
		return err
	}
	progress := startProgress(std, "starting", "call", 0)
	run := c.options().Run
	for _, load := range c.sweep() {
		o := load.options()
		o.Run, o.Dir, o.Target, o.Line, o.Progress = run, dir, to, out.write, progress.phase
		if err = workload.Run(ctx, o, c.Workloads...); err != nil {
			break
		}
	}
	progress.end()
	// What was measured before an error is worth its time.
	return errors.Join(err, end(), writeBenchTable(std.out, out.lines))
}

// target starts a server of our own, or describes the one that the flags name. end ends what was
// started.
func (c *benchRunCmd) target(ctx context.Context, dir string) (to *target.Target, end func() error, err error) {
	if c.IMAP == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, nil, err
		}
		on := target.MongoDB{URI: c.MongoDBURI}
		if on.URI != "" {
			on.Database = "gadwall-bench-" + strings.ToLower(rand.Text()[:10])
		}
		var flags []string
		if c.Cold {
			flags = []string{"--view-cache", "1"}
		}
		started, err := target.StartGadwallOn(ctx, self, dir, on, c.layers(), flags...)
		if err != nil {
			return nil, nil, errors.Join(err, on.Drop())
		}
		started.Server.Version = version
		return &started.Target, func() error { return errors.Join(started.Stop(), on.Drop()) }, nil
	}
	to = &target.Target{Server: results.Server{Name: c.Name}, IMAP: c.IMAP, LMTP: c.LMTP,
		Layers: c.layers(), UserFormat: c.UserFormat, Password: os.Getenv(passwordVariable)}
	if c.HTTP != "" {
		to.Create = target.HTTPUsers(c.HTTP, os.Getenv(tokenVariable))
		to.Metrics = target.HTTPMetrics(c.HTTP, os.Getenv(tokenVariable))
	}
	return to, func() error { return nil }, nil
}

func (c *benchRunCmd) layers() target.Layers {
	return target.Layers{TLS: target.TLS(c.IMAPTLS), Compress: c.IMAPCompress}
}

// tokenVariable has the token for --http, as it has for the server.
const tokenVariable = "GADWALL_HTTP_TOKEN"
