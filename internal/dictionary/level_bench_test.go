package dictionary_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"

	"gadwall/bench"
	"gadwall/blobstore/frame"
	"gadwall/internal/dictionary"
	"gadwall/mimestream"
)

// BenchmarkLevels compresses the texts with HTML of the corpus with the shipped dictionary, by
// level and size of the frame:
//
//	go test -run '^$' -bench Levels -benchtime 1x ./internal/dictionary
func BenchmarkLevels(b *testing.B) {
	t := &texts{}
	corpus := bench.NewCorpus(bench.CorpusOptions{Seed: bench.MeasureSeed, NoFiles: true})
	for n := range 1000 {
		t.Reset()
		t.html = false
		p := mimestream.NewParser(t)
		_, err := p.Write(corpus.Message(n).Raw)
		if err == nil {
			_, err = p.Close()
		}
		if err != nil {
			b.Fatal(err)
		}
		if t.html {
			t.frames = append(t.frames, bytes.Clone(t.Bytes()[:min(t.Len(), 64<<10)]))
		}
	}
	shipped := dictionary.Shipped()[dictionary.HTML].Bytes()
	for _, size := range []struct{ from, to int }{{0, 8 << 10}, {8 << 10, 16 << 10},
		{16 << 10, 32 << 10}, {32 << 10, 64<<10 + 1}} {
		for _, level := range []zstd.EncoderLevel{zstd.SpeedFastest, zstd.SpeedDefault, zstd.SpeedBetterCompression} {
			for name, data := range map[string][]byte{"dictionary": shipped, "none": nil} {
				b.Run(fmt.Sprintf("from=%dK/%v/%s", size.from>>10, level, name), func(b *testing.B) {
					options := []zstd.EOption{zstd.WithEncoderLevel(level),
						zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(frame.MaxSize),
						zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false)}
					if data != nil {
						options = append(options, zstd.WithEncoderDict(data))
					}
					enc, err := zstd.NewWriter(nil, options...)
					if err != nil {
						b.Fatal(err)
					}
					defer enc.Close()
					var buf []byte
					for b.Loop() {
						var all, stored int64
						for _, f := range t.frames {
							if len(f) < size.from || len(f) >= size.to {
								continue
							}
							buf = enc.EncodeAll(f, buf[:0])
							all += int64(len(f))
							stored += int64(len(buf))
						}
						b.SetBytes(all)
						b.ReportMetric(float64(stored)/float64(all), "stored")
					}
				})
			}
		}
	}
}

// texts is the mimestream.Handler that collects the text of a mail.
type texts struct {
	bytes.Buffer
	html   bool
	body   bytes.Buffer
	frames [][]byte
}

func (t *texts) PartBegin(*mimestream.Part) error { return nil }
func (t *texts) Structure([]byte) error           { return nil }
func (t *texts) BodyBegin(*mimestream.Part) error { t.body.Reset(); return nil }
func (t *texts) PartEnd(*mimestream.Part) error   { return nil }
func (t *texts) Body(_ *mimestream.Part, p []byte) error {
	t.body.Write(p)
	return nil
}

func (t *texts) BodyEnd(p *mimestream.Part) error {
	if p.Type != "text" {
		return nil
	}
	t.html = t.html || p.Subtype == "html"
	_, err := io.Copy(&t.Buffer, mimestream.NewDecoder(p.Encoding, &t.body))
	return err
}
