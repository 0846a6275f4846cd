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
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/docstore"
)

// childVariable makes the test binary a server on that directory instead.
const childVariable = "GADWALL_DOCSTORE_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		if err := child(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// child serves until its standard input ends.
func child(dir string) error {
	s, err := docstore.Open(docstore.Options{Dir: dir})
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
func startChild(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(must(os.Executable())(t))
	cmd.Env = append(os.Environ(), childVariable+"="+dir)
	cmd.Stderr = os.Stderr
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
					if _, err := c.InsertOne(ctx, d("_id", id, "tags", A{id, -id}, "pad", make([]byte, id*100%50000))); err != nil {
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
