package target

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"gadwall/bench"
	"gadwall/bench/result"
	"gadwall/internal/config"
	"gadwall/internal/node"
)

const (
	// startTimeout bounds how long a server may take until it listens.
	startTimeout = time.Minute
	// stopTimeout is how long a server has to end by itself.
	stopTimeout = time.Minute
	// maxLogTail is how much of the end of a server's log an error has.
	maxLogTail = 2 << 10
)

// Gadwall is a server that StartGadwall has started.
type Gadwall struct {
	Target
	database *Database
	cmd      *exec.Cmd
	log      string        // file
	ended    chan struct{} // closed when the process has ended
	err      error         // of the process, once it has ended
	// signal asks the process to end, once: a second signal would cut its shutdown off.
	signal func() error
}

// StartGadwall runs `binary serve` with its data and its log below dir, and returns when the server
// listens. args are further flags. The server ends with Stop, or when ctx ends.
func StartGadwall(ctx context.Context, binary, dir string, args ...string) (*Gadwall, error) {
	return StartGadwallOn(ctx, binary, dir, MongoDB{}, Layers{}, args...)
}

// MongoDB is a database of a MongoDB. The zero value stands for the embedded database.
type MongoDB struct{ URI, Database string }

// StartGadwallOn is StartGadwall with a database of a MongoDB, which the server makes, and Stop leaves,
// and for clients with these layers.
func StartGadwallOn(
	ctx context.Context, binary, dir string, on MongoDB, layers Layers, args ...string,
) (*Gadwall, error) {
	secure, err := layers.flags(dir)
	if err != nil {
		return nil, err
	}
	args = append(secure, args...)
	s := &Gadwall{log: filepath.Join(dir, "server.log"), ended: make(chan struct{})}
	log, err := os.Create(s.log)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own descriptor
	s.DataDir, s.Layers = filepath.Join(dir, "data"), layers
	s.cmd = exec.CommandContext(ctx, binary, append([]string{"serve", "--data-dir", s.DataDir,
		"--imap-listen", "127.0.0.1:0", "--lmtp-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0",
		"--smtp-listen", "off", "--submission-listen", "off", "--trusted-mtas", "127.0.0.1",
		"--max-commands-per-minute", "0",
		"--log-level", "warn"}, args...)...)
	s.cmd.Env = withoutSettings(os.Environ())
	if on.URI != "" { // it may have a password, which others could see among the arguments
		s.cmd.Env = append(s.cmd.Env, "GADWALL_MONGODB_URI="+on.URI, "GADWALL_MONGODB_DATABASE="+on.Database)
	}
	s.cmd.Stderr = log
	s.signal = sync.OnceValue(func() error { return s.cmd.Process.Signal(syscall.SIGTERM) })
	s.cmd.Cancel = s.signal
	s.cmd.WaitDelay = stopTimeout
	// In a group of its own, so that Ctrl-C reaches the server only through ctx, and once.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	ready := make(chan map[string]string, 1)
	go func() {
		defer close(s.ended)
		readListeners(out, []string{layers.listener(), "LMTP", "HTTP"}, ready)
		s.err = s.cmd.Wait()
	}()
	timer := time.NewTimer(startTimeout)
	defer timer.Stop()
	select {
	case at := <-ready:
		s.describe(at)
		if err := s.openDatabase(on); err != nil {
			return nil, errors.Join(err, s.Stop())
		}
		return s, nil
	case <-s.ended:
		err = fmt.Errorf("the server ended while it started: %w", s.err)
	case <-timer.C:
		err = errors.Join(errors.New("the server does not listen"), s.Stop())
	}
	return nil, fmt.Errorf("%w; its log ends: %s", err, s.logTail())
}

// settingPrefix marks variables that are settings of a Gadwall; testPrefix those that tests of it
// use.
const settingPrefix, testPrefix = "GADWALL_", "GADWALL_TEST_"

func withoutSettings(environ []string) []string {
	return slices.DeleteFunc(environ, func(variable string) bool {
		return strings.HasPrefix(variable, settingPrefix) && !strings.HasPrefix(variable, testPrefix)
	})
}

// readListeners reads what a server says on standard output, to its end, and sends the addresses
// once all that are needed are known.
func readListeners(out io.Reader, needed []string, ready chan<- map[string]string) {
	at := make(map[string]string)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		name, addr, ok := strings.Cut(lines.Text(), " ready on ")
		if !ok || !slices.Contains(needed, name) || at[name] != "" {
			continue
		}
		if at[name] = addr; len(at) == len(needed) {
			ready <- at
		}
	}
	_, _ = io.Copy(io.Discard, out) // after a line that is too long; the process must not block
}

func (s *Gadwall) describe(at map[string]string) {
	s.Server = result.Server{Name: "gadwall", Variant: "embedded"}
	s.IMAP, s.LMTP = at[s.Layers.listener()], at["LMTP"]
	s.PID = s.cmd.Process.Pid
	s.UserFormat, s.Password = "bench%d@example.com", rand.Text()
	s.Create, s.Metrics = HTTPUsers(at["HTTP"], ""), HTTPMetrics(at["HTTP"], "")
}

// embeddedDatabase is the default of the setting mongodb-database.
const embeddedDatabase = "gadwall"

// openDatabase connects to the server's database, to read its counters.
func (s *Gadwall) openDatabase(on MongoDB) (err error) {
	storage := config.Storage{DataDir: s.DataDir, MongoDBURI: on.URI, MongoDBDatabase: on.Database}
	if on.URI == "" {
		storage.MongoDBDatabase = embeddedDatabase
	}
	s.Footprint = func(ctx context.Context) (*bench.Footprint, error) { return measure(ctx, storage) }
	uri := on.URI
	if uri == "" {
		uri = node.EmbeddedURI(s.DataDir)
	} else {
		s.Server.Variant, s.DataDir = "mongodb", ""
	}
	if s.database, err = OpenDatabase(uri); err == nil {
		s.Counters = s.database.Counters
	}
	return err
}

// Stop ends the server and waits for it. It may be called once. After the end of StartGadwall's
// context the server's end is no error.
func (s *Gadwall) Stop() error {
	if s.database != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		defer func() { _ = s.database.Close(ctx) }() // of a server that may be gone
	}
	asked := s.signal()
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-s.ended:
	case <-timer.C:
		err := s.cmd.Process.Kill()
		<-s.ended
		return errors.Join(errors.New("the server did not end"), err)
	}
	switch {
	case errors.Is(s.err, context.Canceled) || errors.Is(s.err, context.DeadlineExceeded):
		return nil
	case asked != nil:
		return fmt.Errorf("the server ended by itself: %w; its log ends: %s",
			errors.Join(asked, s.err), s.logTail())
	}
	return s.err
}

// logTail is the end of the server's log, in one line.
func (s *Gadwall) logTail() string {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return strings.Join(strings.Fields(string(text[max(0, len(text)-maxLogTail):])), " ")
}
