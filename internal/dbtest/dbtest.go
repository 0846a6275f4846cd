package dbtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/docstore"
)

// URIVariable names the environment variable with the MongoDB to test against.
const URIVariable = "GADWALL_TEST_MONGODB_URI"

const (
	cleanupTimeout = 2 * time.Minute // of a busy machine
	// ttlPeriod is short, so that tests of expiry need not wait for a minute.
	ttlPeriod = 100 * time.Millisecond
)

// shared is the embedded server of the test process. It is never closed: it lives in memory and
// ends with the process, which knows when its last test is over.
var shared = sync.OnceValues(func() (*docstore.Server, error) {
	return docstore.Open(docstore.Options{Dir: "dbtest", FS: vfs.NewMem(), TTLPeriod: ttlPeriod})
})

// sharedClient is the client of tests that need no monitor of their own.
var sharedClient = sync.OnceValues(func() (*mongo.Client, error) {
	opts, err := clientOptions()
	if err != nil {
		return nil, err
	}
	return mongo.Connect(opts)
})

// Embedded reports that tests run against the embedded server.
func Embedded() bool { return os.Getenv(URIVariable) == "" }

func clientOptions() (*options.ClientOptions, error) {
	if uri := os.Getenv(URIVariable); uri != "" {
		return options.Client().ApplyURI(uri), nil
	}
	s, err := shared()
	if err != nil {
		return nil, err
	}
	return s.ClientOptions(), nil
}

// ClientOptions returns the options with which clients reach the test database, for tests that need
// more of them.
func ClientOptions(t testing.TB) *options.ClientOptions {
	t.Helper()
	opts, err := clientOptions()
	if err != nil {
		t.Fatalf("open the test database: %v", err)
	}
	return opts
}

// Client returns a client that all tests of the process share. Do not disconnect it.
func Client(t testing.TB) *mongo.Client {
	t.Helper()
	c, err := sharedClient()
	if err != nil {
		t.Fatalf("connect to the test database: %v", err)
	}
	return c
}

// NewClient returns a client of its own for the test, with further options; it is disconnected at
// cleanup.
func NewClient(t testing.TB, extra ...*options.ClientOptions) *mongo.Client {
	t.Helper()
	opts, err := clientOptions()
	if err != nil {
		t.Fatalf("open the test database: %v", err)
	}
	return connect(t, append([]*options.ClientOptions{opts}, extra...)...)
}

// connect returns a client that is disconnected at cleanup.
func connect(t testing.TB, opts ...*options.ClientOptions) *mongo.Client {
	t.Helper()
	c, err := mongo.Connect(opts...)
	if err != nil {
		t.Fatalf("connect to the test database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
		defer cancel()
		if err := c.Disconnect(ctx); err != nil {
			t.Errorf("disconnect: %v", err)
		}
	})
	return c
}

// Database returns a database of its own for the test; it is dropped at cleanup.
func Database(t testing.TB) *mongo.Database {
	t.Helper()
	return database(t, Client(t))
}

func database(t testing.TB, c *mongo.Client) *mongo.Database {
	t.Helper()
	db := c.Database("test_" + randomName(t))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
		defer cancel()
		if err := db.Drop(ctx); err != nil {
			t.Errorf("drop the test database: %v", err)
		}
	})
	return db
}

// OnDisk is Database for benchmarks of what it costs to write durably: the embedded database lies
// on the disk, and is the benchmark's own.
func OnDisk(t testing.TB) *mongo.Database {
	t.Helper()
	if !Embedded() {
		return Database(t)
	}
	return own(t, docstore.Options{Dir: t.TempDir()})
}

// OnFS is a database of the test's own on an embedded server, also where other tests use MongoDB:
// for tests of what becomes of it when its file system is in trouble.
func OnFS(t testing.TB, fs vfs.FS) *mongo.Database {
	t.Helper()
	return own(t, docstore.Options{Dir: "own", FS: fs})
}

// own opens an embedded server for one test.
func own(t testing.TB, opts docstore.Options) *mongo.Database {
	t.Helper()
	s, err := docstore.Open(opts)
	if err != nil {
		t.Fatalf("open a database: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the database: %v", err)
		}
	})
	c, err := mongo.Connect(s.ClientOptions())
	if err != nil {
		t.Fatalf("connect to the database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
		defer cancel()
		if err := c.Disconnect(ctx); err != nil {
			t.Errorf("disconnect: %v", err)
		}
	})
	return c.Database("test")
}

func randomName(t testing.TB) string {
	t.Helper()
	b := make([]byte, 8)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(b)
}

// Monitored returns a database of its own, with a client whose commands are counted.
func Monitored(t testing.TB) (*mongo.Database, *Commands) {
	t.Helper()
	cmds := newCommands()
	return Watched(t, &event.CommandMonitor{
		Started: cmds.started, Succeeded: cmds.succeeded, Failed: cmds.failed}), cmds
}

// Watched returns a database of its own, with a client whose commands the monitor sees.
func Watched(t testing.TB, monitor *event.CommandMonitor) *mongo.Database {
	t.Helper()
	return database(t, NewClient(t, options.Client().SetMonitor(monitor)))
}
