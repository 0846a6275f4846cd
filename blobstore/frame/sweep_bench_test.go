package frame_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"

	"gadwall/bench"
	"gadwall/mimestream"
)

// BenchmarkSweep compresses the blobs of the mixed corpus, each once, with every level and in
// frames of several sizes:
//
//	go test -run '^$' -bench Sweep -benchtime 1x ./blobstore/frame
//
// It reports what they take, and of that what those blobs take which compress, as shares of their
// own bytes.
func BenchmarkSweep(b *testing.B) {
	blobs := corpusBlobs(b, 1000, 4<<10)
	for _, size := range []int{64 << 10, 255 << 10 / 2, 255 << 10} {
		for _, level := range []zstd.EncoderLevel{zstd.SpeedFastest, zstd.SpeedDefault,
			zstd.SpeedBetterCompression, zstd.SpeedBestCompression} {
			b.Run(fmt.Sprintf("frame=%dK/%v", size>>10, level), func(b *testing.B) {
				enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1),
					zstd.WithWindowSize(256<<10), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
				if err != nil {
					b.Fatal(err)
				}
				defer enc.Close()
				for b.Loop() {
					sweep(b, enc, blobs, size)
				}
			})
		}
	}
}

func sweep(b *testing.B, enc *zstd.Encoder, blobs [][]byte, size int) {
	var all, stored, soft, softStored int
	var dst []byte
	for _, blob := range blobs {
		n := 0
		for rest := blob; len(rest) > 0; {
			frame := rest[:min(size, len(rest))]
			rest = rest[len(frame):]
			dst = enc.EncodeAll(frame, dst[:0])
			n += len(dst)
		}
		all += len(blob)
		stored += min(n, len(blob))
		if n < len(blob)*9/10 {
			soft += len(blob)
			softStored += n
		}
	}
	b.SetBytes(int64(all))
	b.ReportMetric(float64(stored)/float64(all), "stored")
	b.ReportMetric(float64(softStored)/float64(soft), "stored-of-soft")
	b.ReportMetric(float64(soft)/float64(all), "soft")
}

// corpusBlobs returns the decoded bodies of at least so many bytes that are no text to read, each
// once.
func corpusBlobs(b *testing.B, mails, least int) [][]byte {
	c := &collector{least: least, seen: map[[32]byte]bool{}}
	corpus := bench.NewCorpus(bench.CorpusOptions{Seed: bench.MeasureSeed})
	for n := range mails {
		p := mimestream.NewParser(c)
		if _, err := p.Write(corpus.Message(n).Raw); err != nil {
			b.Fatal(err)
		}
		if _, err := p.Close(); err != nil {
			b.Fatal(err)
		}
	}
	return c.blobs
}

// collector is a mimestream.Handler.
type collector struct {
	least int
	body  bytes.Buffer
	seen  map[[32]byte]bool
	blobs [][]byte
}

func (c *collector) PartBegin(*mimestream.Part) error { return nil }
func (c *collector) Structure([]byte) error           { return nil }
func (c *collector) BodyBegin(*mimestream.Part) error { c.body.Reset(); return nil }
func (c *collector) PartEnd(*mimestream.Part) error   { return nil }
func (c *collector) Body(_ *mimestream.Part, p []byte) error {
	c.body.Write(p)
	return nil
}

func (c *collector) BodyEnd(p *mimestream.Part) error {
	if p.Type == "text" && p.Disposition != "attachment" {
		return nil
	}
	decoded, err := io.ReadAll(mimestream.NewDecoder(p.Encoding, &c.body))
	if err != nil || len(decoded) < c.least {
		return err
	}
	if sum := sha256.Sum256(decoded); !c.seen[sum] {
		c.seen[sum] = true
		c.blobs = append(c.blobs, decoded)
	}
	return nil
}
