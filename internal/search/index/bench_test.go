package index_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/bench"
	"gadwall/internal/account"
	"gadwall/internal/contents"
	"gadwall/internal/mailstore"
	"gadwall/internal/search"
	"gadwall/internal/search/index"
	"gadwall/mimestream"
)

func free(context.Context) error { return nil }

// measure reports how long searches take, warm, with and without the index.
func (s *server) measure(b *testing.B, name string, key *search.Key, plain bool) {
	for label, accounts := range map[string]*account.Accounts{"index": s.Accounts, "scan": s.plain} {
		if label == "scan" && !plain {
			continue
		}
		b.Run(name+"/"+label, func(b *testing.B) {
			if _, err := s.find(b.Context(), accounts, "INBOX", key); err != nil { // to be warm
				b.Fatal(err)
			}
			before := accounts.SearchStats()
			found := 0
			for b.Loop() {
				got, err := s.find(b.Context(), accounts, "INBOX", key)
				if err != nil {
					b.Fatal(err)
				}
				found = len(got)
			}
			after := accounts.SearchStats()
			b.ReportMetric(float64(found), "found")
			b.ReportMetric(float64(after.Candidates-before.Candidates)/float64(b.N), "read")
		})
	}
}

// BenchmarkCorpus measures the index of mails of the corpus of package bench: its size, what making
// it costs, and searches.
//
//	go test ./internal/search/index -run '^$' -bench Corpus -benchtime 3x
func BenchmarkCorpus(b *testing.B) {
	b.Run("mails=5000", func(b *testing.B) { measureCorpus(b, 5000, bench.CorpusOptions{Seed: 1}) })
	b.Run("mails=20000,files=none", func(b *testing.B) {
		measureCorpus(b, 20000, bench.CorpusOptions{Seed: 1, NoFiles: true})
	})
}

func measureCorpus(b *testing.B, mails int, options bench.CorpusOptions) {
	b.Helper()
	s := newServer(b)
	corpus := bench.NewCorpus(options)
	received := int64(0)
	start := cpu(b)
	for i := range mails {
		raw := corpus.Message(i).Raw
		received += int64(len(raw))
		s.deliver(b, "INBOX", raw, 0)
	}
	s.Index.Writer.Wait()
	delivered := cpu(b) - start
	start = cpu(b)
	if n, err := s.Index.Repairer.Rebuild(b.Context(), s.user.ID, nil, free); err != nil || n != mails {
		b.Fatal(n, err)
	}
	rebuilt := cpu(b) - start
	st, err := s.Index.Repairer.Status(b.Context(), s.user.ID)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("size", func(b *testing.B) {
		for b.Loop() {
		}
		b.ReportMetric(float64(received)/float64(mails), "B-received/mail")
		b.ReportMetric(float64(st.Bytes)/float64(mails), "B-index/mail")
		b.ReportMetric(float64(st.Blocks), "blocks")
		b.ReportMetric(float64(st.Rows), "rows")
		b.ReportMetric(float64(delivered.Microseconds())/float64(mails), "µs-delivery+index/mail")
		b.ReportMetric(float64(rebuilt.Microseconds())/float64(mails), "µs-index/mail")
	})
	for _, word := range []string{"absentword", "quarterly", "invoice", "schedul", "meeting", "vat", "er"} {
		s.measure(b, "text="+word, search.Text(word), len(word) > 3)
	}
	s.measure(b, "subject=meeting", search.Header("Subject", "meeting"), true)
	s.measure(b, "words=3", search.All(search.Text("quarterly"), search.Text("budget"), search.Text("meeting")), true)
}

// BenchmarkMillion measures searches in an account of many small mails, which are put into the
// database directly.
//
//	go test ./internal/search/index -run '^$' -bench Million -benchtime 5x -timeout 30m
func BenchmarkMillion(b *testing.B) {
	for _, mails := range []int{5_000, 20_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("mails=%d", mails), func(b *testing.B) {
			s := newServer(b)
			s.fill(b, mails)
			s.measure(b, "rare", search.Text("needleword"), false)
			s.measure(b, "absent", search.Text("absentword"), false)
			s.measure(b, "within", search.Text("eedlewor"), false)
			s.measure(b, "words=4", search.All(search.Text("needleword"), search.Text("word"),
				search.Text("regards"), search.Text("kind")), false)
		})
	}
}

// store stores a content.
func (s *server) store(b *testing.B, raw []byte) contents.ID {
	b.Helper()
	w := s.Contents.NewWriter(b.Context())
	if _, err := w.Write(raw); err != nil {
		b.Fatal(err)
	}
	stored, err := w.Finish(b.Context(), 1)
	if err != nil {
		b.Fatal(err)
	}
	return stored.ID
}

// gramsOf returns the grams of a content.
func (s *server) gramsOf(b *testing.B, id contents.ID) *index.Grams {
	b.Helper()
	loaded, err := s.Contents.Load(b.Context(), []contents.ID{id}, contents.Want{Parts: true, RootHeader: true})
	if err != nil {
		b.Fatal(err)
	}
	g := new(index.Grams)
	if err := new(search.Extractor).Extract(b.Context(), g, nil, loaded[id]); err != nil {
		b.Fatal(err)
	}
	return g
}

// fill puts mails into the INBOX, of 2,000 different contents; ten have a rare word.
func (s *server) fill(b *testing.B, mails int) {
	b.Helper()
	ctx := b.Context()
	const different = 2000
	box, err := s.Mail.MailboxByPath(ctx, s.user.ID, "INBOX")
	if err != nil {
		b.Fatal(err)
	}
	corpus := bench.NewCorpus(bench.CorpusOptions{Seed: 1, NoFiles: true})
	ids := make([]contents.ID, different+10)
	grams := make([]*index.Grams, len(ids))
	for i := range ids {
		root := mimestream.Parse(corpus.Message(i).Raw)
		subject, _ := root.Header.Get("subject")
		text := fmt.Sprintf("From: a%d@example.com\r\nSubject: %s\r\nDate: Mon, 1 Jan 2024 10:00:00 +0000\r\n\r\n"+
			"Dear %d, this is about %s. The word of the day. Kind regards.\r\n", i, subject, i, subject)
		if i >= different {
			text += "A needleword.\r\n"
		}
		ids[i] = s.store(b, []byte(text))
		grams[i] = s.gramsOf(b, ids[i])
	}
	content := func(n int) int {
		if n%(mails/10) == 7 {
			return different + n/(mails/10)
		}
		return n % different
	}
	messages := s.Mail.MessageCollection()
	const blockRows = 4096
	for first := 0; first < mails; first += blockRows {
		var docs []any
		var rows []*index.Grams
		var numbers []uint64
		for n := first; n < min(mails, first+blockRows); n++ {
			key := box.Key.Message(uint32(n + 1))
			c := ids[content(n)]
			docs = append(docs, bson.D{
				{Key: mailstore.DocID, Value: key.Binary()}, {Key: mailstore.DocMailbox, Value: box.Key.Binary()},
				{Key: mailstore.DocModSeq, Value: int64(1)}, {Key: mailstore.DocFlags, Value: int32(mailstore.Seen)},
				{Key: mailstore.DocInternalDate, Value: time.Unix(1.7e9, 0)},
				{Key: mailstore.DocSize, Value: int64(300)},
				{Key: mailstore.DocContent, Value: bson.Binary{Data: c[:]}}, {Key: mailstore.DocMagic, Value: int64(1)},
				{Key: mailstore.DocNumber, Value: int64(n + 1)}})
			rows, numbers = append(rows, grams[content(n)]), append(numbers, uint64(n+1))
		}
		if _, err := messages.InsertMany(ctx, docs); err != nil {
			b.Fatal(err)
		}
		if err := s.Index.WriteBlock(ctx, s.user.ID, numbers, rows); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := s.Database.Collection("mailboxes").UpdateOne(ctx, bson.D{{Key: "_id",
		Value: box.Key.Binary()}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "n", Value: int64(mails + 1)}, {Key: "cm",
			Value: int64(mails)}}}}); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkScan measures a search that reads all mails, in processor time: that of a needle that the
// index cannot tell.
//
//	go test ./internal/search/index -run '^$' -bench Scan -benchtime 5x
func BenchmarkScan(b *testing.B) {
	const mails = 1024
	s := newServer(b)
	corpus := bench.NewCorpus(bench.CorpusOptions{Seed: 1, NoFiles: true})
	for i := range mails {
		s.deliver(b, "INBOX", corpus.Message(i).Raw, 0)
	}
	before := cpu(b)
	for b.Loop() {
		if _, err := s.find(b.Context(), s.plain, "INBOX", search.Text("zqx")); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N*mails), "µs-scan/mail")
}
