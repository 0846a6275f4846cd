package workload

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"gadwall/bench"
	"gadwall/bench/result"
	"gadwall/bench/target"
	"gadwall/imap"
	"gadwall/ingest"
	"gadwall/internal/account"
	"gadwall/internal/mailstore"
	"gadwall/internal/sasl"
	"gadwall/internal/storetest"
)

// within bounds the shutdown of a server.
const within = time.Minute

// serve starts a server for the test and describes it.
func serve(t *testing.T) *target.Target {
	t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	store := storetest.Open(t, storetest.Options{Logger: log})
	accounts, err := account.New(account.Options{Store: store.Store, Bus: store.Bus, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	reads := imap.New(imap.Options{
		Authenticator: sasl.New(sasl.Options{Accounts: accounts}), Logger: log, Hostname: "mail.example.com"})
	takes, err := ingest.New(ingest.Options{Store: store.Store, LMTP: true, Hostname: "mail.example.com", Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	return &target.Target{
		Server:     result.Server{Name: "gadwall", Variant: "test"},
		IMAP:       listen(t, reads.Serve, reads.Shutdown),
		LMTP:       listen(t, takes.Serve, takes.Shutdown),
		UserFormat: "bench%d@example.com", Password: storetest.Password,
		Create: func(ctx context.Context, user, password string) error {
			_, err := store.CreateUser(ctx, mailstore.NewUser{Username: user, Password: password})
			return err
		},
		PID: os.Getpid(), DataDir: t.TempDir(),
	}
}

// listen serves on a port of its own until the test ends.
func listen(t *testing.T, serve func(net.Listener) error, shutdown func(context.Context) error) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		if err := shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		<-served
	})
	return l.Addr().String()
}

// small are options of a run that takes seconds; the lines come into the list.
func small(t *testing.T, to *target.Target) (o Options, lines *[]*result.Line) {
	t.Helper()
	lines = new([]*result.Line)
	return Options{
		Target: to, Corpus: bench.CorpusOptions{Seed: 3, FileBytes: 6000},
		Users: 2, Messages: 60, Connections: 3, Calls: 4,
		Repeats: 2, Idle: 7, BigMail: 300_000, Settle: 12 * time.Millisecond, Run: "r1", Dir: t.TempDir(),
		Line: func(l *result.Line) error {
			*lines = append(*lines, l)
			return nil
		},
	}, lines
}
