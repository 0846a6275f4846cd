package acceptance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gadwall/internal/dbtest"
	"gadwall/internal/listen"
)

// binary is the path of the gadwall that TestMain built.
var binary string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "gadwall-acceptance-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	http.DefaultClient.Timeout = ioTimeout
	binary = filepath.Join(dir, "gadwall")
	build := exec.Command("go", "build", "-o", binary, "gadwall/cmd/gadwall")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building gadwall:", err)
		return 1
	}
	return m.Run()
}

// programTimeout bounds how long a program of a test may take for what the test waits for; far above
// what it needs, as startTimeout.
const programTimeout = 5 * time.Minute

// startTimeout bounds how long a server may take until it accepts connections; far above what it
// needs, so that a slow machine fails nothing.
const startTimeout = 3 * time.Minute

const (
	testUser     = "ada@example.com"
	testPassword = "correct horse battery"
)

// server is one gadwall process with its addresses and data directory. It keeps its ports over
// restarts.
type server struct {
	dir              string
	imap, lmtp, http string
	args             []string
	cmd              *exec.Cmd
	exited           chan struct{} // closed once cmd.Wait has returned
	log              *os.File
	restarting       sync.RWMutex // is locked while restart has the server down
}

// newServer reserves ports and a data directory; start runs it.
func newServer(t testing.TB, args ...string) *server {
	t.Helper()
	s := &server{dir: t.TempDir(), imap: freeAddr(t), lmtp: freeAddr(t), http: freeAddr(t), args: args}
	if !dbtest.Embedded() {
		// For the server and all commands of the test.
		t.Setenv("GADWALL_MONGODB_URI", os.Getenv(dbtest.URIVariable))
		t.Setenv("GADWALL_MONGODB_DATABASE", dbtest.Database(t).Name())
	}
	var err error
	if s.log, err = os.Create(filepath.Join(t.TempDir(), "server.log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Logf("the server's log ends:\n%s", s.logTail(8<<10))
		}
		s.log.Close()
	})
	return s
}

// startServer is newServer and start, with testUser made.
func startServer(t testing.TB, args ...string) *server {
	t.Helper()
	s := newServer(t, args...)
	s.start(t)
	s.createUser(t, testUser, testPassword)
	return s
}

func freeAddr(t testing.TB) string {
	t.Helper()
	addr, err := listen.SpareAddr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// start runs the server and returns when every listener answers.
func (s *server) start(t testing.TB) {
	t.Helper()
	args := append([]string{"serve", "--data-dir", s.dir,
		"--imap-listen", s.imap, "--lmtp-listen", s.lmtp, "--http-listen", s.http,
		"--smtp-listen", "off", "--submission-listen", "off"}, s.args...)
	s.cmd = exec.Command(binary, args...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatalf("starting gadwall: %v", err)
	}
	exited := make(chan struct{})
	s.exited = exited
	go func(cmd *exec.Cmd) {
		cmd.Wait() // the exit status of a killed server says nothing
		close(exited)
	}(s.cmd)
	deadline := time.Now().Add(startTimeout)
	for _, addr := range []string{s.imap, s.lmtp, s.http} {
		for {
			c, err := net.Dial("tcp", addr)
			if err == nil {
				c.Close()
				break
			}
			select {
			case <-exited:
				t.Fatalf("gadwall ended while starting:\n%s", s.logTail(8<<10))
			// polling another process, there is nothing to wait on
			case <-time.After(5 * time.Millisecond):
			}
			if time.Now().After(deadline) {
				t.Fatalf("gadwall does not listen on %s:\n%s", addr, s.logTail(8<<10))
			}
		}
	}
}

// kill ends the server as a power cut of the process would.
func (s *server) kill() {
	if s.cmd == nil {
		return
	}
	s.cmd.Process.Kill()
	<-s.exited
	s.cmd = nil
}

// restart kills the server, calls meanwhile, and starts the server again.
func (s *server) restart(t testing.TB, meanwhile func()) {
	t.Helper()
	s.restarting.Lock()
	defer s.restarting.Unlock()
	s.kill()
	meanwhile()
	s.start(t)
}

// awaitStart waits while restart is at work. Clients that tried to connect all the time would take
// the processor from the server that starts.
func (s *server) awaitStart() {
	s.restarting.RLock()
	defer s.restarting.RUnlock()
}

// stop asks the server to end and returns its exit status.
func (s *server) stop(t testing.TB) int {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	// What it does instead of ending stands in its log then.
	late := time.AfterFunc(programTimeout, func() { _ = s.cmd.Process.Signal(syscall.SIGQUIT) })
	defer late.Stop()
	<-s.exited
	code := s.cmd.ProcessState.ExitCode()
	s.cmd = nil
	return code
}

// databaseURI is the address of the embedded database's socket.
func (s *server) databaseURI() string {
	return "mongodb://" + url.PathEscape(filepath.Join(s.dir, "docstore.sock")) + "/?directConnection=true"
}

func (s *server) logTail(n int64) string {
	b, err := os.ReadFile(s.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, int64(len(b))-n):])
}

// createUser makes a user over HTTP, as the README does.
func (s *server) createUser(t testing.TB, name, password string) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"username": name, "password": password})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post("http://"+s.http+"/user/create", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Success      bool
		ID, Username string
	}
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &answer); err != nil || !answer.Success || answer.ID == "" ||
		answer.Username != name {
		t.Fatalf("POST /user/create answered %s: %s (%v)", resp.Status, raw, err)
	}
}

// memory reads a line of /proc/PID/status, in bytes; VmRSS is what is resident, VmHWM its peak.
func (s *server) memory(t testing.TB, line string) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	sc := bufio.NewScanner(bytes.NewReader(b))
	for sc.Scan() {
		if f := strings.Fields(sc.Text()); len(f) == 3 && f[0] == line+":" {
			kib, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatalf("/proc/PID/status has no %s", line)
	return 0
}

// resetPeak makes VmHWM start again from the present VmRSS (proc(5), clear_refs 5).
func (s *server) resetPeak(t testing.TB) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.cmd.Process.Pid), []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
}

// tool returns the path of a program that a test needs, or skips the test.
func tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return path
}

// diskUsage sums the blocks that the files below dir occupy.
func diskUsage(t testing.TB, dir string) int64 {
	t.Helper()
	var sum int64
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if os.IsNotExist(err) {
			return nil // the database removed a file while we looked
		}
		if err != nil {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && info.Mode().IsRegular() {
			sum += st.Blocks * 512
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// command runs a mail program with a limit and returns its output; it fails the test when it fails.
func command(t testing.TB, env []string, stdin io.Reader, name string, args ...string) string {
	t.Helper()
	out, err := attempt(t, env, stdin, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// attempt is command for a program that may fail.
func attempt(t testing.TB, env []string, stdin io.Reader, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), programTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second // its children may keep the output open
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin = stdin
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("%s %s: not done within %v\n%s", name, strings.Join(args, " "), programTimeout, out)
	}
	return string(out), err
}
