package target

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseStat(t *testing.T) {
	line := "7 (a) b (c) S 1 7 7 0 -1 4194560 9 0 0 0 250 50 9 1 20 0 5 0 99 1000000 300 18446744073709551615"
	p, err := parseStat([]byte(line))
	if err != nil || p.CPU != 3100*time.Millisecond || p.Resident != 300*int64(os.Getpagesize()) || p.parent != 1 {
		t.Errorf("%+v, %v", p, err)
	}
	for _, bad := range []string{"", "7 (a) S 1", strings.Replace(line, " 250 ", " x ", 1)} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// The process of the test has used memory, and its own usage is what the target tells.
func TestUsage(t *testing.T) {
	own := &Target{PID: os.Getpid(), DataDir: t.TempDir()}
	u, ok, err := own.Usage()
	if err != nil || !ok || u.Resident < 1<<20 {
		t.Errorf("%+v, %v, %v", u, ok, err)
	}
	before, ok, err := own.Disk()
	if err != nil || !ok {
		t.Fatalf("%v, %v", ok, err)
	}
	if err := os.WriteFile(filepath.Join(own.DataDir, "x"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if after, _, err := own.Disk(); err != nil || after-before < 1<<20 {
		t.Errorf("%d octets more, %v", after-before, err)
	}
	if _, ok, err := new(Target).Usage(); ok || err != nil {
		t.Errorf("usage of nothing: %v, %v", ok, err)
	}
	if _, ok, err := new(Target).Disk(); ok || err != nil {
		t.Errorf("disk of nothing: %v, %v", ok, err)
	}
}

func TestMachine(t *testing.T) {
	if m := Machine(); m.Cores < 1 || m.Memory < 1<<20 || !strings.HasPrefix(m.System, "linux/") {
		t.Errorf("%+v", m)
	}
}

func TestCreateUsers(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, r.ContentLength)
		_, _ = io.ReadFull(r.Body, body)
		asked = append(asked, r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization")+" "+string(body))
		switch len(asked) {
		case 2:
			w.WriteHeader(http.StatusConflict) // is there already
		case 3:
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte("not you"))
		}
	}))
	defer server.Close()
	to := &Target{UserFormat: "u%d@example.com", Password: "pw",
		Create: HTTPUsers(server.Listener.Addr().String(), "token")}
	err := to.CreateUsers(t.Context(), 4)
	if err == nil || !strings.Contains(err.Error(), "u2@example.com: 403 Forbidden: not you") {
		t.Errorf("%v", err)
	}
	line := func(user string) string {
		return `POST /user/create Bearer token {"password":"pw","username":"` + user + `"}`
	}
	if diff := cmp.Diff([]string{line("u0@example.com"), line("u1@example.com"), line("u2@example.com")},
		asked); diff != "" {
		t.Error(diff)
	}
}

// asServer makes the test binary behave as a server: the value says which.
const asServer = "GADWALL_TEST_AS_SERVER"

func TestMain(m *testing.M) {
	if kind := os.Getenv(asServer); kind != "" {
		serve(kind)
	}
	os.Exit(m.Run())
}

// serve says what a server says, but for one that is "broken", and ends after SIGTERM, but for one
// that "falls".
func serve(kind string) {
	if kind == "broken" {
		fmt.Fprintln(os.Stderr, "cannot start")
		os.Exit(3)
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	fmt.Fprintf(os.Stderr, "uri=%s arguments=%s\n", os.Getenv("GADWALL_MONGODB_URI"), os.Args[1:])
	fmt.Print("IMAP ready on 127.0.0.1:1\nSMTP ready on 127.0.0.1:9\n" +
		"LMTP ready on 127.0.0.1:2\nHTTP ready on 127.0.0.1:3\n")
	if kind == "falls" {
		fmt.Fprintln(os.Stderr, "fell over")
		os.Exit(4)
	}
	<-end
	os.Exit(0)
}

func TestStartGadwall(t *testing.T) {
	t.Setenv(asServer, "waits")
	t.Setenv("GADWALL_MONGODB_URI", "mongodb://production")
	dir := t.TempDir()
	s, err := StartGadwall(t.Context(), os.Args[0], dir, "--view-cache", "1MiB")
	if err != nil {
		t.Fatal(err)
	}
	if s.IMAP != "127.0.0.1:1" || s.LMTP != "127.0.0.1:2" || s.PID == 0 || s.Create == nil ||
		s.DataDir != filepath.Join(dir, "data") || s.User(3) != "bench3@example.com" {
		t.Errorf("%+v", s.Target)
	}
	if err := s.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	seen := s.logTail()
	if !strings.HasPrefix(seen, "uri= arguments=[serve --data-dir "+s.DataDir+" ") ||
		!strings.HasSuffix(seen, " --view-cache 1MiB]") {
		t.Errorf("the server got %q", seen)
	}
}

func TestStartGadwallFails(t *testing.T) {
	t.Setenv(asServer, "broken")
	if _, err := StartGadwall(t.Context(), os.Args[0], t.TempDir()); err == nil ||
		!strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "cannot start") {
		t.Errorf("%v", err)
	}
	if _, err := StartGadwall(t.Context(), "/does/not/exist", t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	t.Setenv(asServer, "falls")
	s, err := StartGadwall(t.Context(), os.Args[0], t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	<-s.ended
	if err := s.Stop(); err == nil || !strings.Contains(err.Error(), "exit status 4") ||
		!strings.Contains(err.Error(), "fell over") {
		t.Errorf("stop: %v", err)
	}
}

// The end of the context ends the server, and that is no error.
func TestStartGadwallCancelled(t *testing.T) {
	t.Setenv(asServer, "waits")
	ctx, cancel := context.WithCancel(t.Context())
	s, err := StartGadwall(ctx, os.Args[0], t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	<-s.ended
	if err := s.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// The usage of a server of several processes is that of all of them.
func TestUsageOfDescendants(t *testing.T) {
	// The shell waits for cat, which says that it runs.
	cmd := exec.Command("sh", "-c", "cat; :")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := in.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	of, err := descendants(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	parents := make(map[int]int)
	for _, p := range of {
		parents[p.pid] = p.parent
	}
	found := false
	for _, parent := range parents {
		found = found || parent == cmd.Process.Pid
	}
	if parents[cmd.Process.Pid] != os.Getpid() || !found {
		t.Errorf("the descendants of %d are %v, the shell is %d", os.Getpid(), parents, cmd.Process.Pid)
	}
	shell, err := readStat(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	u, ok, err := (&Target{PID: cmd.Process.Pid}).Usage()
	if alone := shell.proportional(); err != nil || !ok || u.Resident <= alone {
		t.Errorf("both have %d octets, the shell alone %d, %v, %v", u.Resident, alone, ok, err)
	}
}
