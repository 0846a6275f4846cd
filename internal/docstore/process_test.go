package docstore_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/docstore"
)

// childVariable makes the test binary a server on that directory instead. failVariable makes it
// fail the sync of its log that has this number.
// fatalVariable makes it recover from a command that is to end the process.
const (
	childVariable = "GADWALL_DOCSTORE_CHILD"
	failVariable  = "GADWALL_DOCSTORE_FAIL_SYNC"
	fatalVariable = "GADWALL_DOCSTORE_FATAL"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		if err := child(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if os.Getenv(fatalVariable) != "" {
		recoverFromFatal()
		return
	}
	os.Exit(m.Run())
}

// child serves until its standard input ends.
func child(dir string) error {
	opts := docstore.Options{Dir: dir}
	if text := os.Getenv(failVariable); text != "" {
		fail, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return err
		}
		var syncs atomic.Int64
		opts.FS = errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) &&
				strings.HasSuffix(op.Path, ".log") && syncs.Add(1) == fail {
				return syscall.EIO
			}
			return nil
		}))
	}
	s, err := docstore.Open(opts)
	if err != nil {
		return err
	}
	if err := s.ListenUnix(filepath.Join(dir, docstore.SocketName)); err != nil {
		return err
	}
	fmt.Println("ready")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	return s.Close()
}

// startChild runs a server in a process of its own, and returns when it is ready.
func startChild(t *testing.T, dir string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(must(os.Executable())(t))
	cmd.Env = append(append(os.Environ(), childVariable+"="+dir), env...)
	if len(env) == 0 {
		cmd.Stderr = os.Stderr
	}
	must(cmd.StdinPipe())(t)
	out := must(cmd.StdoutPipe())(t)
	must(0, cmd.Start())(t)
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("the child said %q, %v", line, err)
	}
	return cmd
}

// A process that is killed leaves behind a database with everything it acknowledged.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	uri := "mongodb://" + url.PathEscape(filepath.Join(dir, docstore.SocketName)) + "/?directConnection=true"
	var mu sync.Mutex
	acked := []int{}
	next := 0
	for round := range 5 {
		cmd := startChild(t, dir)
		if _, err := docstore.Open(docstore.Options{Dir: dir}); !errors.Is(err, docstore.ErrLocked) {
			t.Fatalf("opened beside another process: %v", err)
		}
		ctx, cancel := context.WithCancel(testContext(t))
		client := must(mongo.Connect(options.Client().ApplyURI(uri).SetRetryWrites(false)))(t)
		c := client.Database("d").Collection("c")
		if round == 0 {
			createIndex(t, c, d("tags", 1), nil)
		}
		enough := make(chan struct{})
		var once sync.Once
		var wg sync.WaitGroup
		target := len(acked) + 50
		for range 4 {
			wg.Go(func() {
				for {
					mu.Lock()
					id := next
					next++
					mu.Unlock()
					if _, err := c.InsertOne(ctx, d("_id", id, "tags", A{id, -id}, "pad",
						make([]byte, id*100%50000))); err != nil {
						return
					}
					mu.Lock()
					acked = append(acked, id)
					if len(acked) >= target {
						once.Do(func() { close(enough) })
					}
					mu.Unlock()
				}
			})
		}
		<-enough
		must(0, cmd.Process.Kill())(t)
		cmd.Wait() // always an error: it was killed
		cancel()
		wg.Wait()
		must(0, client.Disconnect(testContext(t)))(t)

		s := must(docstore.Open(docstore.Options{Dir: dir}))(t)
		client = must(mongo.Connect(s.ClientOptions()))(t)
		there := map[string]bool{}
		for _, id := range ids(t, client.Database("d").Collection("c"), testContext(t), d()) {
			there[fmt.Sprint(id)] = true
		}
		for _, id := range acked {
			if !there[fmt.Sprint(id)] {
				t.Errorf("round %d: document %d was acknowledged and is lost", round, id)
			}
		}
		must(0, s.Verify())(t)
		closeAll(t, s, client)
	}
}

// When the log cannot be synced the process ends, before it acknowledges anything that may be lost.
func TestLogFails(t *testing.T) {
	dir := t.TempDir()
	uri := "mongodb://" + url.PathEscape(filepath.Join(dir, docstore.SocketName)) + "/?directConnection=true"
	acked := 0
	for _, fail := range []string{"5", "40"} {
		cmd := startChild(t, dir, failVariable+"="+fail)
		client := must(mongo.Connect(options.Client().ApplyURI(uri).SetRetryWrites(false)))(t)
		c := client.Database("d").Collection("c")
		var err error
		for err == nil {
			if _, err = c.InsertOne(testContext(t), d("_id", acked, "n", acked)); err == nil {
				acked++
			}
		}
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) {
			t.Fatalf("the server ended with %v", err)
		}
		must(0, client.Disconnect(testContext(t)))(t)

		s := must(docstore.Open(docstore.Options{Dir: dir}))(t)
		client = must(mongo.Connect(s.ClientOptions()))(t)
		n := must(client.Database("d").Collection("c").CountDocuments(testContext(t), d()))(t)
		if int(n) < acked || int(n) > acked+1 { // what was not acknowledged may be there
			t.Errorf("%d documents, %d acknowledged", n, acked)
		}
		acked = int(n)
		wantClean(t, s)
		closeAll(t, s, client)
	}
}
