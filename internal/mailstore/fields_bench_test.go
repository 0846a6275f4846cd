package mailstore

import (
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/bench"
	"gadwall/internal/dbtest"
)

// BenchmarkFields says how many bytes each field takes in the documents of one mail of the mixed
// corpus, as BSON, on average:
//
//	go test -run '^$' -bench Fields -benchtime 1x ./internal/mailstore
func BenchmarkFields(b *testing.B) {
	const mails = 1000
	corpus := bench.NewCorpus(bench.CorpusOptions{Seed: bench.MeasureSeed})
	for b.Loop() {
		e := openEnv(b, dbtest.OnDisk(b))
		box := e.box(b, e.user(b), Inbox).Key
		for n := range mails {
			stored := e.content(b, string(corpus.Message(n).Raw), 1)
			got, err := e.Deliver(b.Context(), stored, []Delivery{{Mailbox: box, Magic: stored.Magics[0]}})
			if err != nil || got[0].Err != nil {
				b.Fatal(err, got)
			}
		}
		for _, name := range []string{collMessages, "contents", "blobs.files"} {
			cur, err := e.db.Collection(name).Find(b.Context(), bson.D{})
			if err != nil {
				b.Fatal(err)
			}
			sums := map[string]int{}
			for cur.Next(b.Context()) {
				sums["all"] += len(cur.Current)
				addFields(b, sums, "", cur.Current)
			}
			if err := cur.Err(); err != nil {
				b.Fatal(err)
			}
			for field, sum := range sums {
				b.ReportMetric(float64(sum)/mails, name+":"+field)
			}
		}
		b.ReportMetric(0, "ns/op")
	}
}

// addFields adds the size of each element of a document, key and type included; those of metadata
// one by one.
func addFields(b *testing.B, sums map[string]int, path string, doc bson.Raw) {
	elements, err := doc.Elements()
	if err != nil {
		b.Fatal(err)
	}
	for _, e := range elements {
		if sub, ok := e.Value().DocumentOK(); ok && e.Key() == "metadata" {
			addFields(b, sums, "metadata.", sub)
			continue
		}
		sums[path+e.Key()] += len(e)
	}
}
