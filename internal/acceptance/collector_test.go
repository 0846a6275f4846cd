package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// collectorKills is how often TestCollectorBesideKills ends the server; GADWALL_TEST_KILLS
// says otherwise.
const collectorKills = 8

// TestCollectorBesideKills lets clients append, copy, move and expunge mail with a few attachments
// in common, and users with the same attachments come and go, while collections without any grace
// period and repairing checks run one after the other, and all of them are ended with SIGKILL again
// and again. Everything that clients were told must be true, byte for byte. In the end the only
// faults are counts that are too high, and after a repair and a collection there is none.
func TestCollectorBesideKills(t *testing.T) {
	kills := killTimes(t, collectorKills)
	s := startServer(t)
	ack := make(chan struct{}, killClients)
	done := make(chan struct{})
	var all sync.WaitGroup
	end := sync.OnceFunc(func() { close(done); all.Wait() })
	defer end() // also when the test fails
	_, owners := newKillClients(s, 5)
	for _, c := range owners {
		all.Go(func() { c.run(t, ack, done) })
	}
	side := &sideProcesses{server: s}
	all.Go(func() { side.repeat(t, done, "gc", "--grace", "0s") })
	all.Go(func() { side.repeat(t, done, "check", "--repair", "--deep") })
	all.Go(func() { guests(t, s, side, done) })
	rng := rand.New(rand.NewPCG(6, 6))
	for range kills {
		for range 1 + rng.IntN(8*killClients) {
			awaitAck(t, ack)
		}
		side.restart(t)
	}
	end()
	for _, c := range owners {
		c.checkAnew(t)
	}
	s.checkAccounts(t)
	if code := s.stop(t); code != 0 {
		t.Errorf("exit status %d on SIGTERM", code)
	}
	found := s.checkOffline(t, "--repair", "--deep")
	for kind := range found {
		if !slices.Contains([]string{"content leaked", "blob leaked", "orphan chunks"}, kind) {
			t.Errorf("found: %d %s", found[kind], kind)
		}
	}
	if out, err := side.run("gc", "--grace", "0s"); err != nil {
		t.Errorf("gc: %v\n%s", err, out)
	}
	if left := s.checkOffline(t, "--deep"); len(left) > 0 {
		t.Errorf("after repair and collection: %v", left)
	}
	t.Logf("%d kills, %d collections and checks, found %v", kills, side.runs.Load(), found)
}

// checkOffline checks the data of a server that does not run, and returns the number of findings by
// kind.
func (s *server) checkOffline(t *testing.T, flags ...string) map[string]int {
	t.Helper()
	out, err := exec.Command(binary, append([]string{"check", "--offline", "--json", "--data-dir",
		s.dir}, flags...)...).Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	var sum struct {
		Result string
		Found  map[string]int
	}
	if err := json.Unmarshal(lines[len(lines)-1], &sum); err != nil || sum.Result == "" {
		t.Fatalf("check: %v, %v\n%s", err, exit, out)
	}
	if sum.Result == "damaged" {
		t.Errorf("check found damage:\n%s", out)
	}
	return sum.Found
}

// guests creates and deletes users with mail like that of the others. Their commands may fail when
// the server is killed.
func guests(t *testing.T, s *server, side *sideProcesses, done <-chan struct{}) {
	rng := rand.New(rand.NewPCG(7, 7))
	for n := 0; ; n++ {
		select {
		case <-done:
			return
		default:
		}
		name := fmt.Sprintf("guest%d@example.com", n)
		if out, err := side.run("user", "add", name); err != nil {
			usable(t, out, err)
			continue
		}
		if c, err := dialLMTP(s.lmtp); err == nil {
			for k := range 1 + rng.IntN(5) {
				if c.send("grace@example.net", []string{name},
					bytes.NewReader(sealed(fmt.Sprintf("guest%d-%d", n, k), rng))) != nil {
					break
				}
			}
			c.Close()
		}
		out, err := side.run("user", "delete", "--yes", name)
		usable(t, out, err)
	}
}

// sideProcesses are commands on the data of a server, which are killed whenever it is.
type sideProcesses struct {
	server *server

	mu      sync.Mutex // held while the server is down: a command would open the data itself
	running sync.Map   // *exec.Cmd to a channel that is closed when it has ended
	runs    atomic.Int64
}

// run runs a command and returns what it wrote.
func (p *sideProcesses) run(args ...string) ([]byte, error) {
	var out bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), programTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, append(args, "--data-dir", p.server.dir)...)
	cmd.Env = append(os.Environ(), "GADWALL_PASSWORD="+testPassword)
	cmd.Stdout, cmd.Stderr = &out, &out
	p.mu.Lock()
	err := cmd.Start()
	ended := make(chan struct{})
	defer close(ended)
	p.running.Store(cmd, ended)
	defer p.running.Delete(cmd)
	p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if err = cmd.Wait(); err == nil {
		p.runs.Add(1)
	} else if ctx.Err() != nil {
		err = fmt.Errorf("gadwall %s: %w", args[0], ctx.Err())
	}
	return out.Bytes(), err
}

// repeat runs a command again and again. It may be killed, or lose the server; it must not find
// anything wrong.
func (p *sideProcesses) repeat(t *testing.T, done <-chan struct{}, args ...string) {
	for {
		select {
		case <-done:
			return
		default:
		}
		out, err := p.run(args...)
		usable(t, out, err)
	}
}

// usable reports a command that was not killed, did not lose the server, and failed all the same.
func usable(t *testing.T, out []byte, err error) {
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 1 || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v\n%s", err, out)
	}
}

// restart kills everything, and starts the server again.
func (p *sideProcesses) restart(t *testing.T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.server.restart(t, func() {
		p.running.Range(func(cmd, ended any) bool {
			cmd.(*exec.Cmd).Process.Kill() // it may have ended
			<-ended.(chan struct{})        // or have opened the data
			return true
		})
	})
}
