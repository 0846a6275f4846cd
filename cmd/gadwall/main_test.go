package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gadwall/internal/docstore"
	"gadwall/internal/node"
)

// within bounds every wait for something that must happen, on a machine that may be very busy.
const within = 10 * time.Minute

// asProgram makes the test binary behave as gadwall, so that tests run real processes.
const asProgram = "GADWALL_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

func program(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	// A program with the race detector would sleep for a second before it ends, each time.
	race := strings.TrimSpace(os.Getenv("GORACE") + " atexit_sleep_ms=0")
	cmd.Env = append(os.Environ(), asProgram+"=1", "GORACE="+race)
	return cmd
}

// outcome is what a finished program left.
type outcome struct {
	status   int
	out, err string
}

// gadwall runs the program with standard input and further environment.
func gadwall(t *testing.T, stdin string, env []string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	cmd := program(ctx, args...)
	cmd.Env = append(cmd.Env, env...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return outcome{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// want checks a status and that the output has the texts.
func (o outcome) want(t *testing.T, status int, texts ...string) {
	t.Helper()
	if o.status != status {
		t.Errorf("exit status %d, want %d\n%s%s", o.status, status, o.out, o.err)
	}
	for _, text := range texts {
		if !strings.Contains(o.out+o.err, text) {
			t.Errorf("no %q in\n%s%s", text, o.out, o.err)
		}
	}
}

// instance is a running server.
type instance struct {
	cmd   *exec.Cmd
	ports map[string]string // by protocol, as told on standard output
	log   *transcript
}

// A transcript is what a process has written so far.
type transcript struct {
	mu    sync.Mutex
	text  bytes.Buffer
	grown chan struct{} // closed at the next write
}

func newTranscript() *transcript { return &transcript{grown: make(chan struct{})} }

func (l *transcript) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.grown)
	l.grown = make(chan struct{})
	return l.text.Write(p)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// wait waits until the texts have been written.
func (l *transcript) wait(t *testing.T, texts ...string) {
	t.Helper()
	limit := time.After(within)
	for {
		l.mu.Lock()
		now, grown := l.text.String(), l.grown
		l.mu.Unlock()
		missing := slices.DeleteFunc(slices.Clone(texts), func(s string) bool { return strings.Contains(now, s) })
		if len(missing) == 0 {
			return
		}
		select {
		case <-grown:
		case <-limit:
			t.Fatalf("never written: %q", missing)
		}
	}
}

var readyLine = regexp.MustCompile(`^(\w+) ready on (\S+)$`)

// anyPorts are flags of serve for ports that the system chooses, so that tests run beside a server.
var anyPorts = []string{"--imap-listen", "127.0.0.1:0", "--lmtp-listen", "127.0.0.1:0",
	"--smtp-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"}

func startServer(t *testing.T, args ...string) *instance {
	t.Helper()
	return startServerWith(t, nil, args...)
}

// startServerWith starts a server with further environment.
func startServerWith(t *testing.T, env []string, args ...string) *instance {
	t.Helper()
	s := &instance{ports: map[string]string{}, log: newTranscript()}
	s.cmd = program(t.Context(), slices.Concat([]string{"serve"}, anyPorts, args)...)
	s.cmd.Env = append(s.cmd.Env, env...)
	s.cmd.Stderr = s.log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.cmd.ProcessState == nil {
			s.cmd.Process.Kill()
			s.cmd.Wait()
		}
		if t.Failed() {
			t.Logf("log of the server:\n%s", s.log)
		}
	})
	lines := bufio.NewScanner(out)
	for len(s.ports) < 4 && lines.Scan() {
		if m := readyLine.FindStringSubmatch(lines.Text()); m != nil {
			s.ports[m[1]] = m[2]
		}
	}
	if len(s.ports) < 4 {
		t.Fatalf("the server did not start:\n%s", s.log)
	}
	return s
}

// stop asks the server to end, and wants it to end well.
func (s *instance) stop(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

// dataDir is a directory whose sockets have names that are short enough.
func dataDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "data")
}

func TestUnusableArguments(t *testing.T) {
	dir := dataDir(t)
	for _, args := range []string{
		"", "frobnicate", "serve --frobnicate", "serve --imap-listen nonsense", "serve --config /does/not/exist",
		"serve --http-listen 0.0.0.0:0", "serve --smarthost mx", "serve --log-level loud", "serve --mongodb-uri http://x",
		"user add ada@example.com", "user add ada@example.com --quota -1", "user list --mongodb-database a/b",
		"deliver", "deliver file", "deliver --to <x> file", "deliver --to ada@example.com",
	} {
		got := gadwall(t, "", []string{"GADWALL_DATA_DIR=" + dir}, strings.Fields(args)...)
		got.want(t, exitUsage)
		if got.out != "" || strings.Count(got.err, "\n") != 1 || !strings.HasPrefix(got.err, "gadwall: ") {
			t.Errorf("%q: want one line on standard error, got %q and %q", args, got.out, got.err)
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the data directory was made: %v", err)
	}
	gadwall(t, "", nil, "version").want(t, 0, "gadwall ")
	gadwall(t, "", nil, "serve", "--help").want(t, 0, "--data-dir")
}

func TestServerAndTools(t *testing.T) {
	dir := dataDir(t)
	s := startServer(t, "--data-dir", dir, "--hostname", "mx.example.com")

	// User commands go through the socket of the running server.
	user := func(stdin string, args ...string) outcome {
		return gadwall(t, stdin, []string{"GADWALL_DATA_DIR=" + dir}, append([]string{"user"}, args...)...)
	}
	user("correct horse\n", "add", "Ada@Example.com", "--password-stdin", "--quota", "1MiB").
		want(t, 0, "created ada@example.com, id ")
	user("correct horse\n", "add", "ada@example.com", "--password-stdin").want(t, exitFailure, "exists")
	user("short\n", "add", "bob@example.com", "--password-stdin").
		want(t, exitFailure, "it has 5 octets; 8 to 1024 are possible")
	user("", "list").want(t, 0, "ada@example.com", "1MiB")
	user("", "list", "--json").
		want(t, 0, `{"user":"ada@example.com","id":"`, `"messages":0,"bytes":0,"limit":1048576,"created":"`)
	user("another horse\n", "passwd", "ada@example.com", "--password-stdin").
		want(t, 0, "new password for ada@example.com")
	user("another horse\n", "passwd", "nobody@example.com", "--password-stdin").
		want(t, exitFailure, "no such user: nobody@example.com")
	if gadwall(t, "", []string{"GADWALL_DATA_DIR=" + dir, "GADWALL_PASSWORD=correct horse"}, "user", "add",
		"eve@example.com").status != 0 {
		t.Error("password from the environment")
	}

	// A second server is told how to share.
	second := gadwall(t, "", nil, append([]string{"serve", "--data-dir", dir}, anyPorts...)...)
	second.want(t, exitFailure, "in use by another process", "--mongodb-uri 'mongodb://", "--redis-url 'unix://")
	told := regexp.MustCompile(`'([^']*)'`).FindAllStringSubmatch(second.err, -1)
	if len(told) != 2 {
		t.Fatal(second.err)
	}
	s2 := startServer(t, "--mongodb-uri", told[0][1], "--redis-url", told[1][1])

	file := filepath.Join(t.TempDir(), "mail")
	if err := os.WriteFile(file, []byte("Subject: x\n\n.dot\nend"), 0o600); err != nil {
		t.Fatal(err)
	}
	deliver := func(stdin string, s *instance, args ...string) outcome {
		return gadwall(t, stdin, nil, append([]string{"deliver", "--lmtp", s.ports["LMTP"]}, args...)...)
	}
	deliver("", s, "--to", "ada@example.com", "--to", "eve@example.com", "--from", "grace@example.net", file, file).
		want(t, 0, file+": <ada@example.com>: 250 2.1.5", file+": <eve@example.com>: 250 2.1.5")
	deliver("Subject: y\r\n\r\n", s2, "--to", "eve@example.com", "-").want(t, 0, "-: <eve@example.com>: 250 2.1.5")
	deliver("", s, "--to", "nobody@example.com", "--to", "eve@example.com", file).
		want(t, exitFailure, "<nobody@example.com>: 550 5.1.1", "<eve@example.com>: 250 2.1.5")
	deliver(strings.Repeat("A line of mail\n", 100_000), s, "--to", "ada@example.com", "-").
		want(t, exitTemp, "452 4.2.2")
	deliver("", s, "--to", "ada@example.com", file+"-not", file).
		want(t, exitFailure, "no such file", file+": <ada@example.com>: 250")
	deliver("", s, "--to", "ada@example.com", t.TempDir()).want(t, exitFailure, "is a directory")
	gadwall(t, "", nil, "deliver", "--lmtp", "127.0.0.1:1", "--to", "ada@example.com", file).
		want(t, exitTemp, "cannot reach the LMTP server")

	resp, err := http.Get("http://" + s2.ports["HTTP"] + "/health")
	if err != nil || resp.StatusCode != 200 {
		t.Errorf("health: %v %v", resp, err)
	}
	resp.Body.Close()
	resp, err = http.Get("http://" + s.ports["HTTP"] + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	var metrics bytes.Buffer
	metrics.ReadFrom(resp.Body)
	resp.Body.Close()
	for _, name := range []string{"gadwall_info{", `gadwall_commands_total{command="delivery",protocol="LMTP",`,
		"gadwall_content_saved_bytes_total{", "gadwall_disk_free_bytes{", "gadwall_deletions_waiting{",
		`gadwall_command_database_commands_total{command="delivery",protocol="LMTP"}`,
		"gadwall_ingest_deliveries_total{",
		"gadwall_events_published_total ", "gadwall_docstore_commands_total ",
		"gadwall_docstore_disk_free_bytes ", "gadwall_docstore_writes_refused 0",
		"gadwall_imap_connections 0"} {
		if !strings.Contains(metrics.String(), "\n"+name) {
			t.Errorf("no metric %s", name)
		}
	}

	// Addresses that cannot be had, and a data directory that cannot be made, are unusable
	// settings.
	other := dataDir(t)
	free := []string{"serve", "--data-dir", other, "--lmtp-listen", "off", "--smtp-listen", "off"}
	gadwall(t, "", nil, append(free, "--http-listen", "off", "--imap-listen", s.ports["IMAP"])...).
		want(t, exitUsage, "gadwall: --imap-listen: listen tcp "+s.ports["IMAP"])
	gadwall(
		t,
		"",
		nil,
		append(free, "--http-listen", "192.0.2.1:80", "--http-token", "0123456789abcdef", "--imap-listen",
			"127.0.0.1:0")...).
		want(t, exitUsage, "gadwall: --http-listen: listen tcp 192.0.2.1:80")
	if _, err := os.Stat(other); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the data directory was made: %v", err)
	}
	gadwall(t, "", nil, "serve", "--data-dir", "/proc/gadwall", "--imap-listen", "127.0.0.1:0",
		"--lmtp-listen", "off", "--smtp-listen", "off", "--http-listen", "off").
		want(t, exitUsage, "gadwall: --data-dir:")

	s2.stop(t)
	s.stop(t)
	// Without a server the commands open the database themselves.
	user("", "list").want(t, 0, "ada@example.com", "eve@example.com  ")
	user("", "delete", "ada@example.com").want(t, exitUsage, "--yes")
	user("", "delete", "ada@example.com", "--yes").want(t, 0, "deleted ada@example.com")
	if got := user("", "list"); strings.Contains(got.out, "ada@") {
		t.Errorf("still there: %s", got.out)
	}
}

func TestConfigFile(t *testing.T) {
	dir := dataDir(t)
	file := filepath.Join(t.TempDir(), "gadwall.toml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("lmtp-listen = 'nonsense'\n")
	gadwall(t, "", nil, "serve", "--config", file, "--data-dir", dir).want(t, exitUsage, "--lmtp-listen")
	gadwall(t, "", []string{"GADWALL_CONFIG=" + file}, "serve", "--data-dir", dir).want(t, exitUsage, "--lmtp-listen")
	write("lmtp-lisn = 'off'\n")
	gadwall(t, "", nil, "user", "list", "--config", file, "--data-dir", dir).
		want(t, exitUsage, "unknown settings: lmtp-lisn")
	write("data-dir = '" + dir + "'\nlmtp-listen = 'off'\n")
	gadwall(t, "correct horse", nil, "user", "add", "--config", file, "--password-stdin", "ada@example.com").
		want(t, 0, "created")
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("data-dir from the file: %v", err)
	}
}

// What a connection string says of concerns and preferences does not weaken anything, nor keep
// anything from working.
func TestConnectionStringsWithConcerns(t *testing.T) {
	dir := t.TempDir()
	startServer(t, "--data-dir", dir)
	env := []string{"GADWALL_PASSWORD=correct horse", "GADWALL_LOG_LEVEL=error"}
	for i, query := range []string{
		"w=0", "w=7", "w=1&journal=false", "readPreference=secondary", "readConcernLevel=linearizable",
		"readConcernLevel=snapshot",
		"retryWrites=false", "maxPoolSize=1",
	} {
		t.Run(query, func(t *testing.T) {
			// A database of its own, for which collections have to be made.
			storage := []string{
				"--mongodb-uri",
				node.SocketURI(filepath.Join(dir, docstore.SocketName)) + "&" + query,
				"--mongodb-database",
				fmt.Sprintf("test%d", i),
			}
			gadwall(
				t,
				"",
				env,
				append(
					[]string{"user", "add", "ada@example.com"}, storage...)...).
				want(t, 0, "created ada@example.com")
			gadwall(t, "", env, append([]string{"quota", "recalc", "--all"}, storage...)...).want(t, 0)
			gadwall(t, "", env, append([]string{"check"}, storage...)...).want(t, 0, "clean: 1 user, 6 mailboxes")
			gadwall(t, "", env, append([]string{"gc"}, storage...)...).want(t, 0, "deleted 0 contents")
			gadwall(
				t,
				"",
				env, append([]string{"user", "delete", "--yes", "ada@example.com"}, storage...)...).
				want(t, 0)
		})
	}
}
