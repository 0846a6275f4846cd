//go:build !race

package docstore_test

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/internal/docstore"
)

// residentKiB is the memory of this process: now, or the most it ever was.
func residentKiB(t testing.TB, field string) int {
	t.Helper()
	status := must(os.ReadFile("/proc/self/status"))(t)
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			return must(strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB"))))(t)
		}
	}
	t.Skipf("no %s here", field)
	return 0
}

// Storing a large file chunk by chunk takes little memory: the write buffers, and no more.
func TestMemoryOfLargeFile(t *testing.T) {
	s := must(docstore.Open(docstore.Options{Dir: t.TempDir()}))(t)
	client := must(mongo.Connect(s.ClientOptions()))(t)
	defer closeAll(t, s, client)
	c := client.Database("d").Collection("chunks")
	insertAll(t, c, d("_id", -1))
	must(0, os.WriteFile("/proc/self/clear_refs", []byte("5"), 0))(t) // forget the peak so far
	before := residentKiB(t, "VmRSS")
	const chunk, total = 255 << 10, 200 << 20
	data := make([]byte, chunk)
	rng := rand.NewChaCha8([32]byte{1})
	for i := range total / chunk {
		must(rng.Read(data))(t) // does not compress
		if _, err := c.InsertOne(context.Background(), d("_id", i, "n", i, "data",
			bson.Binary{Data: data})); err != nil {
			t.Fatal(err)
		}
	}
	grown := residentKiB(t, "VmHWM") - before
	t.Logf("grew by %d MiB, %d MiB on disk", grown>>10, s.Metrics().DiskBytes>>20)
	if grown > 64<<10 {
		t.Errorf("memory grew by %d MiB", grown>>10)
	}
}
