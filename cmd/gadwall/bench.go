package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/bench"
	results "gadwall/bench/result"
	"gadwall/bench/target"
	"gadwall/ingest"
	"gadwall/internal/config"
	"gadwall/internal/database"
	"gadwall/internal/mailstore"
	"gadwall/internal/node"
)

type benchCmd struct {
	Space   benchSpaceCmd   `cmd:"" help:"Deliver generated mail and say what it takes, by class."`
	Run     benchRunCmd     `cmd:"" help:"Measure how fast a server is: deliver, read, search and change generated mail."`
	Corpus  benchCorpusCmd  `cmd:"" help:"Write generated mail, and say what it is like."`
	Report  benchReportCmd  `cmd:"" help:"Make a page of results, and compare them."`
	Plan    benchPlanCmd    `cmd:"" help:"Work out what an installation needs, from results."`
	Peers   benchPeersCmd   `cmd:"" help:"Measure Gadwall and the Dovecot of this machine in turn, and compare them."`
	Compare benchCompareCmd `cmd:"" help:"Measure two builds of Gadwall in turn; the exit status says whether the second one is slower."`
}

// benchSpaceCmd delivers a corpus to a server of its own in a new directory, or to a running one.
type benchSpaceCmd struct {
	config.Storage
	config.Log
	Mails int `default:"5000" help:"How many mails."`
	benchMail
	Senders int           `default:"8" help:"Connections at a time."`
	LMTP    string        `name:"lmtp" placeholder:"ADDR" help:"Deliver to this server, whose storage the other flags name, instead of to one of our own. The table then has all mail of it."`
	To      string        `placeholder:"ADDRESS" help:"The recipient there."`
	Measure bool          `help:"Deliver nothing: only say what the mail in the storage takes that the other flags name."`
	Settle  time.Duration `default:"12s" placeholder:"TIME" help:"How long the size of a data directory stays the same before it counts."`
	Out     string        `placeholder:"FILE" help:"Append a line of JSON with all figures, for 'bench plan' and 'bench report'."`
}

// benchUser is the recipient on a server of our own.
const benchUser = "bench@example.com"

func (c *benchSpaceCmd) Run(std streams) error {
	switch {
	case c.Mails < 1 || c.Senders < 1:
		return usageError{errors.New("--mails and --senders are at least 1")}
	case (c.LMTP == "") != (c.To == ""):
		return usageError{errors.New("--lmtp and --to belong together")}
	}
	if _, err := c.corpus(); err != nil {
		return usageError{err}
	}
	if err := c.Storage.Check(); err != nil {
		return usageError{err}
	}
	if c.Measure || c.LMTP != "" {
		if err := node.MustExist(c.Storage); err != nil {
			return err
		}
	}
	log, _, err := newLogger(c.Log, std)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	switch {
	case c.Measure:
		return c.report(ctx, log, std, 0)
	case c.LMTP != "":
		received, err := c.deliver(ctx, std, c.LMTP, c.To)
		if err != nil {
			return err
		}
		return c.report(ctx, log, std, received)
	}
	dir, err := os.MkdirTemp("", "gadwall-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	c.Storage = config.Storage{DataDir: dir, MongoDBDatabase: c.MongoDBDatabase}
	received, err := c.own(ctx, log, std)
	if err != nil {
		return err
	}
	return c.report(ctx, log, std, received)
}

// own delivers to a server in this process.
func (c *benchSpaceCmd) own(ctx context.Context, log *slog.Logger, std streams) (received int64, err error) {
	store, err := node.Open(ctx, node.Options{Storage: c.Storage, Access: node.Serving, Logger: log})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if _, err := store.Mail.CreateUser(ctx,
		mailstore.NewUser{Username: benchUser, Password: rand.Text()}); err != nil {
		return 0, err
	}
	// What a server logs of each delivery is of no interest here.
	server, err := ingest.New(ingest.Options{
		Store: store.Mail, LMTP: true, Hostname: "bench.example.com", Logger: slog.New(slog.DiscardHandler),
		MaxConnections: max(c.Senders, 1), MaxConnectionsPerAddress: max(c.Senders, 1),
	})
	if err != nil {
		return 0, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() {
		limit, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
		defer cancel()
		err = errors.Join(err, server.Shutdown(limit), <-served)
	}()
	return c.deliver(ctx, std, listener.Addr().String(), benchUser)
}

// deliver sends the corpus and returns its size.
func (c *benchSpaceCmd) deliver(ctx context.Context, std streams, addr, to string) (int64, error) {
	options, err := c.corpus()
	if err != nil {
		return 0, err
	}
	corpus := bench.NewCorpus(options)
	var next, received atomic.Int64
	var senders sync.WaitGroup
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	start := time.Now()
	progress := startProgress(std, "delivering", "mail", int64(c.Mails))
	for range c.Senders {
		senders.Go(func() {
			client, err := dialLMTP(addr)
			if err != nil {
				cancel(err)
				return
			}
			defer client.close()
			for n := next.Add(1) - 1; n < int64(c.Mails) && ctx.Err() == nil; n = next.Add(1) - 1 {
				m := corpus.Message(int(n))
				if err := sendOne(client, m.From, to, string(m.Raw)); err != nil {
					cancel(fmt.Errorf("mail %d: %w", n, err))
					return
				}
				received.Add(int64(len(m.Raw)))
				progress.add(1)
			}
		})
	}
	senders.Wait()
	progress.end()
	if err := context.Cause(ctx); err != nil {
		return 0, err
	}
	took := time.Since(start)
	fmt.Fprintf(
		std.out,
		"%s, %s, delivered in %v with making them: %.0f/s\n\n",
		count(c.Mails, "mail"),
		count(received.Load(), "byte"),
		took.Round(time.Millisecond),
		float64(c.Mails)/took.Seconds(),
	)
	return received.Load(), nil
}

func sendOne(client *lmtpClient, from, to, message string) error {
	results, err := client.deliver(from, []string{to}, strings.NewReader(message))
	if err != nil {
		return err
	}
	for _, r := range results {
		if r.reply.code/100 != 2 {
			return fmt.Errorf("<%s>: %v", r.recipient, r.reply)
		}
	}
	return nil
}

// measure reads all contents, and waits until the directory does not change any more.
func (c *benchSpaceCmd) measure(ctx context.Context, std streams, store *node.Node) (*bench.Space, int64, error) {
	progress := startProgress(std, "reading all contents", "", 0)
	defer progress.end()
	space, err := bench.MeasureSpace(ctx, store.Contents)
	if err != nil || !c.Storage.Embedded() {
		return space, 0, err
	}
	progress.phase("waiting until the directory is settled", 0, 0)
	directory, err := bench.Settled(ctx, c.Storage.DataDir, c.Settle)
	return space, directory, err
}

// report prints the table. received is 0 if it is not known.
func (c *benchSpaceCmd) report(ctx context.Context, log *slog.Logger, std streams, received int64) (err error) {
	store, err := node.Open(ctx, node.Options{Storage: c.Storage, Access: node.Sharing, Logger: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	space, directory, err := c.measure(ctx, std, store)
	if err != nil {
		return err
	}
	if received == 0 {
		for _, n := range space.Logical {
			received += n
		}
	}
	if err := space.WriteTable(std.out, received, directory); err != nil {
		return err
	}
	collections, err := database.MeasureCollections(ctx, store.Client.Database(c.Storage.MongoDBDatabase))
	if err != nil {
		return err
	}
	fmt.Fprintln(std.out)
	if err := bench.WriteCollections(std.out, collections, directory); err != nil {
		return err
	}
	out, err := openResults(c.Out)
	if err != nil {
		return err
	}
	taken := &bench.Footprint{Space: space, Collections: collections, Directory: directory}
	line, err := c.line(ctx, store, taken.Values(received))
	if err == nil {
		err = out.write(line)
	}
	return errors.Join(err, out.close())
}

// line is the measurement as a line of results.
func (c *benchSpaceCmd) line(
	ctx context.Context, store *node.Node, values map[string]float64,
) (*results.Line, error) {
	l := &results.Line{
		Run: strings.ToLower(rand.Text()[:10]), Time: time.Now().UTC(), Machine: target.Machine(),
		Server:   results.Server{Name: "gadwall", Version: version, Variant: "embedded"},
		Workload: bench.FootprintWorkload,
		Values:   values,
	}
	if !c.Storage.Embedded() {
		l.Server.Variant = "mongodb"
	}
	if !c.Measure {
		l.Params = map[string]float64{bench.FootprintMails: float64(c.Mails),
			bench.FootprintDuplicates: float64(c.Duplicates)}
		return l, nil
	}
	// The statistics lack what is in logs only. Nobody knows what is a duplicate.
	messages, err := store.Client.Database(c.Storage.MongoDBDatabase).Collection("messages").
		CountDocuments(ctx, bson.D{})
	l.Params = map[string]float64{bench.FootprintMails: float64(messages)}
	return l, err
}
