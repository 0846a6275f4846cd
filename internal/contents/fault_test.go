package contents

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/blobstore"
	"gadwall/internal/dbtest"
	"gadwall/internal/docstore"
	"gadwall/internal/faultnet"
)

// faulty lets a chosen write command fail, either before it is sent or after it was executed and
// before its answer is read.
type faulty struct {
	mu        sync.Mutex
	countdown int // write commands until the fault; 0 for none
	executed  bool
	hit       bool
}

// arm chooses the n-th write command from now on, and whether it is to be executed. 0 is none.
func (f *faulty) arm(n int, executed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.countdown, f.executed, f.hit = n, executed, false
}

func (f *faulty) wasHit() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hit
}

func (f *faulty) decide(c faultnet.Command) faultnet.Verdict {
	if !slices.Contains([]string{"insert", "update", "delete"}, c.Name) {
		return faultnet.Pass
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.countdown == 0 {
		return faultnet.Pass
	}
	if f.countdown--; f.countdown > 0 {
		return faultnet.Pass
	}
	f.hit = true
	if f.executed {
		return faultnet.LoseAnswer
	}
	return faultnet.LoseRequest
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func quietStore(t *testing.T, db *mongo.Database) *Store {
	t.Helper()
	blobs, err := blobstore.New(db, blobstore.Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(db, blobs, Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.EnsureIndexes(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// faultMessages returns a message, and another one that shares a blob with it, has one that begins
// like that and goes on in its own way, and has blobs of its own, large and small.
func faultMessages() (stored, delivered []byte) {
	shared := random(1, 2*blobstore.FrameSize+100)
	deviating := append(bytes.Clone(shared[:2*blobstore.FrameSize]), random(2, blobstore.FrameSize)...)
	return []byte(multipart(textHeader+"A", base64Header+encode(shared, 76, "\r\n"))),
		[]byte(multipart(textHeader+"B", base64Header+encode(shared, 60, "\r\n"), base64Header+
			encode(deviating, 76, "\r\n"),
			base64Header+encode(random(3, 2*blobstore.FrameSize+100), 76, "\r\n"), base64Header+
				encode(random(4, 9000), 76, "\r\n")))
}

// Whatever write fails, executed or not, with or without cleaning up behind it: what is stored
// stays complete, no count is too low, and the delivery succeeds when it is repeated.
func TestFaults(t *testing.T) {
	server, err := docstore.Open(docstore.Options{Dir: "faults", FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	step := 1
	if raceEnabled {
		step = 5
	}
	first, second := faultMessages()
	for _, executed := range []bool{false, true} {
		for _, cleanup := range []bool{false, true} {
			t.Run(fmt.Sprintf("executed %v, cleanup %v", executed, cleanup), func(t *testing.T) {
				t.Parallel()
				opts := server.ClientOptions()
				faults := &faulty{}
				faultnet.Use(opts, faults.decide)
				client, err := mongo.Connect(opts, options.Client().SetRetryWrites(false))
				if err != nil {
					t.Fatal(err)
				}
				defer client.Disconnect(context.Background())
				for n := 1; ; n += step {
					db := client.Database(fmt.Sprintf("faults_%v_%v_%d", executed, cleanup, n))
					s := quietStore(t, db)
					a := mustPut(t, s, first)

					faults.arm(n, executed)
					b, err := deliver(t, s, second, cleanup)
					hit := faults.wasHit()
					faults.arm(0, false)
					if !hit && err != nil {
						t.Fatalf("write %d: failed without a fault: %v", n, err)
					}
					if hit && err == nil && cleanup {
						t.Logf("write %d: failed only in cleaning up", n)
					}
					audit(t, s)

					again, err := put(t.Context(), s, second, 50_000)
					if err != nil {
						t.Fatalf("write %d: repeated: %v", n, err)
					}
					if b != nil && b.ID != again.ID {
						t.Errorf("write %d: another ID", n)
					}
					for id, want := range map[ID][]byte{a.ID: first, again.ID: second} {
						c := load(t, s, id, Want{All: true})
						if got := read(t, c, 0, c.Size); !bytes.Equal(got, want) {
							t.Errorf("write %d: read back something else", n)
						}
					}
					extra := audit(t, s)
					if err := db.Drop(t.Context()); err != nil {
						t.Fatal(err)
					}
					if !hit {
						if extra != 0 {
							t.Errorf("without a fault: %d references or chunks too many", extra)
						}
						if n < 12 {
							t.Errorf("only %d writes", n-1)
						}
						return
					}
				}
			})
		}
	}
}

// deliver stores a message, and aborts if that fails and cleanup is wanted; without, it is as if
// the process had ended there.
func deliver(t *testing.T, s *Store, message []byte, cleanup bool) (*Stored, error) {
	w := s.NewWriter(t.Context())
	_, err := w.Write(message)
	var stored *Stored
	if err == nil {
		stored, err = w.Finish(t.Context(), 1)
	}
	if cleanup {
		w.Abort(t.Context())
	}
	return stored, err
}

// A delivery that is canceled before some write, and then aborted, leaves nothing behind, except
// where the commit of a content or a blob was underway.
func TestCancellation(t *testing.T) {
	var (
		mu        sync.Mutex
		countdown int
		cancel    context.CancelFunc
		canceled  string
	)
	monitor := &event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
		mu.Lock()
		defer mu.Unlock()
		if !slices.Contains([]string{"insert", "update", "delete"}, e.CommandName) || countdown == 0 {
			return
		}
		if countdown--; countdown == 0 {
			canceled = e.CommandName + " " + e.Command.Lookup(e.CommandName).StringValue()
			cancel()
		}
	}}
	client := dbtest.NewClient(t, options.Client().SetMonitor(monitor))
	first, second := faultMessages()
	for n := 1; ; n++ {
		db := client.Database(fmt.Sprintf("%s_cancel_%d", dbtest.Database(t).Name(), n))
		s := quietStore(t, db)
		mustPut(t, s, first)
		mu.Lock()
		var ctx context.Context
		ctx, cancel = context.WithCancel(t.Context())
		countdown, canceled = n, ""
		mu.Unlock()
		_, err := put(ctx, s, second, 50_000)
		mu.Lock()
		countdown = 0
		at := canceled
		mu.Unlock()
		if at == "" && err != nil {
			t.Fatalf("write %d: failed without a fault: %v", n, err)
		}
		extra := audit(t, s)
		commit := at == "insert "+Collection || at == "insert "+blobstore.FilesCollection
		if extra != 0 && !commit {
			t.Errorf("canceled before write %d (%s): %d references or chunks too many", n, at, extra)
		}
		if err := db.Drop(t.Context()); err != nil {
			t.Fatal(err)
		}
		cancel()
		if at == "" {
			return
		}
	}
}
