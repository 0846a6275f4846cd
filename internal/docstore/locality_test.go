package docstore_test

import (
	"math/rand/v2"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/docstore"
)

// Messages and the chunks of attachments arrive in turn, but reading messages brings no attachment
// into the cache.
func TestLocality(t *testing.T) {
	ctx := testContext(t)
	dir := t.TempDir()
	s := must(docstore.Open(docstore.Options{Dir: dir}))(t)
	client := must(mongo.Connect(s.ClientOptions()))(t)
	rng := rand.New(rand.NewPCG(1, 2))
	random := rand.NewChaCha8([32]byte{1})
	const n = 3000
	var messageBytes, chunkBytes int
	for i := 0; i < n; i += 20 {
		var messages, chunks []any
		for k := range 20 {
			messages = append(messages, benchMessage(rng, i+k))
			size := 4 << 10 // of small files there are many, of large ones few
			if k == 0 {
				size = 255 << 10
			}
			data := make([]byte, size)
			must(random.Read(data))(t)
			chunks = append(chunks, d("_id", i+k, "data", bson.Binary{Data: data}))
			chunkBytes += size
			messageBytes += 1000
		}
		insertAll(t, client.Database("d").Collection("messages"), messages...)
		insertAll(t, client.Database("d").Collection("chunks"), chunks...)
	}
	closeAll(t, s, client)

	// with an empty cache
	s = must(docstore.Open(docstore.Options{Dir: dir, CacheSize: int64(chunkBytes)}))(t)
	client = must(mongo.Connect(s.ClientOptions()))(t)
	defer closeAll(t, s, client)
	before := s.Metrics().CacheBytes
	cur := must(client.Database("d").Collection("messages").Find(ctx, d(),
		options.Find().SetProjection(d("flags", 1))))(t)
	if got := must(drain(cur, nil))(t); got != n {
		t.Fatalf("%d messages", got)
	}
	got := int(s.Metrics().CacheBytes - before)
	// A block at either end may hold neighbours, and the tables' indexes are cached, too.
	if got < messageBytes/2 || got > messageBytes+messageBytes/4 {
		t.Errorf("%d bytes came into the cache for %d bytes of messages, beside %d of chunks", got,
			messageBytes, chunkBytes)
	}
	t.Logf("%d bytes cached for %d bytes of messages, beside %d of chunks", got, messageBytes, chunkBytes)
}
