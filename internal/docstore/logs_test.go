package docstore_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/internal/docstore"
)

// logBytes is what the logs in a directory occupy. The server may remove one meanwhile.
func logBytes(t *testing.T, dir string) (size int64) {
	t.Helper()
	for _, e := range must(os.ReadDir(dir))(t) {
		if !strings.HasSuffix(e.Name(), ".log") {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		size += must(info, err)(t).Size()
	}
	return size
}

// fillLogs writes several times what a log holds.
func fillLogs(t *testing.T, c *mongo.Collection, first int) {
	t.Helper()
	rng := rand.NewChaCha8([32]byte{byte(first)})
	for i := range 40 {
		data := make([]byte, 500_000)
		must(rng.Read(data))(t)
		must(c.InsertOne(testContext(t), d("_id", first+i, "data", bson.Binary{Data: data})))(t)
	}
}

// When nothing is written the logs are emptied, everything is still there, and goes on.
func TestEmptyLogs(t *testing.T) {
	dir := t.TempDir()
	opts := docstore.Options{Dir: dir}
	s := must(docstore.Open(opts))(t)
	client := must(mongo.Connect(s.ClientOptions()))(t)
	c := client.Database("d").Collection("c")
	for round := range 3 {
		fillLogs(t, c, round*40)
		if size := logBytes(t, dir); size < 4<<20 {
			t.Errorf("round %d: logs of %d bytes before anything is done", round, size)
		}
		must(0, s.EmptyLogs())(t)
		if size := logBytes(t, dir); size > 64<<10 {
			t.Errorf("round %d: logs of %d bytes", round, size)
		}
		if n := must(c.CountDocuments(testContext(t), d()))(t); n != int64(round+1)*40 {
			t.Errorf("round %d: %d documents", round, n)
		}
	}
	closeAll(t, s, client)
	s = must(docstore.Open(opts))(t)
	client = must(mongo.Connect(s.ClientOptions()))(t)
	defer closeAll(t, s, client)
	if n := must(client.Database("d").Collection("c").CountDocuments(testContext(t), d()))(t); n != 120 {
		t.Errorf("opened again: %d documents", n)
	}
	wantClean(t, s)
}

// The server does so by itself.
func TestLogsAreEmptied(t *testing.T) {
	dir := t.TempDir()
	s := must(docstore.Open(docstore.Options{Dir: dir, LogsIdle: 1e7}))(t)
	client := must(mongo.Connect(s.ClientOptions()))(t)
	defer closeAll(t, s, client)
	fillLogs(t, client.Database("d").Collection("c"), 0)
	waitFor(t, testContext(t), func() bool { return logBytes(t, dir) <= 1<<20 })
}

// Logs are left alone while a backup may be reading them, and a backup of a database whose logs are
// emptied all the time is whole.
func TestEmptyLogsBesideBackup(t *testing.T) {
	dir := t.TempDir()
	s := must(docstore.Open(docstore.Options{Dir: filepath.Join(dir, "db"), LogsIdle: 1e6}))(t)
	client := must(mongo.Connect(s.ClientOptions()))(t)
	defer closeAll(t, s, client)
	c := client.Database("d").Collection("c")
	fillLogs(t, c, 0)
	for round := range 8 {
		name := filepath.Join(dir, "backup"+string(rune('a'+round)))
		must(c.InsertOne(testContext(t), d("_id", 1000+round)))(t)
		must(0, s.Backup(testContext(t), name))(t)
		copied := must(docstore.Open(docstore.Options{Dir: name, FS: vfs.Default}))(t)
		other := must(mongo.Connect(copied.ClientOptions()))(t)
		if n := must(other.Database("d").Collection("c").CountDocuments(testContext(t), d()))(t); n != int64(41+round) {
			t.Errorf("backup %d has %d documents", round, n)
		}
		closeAll(t, copied, other)
	}
}
