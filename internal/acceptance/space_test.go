package acceptance

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"gadwall/bench"
	"gadwall/internal/dovecottest"
	"gadwall/mimestream"
)

// The space that a mixed corpus takes, in Gadwall and in Dovecot's most compact formats. Run it with
//
//	go test -run '^$' -bench Space -benchtime 1x -timeout 60m ./internal/acceptance
//
// The floor is what full deduplication of decoded bodies and deflate of everything would take without any document,
// index or log.
const spaceMails = 5000

func BenchmarkSpace(b *testing.B) {
	corpus := bench.NewCorpus(bench.CorpusOptions{Seed: 1})
	b.Run("gadwall", func(b *testing.B) {
		for b.Loop() {
			s := startServer(b)
			received := fill(b, corpus, s.lmtp, testUser)
			// Once more, so that the logs are worked off.
			if code := s.stop(b); code != 0 {
				b.Fatalf("exit status %d", code)
			}
			s.start(b)
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
			f := newFloor(b)
			var received int64
			for n := range spaceMails {
				raw := corpus.Message(n).Raw
				received += int64(len(raw))
				f.add(b, raw)
			}
			reportSpace(b, f.size, received)
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

// A floor adds up what is left of mail after deduplication and deflate: a mimestream.Handler.
type floor struct {
	seen map[[sha256.Size]byte]bool
	z    *flate.Writer
	size int64

	text bytes.Buffer // of the mail: structure and text
	body bytes.Buffer
}

func newFloor(b *testing.B) *floor {
	f := &floor{seen: make(map[[sha256.Size]byte]bool)}
	var err error
	if f.z, err = flate.NewWriter(io.Discard, 6); err != nil {
		b.Fatal(err)
	}
	return f
}

// Write makes a floor the io.Writer that counts what flate.Writer writes.
func (f *floor) Write(p []byte) (int, error) { f.size += int64(len(p)); return len(p), nil }

func (f *floor) deflate(data []byte) error {
	f.z.Reset(f)
	if _, err := f.z.Write(data); err != nil {
		return err
	}
	return f.z.Close()
}

func (f *floor) add(b *testing.B, raw []byte) {
	f.text.Reset()
	p := mimestream.NewParser(f)
	_, err := p.Write(raw)
	if err == nil {
		_, err = p.Close()
	}
	if err == nil {
		err = f.deflate(f.text.Bytes())
	}
	if err != nil {
		b.Fatal(err)
	}
}

func (f *floor) PartBegin(*mimestream.Part) error { return nil }
func (f *floor) Structure(p []byte) error         { f.text.Write(p); return nil }
func (f *floor) PartEnd(*mimestream.Part) error   { return nil }
func (f *floor) BodyBegin(*mimestream.Part) error { f.body.Reset(); return nil }
func (f *floor) Body(_ *mimestream.Part, p []byte) error {
	f.body.Write(p)
	return nil
}

// BodyEnd takes text with the rest of the mail, anything else once.
func (f *floor) BodyEnd(p *mimestream.Part) error {
	decoded, err := io.ReadAll(mimestream.NewDecoder(p.Encoding, &f.body))
	if err != nil {
		return err
	}
	if p.Type == "text" && p.Disposition != "attachment" {
		f.text.Write(decoded)
		return nil
	}
	sum := sha256.Sum256(decoded)
	if f.seen[sum] {
		return nil
	}
	f.seen[sum] = true
	return f.deflate(decoded)
}
