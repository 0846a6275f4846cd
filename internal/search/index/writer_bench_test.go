package index_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/bench"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/internal/node"
	"gadwall/internal/search/index"
)

// cpu returns the processor time of the process.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkWriter measures the processor time of a mail's row beside that of its delivery.
//
//	go test ./internal/search/index -run '^$' -bench Writer -benchtime 3x
func BenchmarkWriter(b *testing.B) {
	for _, files := range []bool{false, true} {
		b.Run(fmt.Sprintf("files=%v", files), func(b *testing.B) {
			const mails = 1024
			s := newServer(b)
			corpus := bench.NewCorpus(bench.CorpusOptions{Seed: 1, NoFiles: !files})
			raws := make([][]byte, mails)
			for i := range raws {
				raws[i] = corpus.Message(i).Raw
			}
			before := cpu(b)
			for _, raw := range raws {
				s.deliver(b, "INBOX", raw, 0)
			}
			s.Index.Writer.Wait()
			delivered := cpu(b) - before
			var all []index.Mail
			for m, err := range s.Mail.UserMessages(b.Context(), s.user.ID,
				mailstore.FieldNumber|mailstore.FieldContent) {
				if err != nil {
					b.Fatal(err)
				}
				all = append(all, index.Mail{
					User: s.user.ID, Number: uint64(m.Number), Content: m.Content, Prefix: m.Prefix})
			}
			before = cpu(b)
			for b.Loop() {
				for i := 0; i < mails; i += 64 {
					if err := s.Index.Writer.Index(b.Context(), all[i:i+64]); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N*mails), "µs-index/mail")
			b.ReportMetric(float64(delivered.Microseconds())/float64(mails), "µs-delivery+index/mail")
		})
	}
}

// BenchmarkTurner measures the processor time that a mail's row takes until it is in a full block.
//
//	go test ./internal/search/index -run '^$' -bench Turner -benchtime 1x
func BenchmarkTurner(b *testing.B) {
	const different = 512
	s := newServer(b)
	corpus := bench.NewCorpus(bench.CorpusOptions{Seed: 1, NoFiles: true})
	grams := make([]*index.Grams, different)
	for i := range grams {
		grams[i] = s.gramsOf(b, s.store(b, corpus.Message(i).Raw))
	}
	used := time.Duration(0)
	for b.Loop() {
		user := mailkey.NewUserID()
		for first := 0; first < index.BlockRows; first += index.TurnRows {
			rows := make([]*index.Grams, index.TurnRows)
			for i := range rows {
				rows[i] = grams[(first+i)%different]
			}
			if err := s.Index.WriteRows(b.Context(), user, uint64(first+1), rows); err != nil {
				b.Fatal(err)
			}
			before := cpu(b)
			if err := s.Index.Turner.Turn(b.Context(), user, free); err != nil {
				b.Fatal(err)
			}
			used += cpu(b) - before
		}
	}
	b.ReportMetric(float64(used.Microseconds())/float64(b.N*index.BlockRows), "µs-turn/mail")
}

// BenchmarkRows measures the search of a user whose mails are all in rows, as many as there can be,
// beside the same asked of the database by $bitsAllSet.
//
//	go test ./internal/search/index -run '^$' -bench Rows
func BenchmarkRows(b *testing.B) {
	s := newServer(b)
	corpus := bench.NewCorpus(bench.CorpusOptions{Seed: 1, NoFiles: true})
	rows := make([]*index.Grams, index.TurnRows-1)
	for i := range rows {
		rows[i] = s.gramsOf(b, s.store(b, corpus.Message(i).Raw))
	}
	if err := s.Index.WriteRows(b.Context(), s.user.ID, 1, rows); err != nil {
		b.Fatal(err)
	}
	q := index.Holds(index.Text, "absentword")
	b.Run("streamed", func(b *testing.B) {
		for b.Loop() {
			if x, err := s.Index.Exclude(b.Context(), s.user.ID, &q, nil); err != nil || x.Len() < len(rows)/2 {
				b.Fatal(err)
			}
		}
	})
	plain := s.Database.Collection("plain")
	for i, g := range rows {
		if _, err := plain.InsertOne(b.Context(), bson.D{{Key: "_id", Value: i},
			{Key: "b", Value: bson.Binary{Data: g.Octets()}}}); err != nil {
			b.Fatal(err)
		}
	}
	var positions bson.A
	for _, bit := range index.Needle(index.Text, "absentword") {
		positions = append(positions, int32(bit))
	}
	b.Run("bitsAllSet", func(b *testing.B) {
		for b.Loop() {
			cursor, err := plain.Find(b.Context(), bson.D{{Key: "b", Value: bson.D{{Key: "$not",
				Value: bson.D{{Key: "$bitsAllSet", Value: positions}}}}}},
				options.Find().SetProjection(bson.D{{Key: "_id", Value: 1}}).SetBatchSize(1000))
			if err != nil {
				b.Fatal(err)
			}
			n := 0
			for cursor.Next(b.Context()) {
				n++
			}
			if cursor.Err() != nil || n < len(rows)/2 {
				b.Fatal(n, cursor.Err())
			}
		}
	})
}

// BenchmarkDelivery measures the processor time of deliveries with all that the index does meanwhile,
// and of the same without it. Each is 2,048 mails to one mailbox, one after the other.
//
//	go test ./internal/search/index -run '^$' -bench Delivery -benchtime 1x -count 3
func BenchmarkDelivery(b *testing.B) {
	for _, files := range []bool{false, true} {
		corpus := bench.NewCorpus(bench.CorpusOptions{Seed: 1, NoFiles: !files})
		raws := make([][]byte, 2048)
		for i := range raws {
			raws[i] = corpus.Message(i).Raw
		}
		// Restoring has no index.
		for name, access := range map[string]node.Access{"with": node.Serving, "without": node.Restoring} {
			b.Run(fmt.Sprintf("files=%v/%s", files, name), func(b *testing.B) {
				used := time.Duration(0)
				for b.Loop() {
					s := newServerAs(b, access)
					before := cpu(b)
					for _, raw := range raws {
						s.deliver(b, "INBOX", raw, 0)
					}
					if access == node.Serving {
						s.Index.Writer.Wait()
					}
					used += cpu(b) - before
				}
				b.ReportMetric(float64(used.Microseconds())/float64(b.N*len(raws)), "µs/mail")
			})
		}
	}
}
