package acceptance

import (
	"bytes"
	"sync"
	"sync/atomic"
	"testing"

	"gadwall/bench"
	"gadwall/internal/dovecottest"
)

// The space that a mixed corpus takes, in Gadwall and in Dovecot's most compact formats. Run it with
//
//	go test -run '^$' -bench Space -benchtime 1x -timeout 60m ./internal/acceptance
//
// with "Space/mixed" or "Space/packed" for one of the corpora. The server runs while it is measured, and has settled. The floor
// is that of package bench.
const spaceMails = 5000

func BenchmarkSpace(b *testing.B) {
	for name, packed := range map[string]bool{"mixed": false, "packed": true} {
		b.Run(name, func(b *testing.B) {
			benchmarkSpace(b, bench.NewCorpus(bench.CorpusOptions{Seed: bench.MeasureSeed, Packed: packed}))
		})
	}
}

func benchmarkSpace(b *testing.B, corpus *bench.Corpus) {
	b.Run("gadwall", func(b *testing.B) {
		for b.Loop() {
			s := startServer(b)
			received := fill(b, corpus, s.lmtp, testUser)
			size, err := bench.Settled(b.Context(), s.dir)
			if err != nil {
				b.Fatal(err)
			}
			reportSpace(b, size, received)
		}
	})
	for name, single := range map[string]bool{"dovecot-mdbox-zstd": false, "dovecot-single-instance": true} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				s := dovecottest.Start(b, dovecottest.LMTP(), dovecottest.MDBox(single))
				received := fill(b, corpus, s.LMTPAddr, s.User)
				size, err := bench.DiskUsage(s.MailDir())
				if err != nil {
					b.Fatal(err)
				}
				reportSpace(b, size, received)
			}
		})
	}
	b.Run("floor", func(b *testing.B) {
		for b.Loop() {
			f, err := bench.NewFloor()
			if err != nil {
				b.Fatal(err)
			}
			var received int64
			for n := range spaceMails {
				raw := corpus.Message(n).Raw
				received += int64(len(raw))
				if err := f.Add(raw); err != nil {
					b.Fatal(err)
				}
			}
			reportSpace(b, f.Size, received)
		}
	})
}

func reportSpace(b *testing.B, size, received int64) {
	b.ReportMetric(float64(size)/float64(received), "disk/received")
	b.ReportMetric(float64(received), "received-bytes")
	b.ReportMetric(0, "ns/op")
}

// fill delivers the corpus and returns its size.
func fill(b *testing.B, corpus *bench.Corpus, lmtp, user string) int64 {
	var received, next atomic.Int64
	var senders sync.WaitGroup
	for range compareConnections {
		senders.Go(func() {
			c, err := dialLMTP(lmtp)
			if err != nil {
				b.Error(err)
				return
			}
			defer c.Close()
			for n := next.Add(1) - 1; n < spaceMails; n = next.Add(1) - 1 {
				m := corpus.Message(int(n))
				if err := c.send(m.From, []string{user}, bytes.NewReader(m.Raw)); err != nil {
					b.Errorf("message %d: %v", n, err)
					return
				}
				received.Add(int64(len(m.Raw)))
			}
		})
	}
	senders.Wait()
	if b.Failed() {
		b.FailNow()
	}
	return received.Load()
}
