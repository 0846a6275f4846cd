package index_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"gadwall/bench"
	"gadwall/internal/mailstore"
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
			b.ReportMetric(float64((cpu(b) - before).Microseconds())/float64(b.N*mails), "µs-index/mail")
			b.ReportMetric(float64(delivered.Microseconds())/float64(mails), "µs-delivery+index/mail")
		})
	}
}
