package acceptance

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"gadwall/bench"
	"gadwall/internal/dovecottest"
)

// The space that a mixed corpus takes, in Gadwall and in Dovecot's most compact formats. Run it
// with
//
//	go test -run '^$' -bench Space -benchtime 1x -timeout 60m ./internal/acceptance
//
// with "Space/mixed" or "Space/packed" for one of the corpora. The server runs while it is
// measured, and has settled. The floor is that of package bench.
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
			size, err := bench.Settled(b.Context(), s.dir, bench.SettleTime)
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

// Mail that comes once and does not compress takes hardly more than its own bytes, with indexes and
// all else.
func TestIncompressibleMail(t *testing.T) {
	const mails, size = 40, 1 << 20
	s := startServer(t)
	c, err := dialLMTP(s.lmtp)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	rng := rand.NewChaCha8([32]byte{7})
	var received int64
	for n := range mails {
		raw := noise(t, rng, n, size)
		if err := c.send("a@example.com", []string{testUser}, bytes.NewReader(raw)); err != nil {
			t.Fatal(err)
		}
		received += int64(len(raw))
	}
	used, err := bench.Settled(t.Context(), s.dir, bench.SettleTime)
	if err != nil {
		t.Fatal(err)
	}
	if ratio := float64(used) / float64(received); ratio > 1.02 {
		t.Errorf("%d bytes of mail take %d, %.3f times as much", received, used, ratio)
	} else {
		t.Logf("%.3f of the bytes received", ratio)
	}
}

// noise is a mail of at least so many random bytes, in lines, as they are.
func noise(t *testing.T, rng *rand.ChaCha8, n, size int) []byte {
	t.Helper()
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: <a@example.com>\r\nSubject: noise %d\r\n"+
		"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: 8bit\r\n\r\n", n)
	line := make([]byte, 900)
	for b.Len() < size {
		if _, err := rng.Read(line); err != nil {
			t.Fatal(err)
		}
		for i, c := range line {
			if c == 0 || c == '\r' || c == '\n' {
				line[i] = '.'
			}
		}
		b.Write(line)
		b.WriteString("\r\n")
	}
	return b.Bytes()
}
