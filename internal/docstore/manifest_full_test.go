package docstore_test

import (
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/internal/docstore"
)

// fullManifest is a file system that has no space for the manifest while full is set.
type fullManifest struct {
	vfs.FS
	full atomic.Bool
}

func (fs *fullManifest) Unwrap() vfs.FS { return fs.FS }

func (fs *fullManifest) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	if err != nil || !strings.Contains(name, "MANIFEST") {
		return f, err
	}
	return &fullManifestFile{f, fs}, nil
}

type fullManifestFile struct {
	vfs.File
	fs *fullManifest
}

func (f *fullManifestFile) Write(p []byte) (int, error) {
	if f.fs.full.Load() {
		return 0, syscall.ENOSPC
	}
	return f.File.Write(p)
}

// While Pebble waits for space for its manifest, reads and metrics go on: each read ends with
// closing a snapshot, for which Pebble wants the manifest.
func TestReadsGoOnWhileTheManifestWaits(t *testing.T) {
	fs := &fullManifest{FS: vfs.NewMem()}
	s := must(docstore.Open(docstore.Options{Dir: "db", FS: fs}))(t)
	client := must(mongo.Connect(s.ClientOptions()))(t)
	defer closeAll(t, s, client)
	ctx := testContext(t)
	c := client.Database("d").Collection("c")
	for id := range 20 {
		insertAll(t, c, d("_id", id, "a", id%2))
	}
	before := s.Metrics().DiskBytes
	fs.full.Store(true)
	defer fs.full.Store(false)
	flushed := make(chan error, 1)
	go func() { flushed <- s.Flush() }()
	waitFor(t, ctx, func() bool { return s.Stalled() })
	for range 20 {
		if n := must(c.CountDocuments(ctx, d("a", 1)))(t); n != 10 {
			t.Errorf("counted %d", n)
		}
		if err := c.FindOne(ctx, d("_id", 7)).Err(); err != nil {
			t.Error(err)
		}
		if m := s.Metrics(); m.DiskBytes == 0 || before == 0 {
			t.Errorf("metrics %+v, %d bytes before", m, before)
		}
	}
	if !s.Stalled() {
		t.Error("the manifest did not wait")
	}
	fs.full.Store(false)
	must(0, <-flushed)(t)
}
