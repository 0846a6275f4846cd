package contents_test

import (
	"fmt"
	"testing"

	"gadwall/bench"
	"gadwall/blobstore"
	"gadwall/internal/contents"
	"gadwall/internal/database"
	"gadwall/internal/dbtest"
)

// BenchmarkThresholds stores the mixed corpus with other thresholds between what is stored inline
// and what becomes a blob:
//
//	go test -run '^$' -bench Thresholds -benchtime 1x -timeout 60m ./internal/contents
//
// It reports what the documents of contents and blobs have as BSON, which is nearly what they take,
// since their bytes are compressed already; and how many blobs there are, each of which is two
// documents with four entries in indexes.
func BenchmarkThresholds(b *testing.B) {
	const mails = 1000
	corpus := bench.NewCorpus(bench.CorpusOptions{Seed: bench.MeasureSeed})
	for _, t := range []struct{ blob, text int }{
		{2, 64}, {4, 64}, {8, 64}, {16, 64}, {4, 16}, {4, 32}, {4, 128},
	} {
		b.Run(fmt.Sprintf("blob=%dK/text=%dK", t.blob, t.text), func(b *testing.B) {
			for b.Loop() {
				db := dbtest.Database(b)
				blobs, err := blobstore.New(db, blobstore.Options{})
				if err != nil {
					b.Fatal(err)
				}
				store, err := contents.New(db, blobs, contents.Options{})
				if err == nil {
					err = store.EnsureIndexes(b.Context())
				}
				if err != nil {
					b.Fatal(err)
				}
				store.SetThresholds(t.blob<<10, t.text<<10)
				received := 0
				for n := range mails {
					raw := corpus.Message(n).Raw
					received += len(raw)
					w := store.NewWriter(b.Context())
					_, err := w.Write(raw)
					if err == nil {
						_, err = w.Finish(b.Context(), 1)
					}
					w.Abort(b.Context())
					if err != nil {
						b.Fatal(err)
					}
				}
				list, err := database.MeasureCollections(b.Context(), db)
				if err != nil {
					b.Fatal(err)
				}
				var bytes int64
				for _, c := range list {
					bytes += c.Bytes
					if c.Name == blobstore.FilesCollection {
						b.ReportMetric(float64(c.Documents), "blobs")
					}
				}
				b.ReportMetric(float64(bytes)/float64(received), "bytes/received")
				b.ReportMetric(0, "ns/op")
			}
		})
	}
}
