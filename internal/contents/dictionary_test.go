package contents

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"gadwall/dedupe"
	"gadwall/internal/dbtest"
	"gadwall/internal/dictionary"
	"gadwall/internal/mailgen"
)

// dictionariesOf returns the dictionaries that the frames of a content need.
func dictionariesOf(t testing.TB, s *Store, id ID) []dictionary.ID {
	t.Helper()
	var ids []dictionary.ID
	for _, f := range load(t, s, id, Want{}).table.frames {
		ids = append(ids, f.dict)
	}
	return ids
}

// putWith stores a message with certain dictionaries.
func putWith(t testing.TB, s *Store, dicts dictionary.Current, message []byte) *Stored {
	t.Helper()
	w := s.NewWriter(t.Context())
	w.spool.dicts = dicts
	if _, err := w.Write(message); err != nil {
		t.Fatal(err)
	}
	stored, err := w.Finish(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

func checkContent(t testing.TB, s *Store, id ID, want []byte) {
	t.Helper()
	if got := read(t, load(t, s, id, Want{}), 0, int64(len(want))); !bytes.Equal(got, want) {
		t.Errorf("content %v differs", id)
	}
}

// Every frame is compressed with the dictionary for what it holds.
func TestFramesNameTheirDictionaries(t *testing.T) {
	s := newStore(t, dbtest.Database(t))
	shipped := dictionary.Shipped()
	headers, plain, html := shipped[dictionary.Headers].ID(), shipped[dictionary.Text].ID(),
		shipped[dictionary.HTML].ID()
	const fields = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=\"utf-8\"\r\n" +
		"Content-Transfer-Encoding: 8bit\r\n"
	for _, c := range []struct {
		name, mail string
		want       []dictionary.ID
	}{
		{"header alone", fields + "\r\n", []dictionary.ID{headers}},
		{"short text", "Subject: x\r\nFrom: somebody@example.com\r\n\r\n" +
			"short enough to go with the header\r\n", []dictionary.ID{plain}},
		{"text", "Subject: x\r\nFrom: somebody@example.com\r\n\r\n" + text(2000), []dictionary.ID{headers, plain}},
		{"html", "Subject: x\r\nContent-Type: text/html\r\n\r\n<html>" + text(2000), []dictionary.ID{headers, html}},
		{"both", multipart(textHeader+text(2000), base64Text+encode([]byte("<p>"+text(1000)), 76,
			"\r\n")), []dictionary.ID{headers, html}},
		{"random", fields + "\r\n" + string(random(1, 3000)), []dictionary.ID{headers, 0}},
		{"long", multipart(textHeader+text(60_000), base64Text+encode([]byte(text(60_000)), 76,
			"\r\n")), []dictionary.ID{headers, html, html}},
	} {
		stored := mustPut(t, s, []byte(c.mail))
		if got := dictionariesOf(t, s, stored.ID); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: dictionaries %d, want %d", c.name, got, c.want)
		}
		checkContent(t, s, stored.ID, []byte(c.mail))
	}
}

// Contents stay readable whatever was current when they were written, by every instance.
func TestContentsOutliveTheirDictionaries(t *testing.T) {
	db := dbtest.Database(t)
	s, other := newStore(t, db), newStore(t, db)
	corpus := mailgen.NewCorpus(3, mailgen.CorpusOptions{FilePercent: 1})
	old := corpus.Message(1)
	none := putWith(t, s, dictionary.Current{}, old)
	if ids := dictionariesOf(t, s, none.ID); ids[0] != 0 {
		t.Fatalf("dictionaries %d", ids)
	}
	shipped := mustPut(t, s, corpus.Message(2))

	for n := range 400 {
		mustPut(t, s, corpus.Message(1000+n))
	}
	samples, err := s.Sample(t.Context(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for kind, list := range samples {
		if len(list) < 50 {
			t.Errorf("%d samples of %v", len(list), dictionary.Kind(kind))
		}
	}
	d, err := dictionary.Train(dictionary.Headers, dictionary.NewID(), samples[dictionary.Headers])
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Dictionaries().Add(t.Context(), d, samples[dictionary.Headers]); err != nil {
		t.Fatal(err)
	}
	fresh := mustPut(t, s, corpus.Message(3))
	if ids := dictionariesOf(t, s, fresh.ID); ids[0] != d.ID() {
		t.Errorf("dictionaries %d, trained %d", ids, d.ID())
	}
	for _, reader := range []*Store{s, other, newStore(t, db)} {
		checkContent(t, reader, none.ID, old)
		checkContent(t, reader, shipped.ID, corpus.Message(2))
		checkContent(t, reader, fresh.ID, corpus.Message(3))
	}

	// Without its dictionary a content is damaged, and says so.
	if err := db.Collection(dictionary.Collection).Drop(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := load(t, newStore(t, db), fresh.ID, Want{})
	if err := c.WriteRange(t.Context(), new(bytes.Buffer), 0, 10); !errors.Is(err, ErrCorrupt) ||
		!errors.Is(err, dictionary.ErrUnknown) {
		t.Errorf("without the dictionary: %v", err)
	}
}

// What the sorts of bytes take adds up to what is stored.
func TestUsage(t *testing.T) {
	db := dbtest.Database(t)
	s := newStore(t, db)
	pdf := random(5, 300_000)
	var logical int64
	for i := range 4 {
		mail := multipart(textHeader+text(3000+i), base64Text+encode([]byte(text(2000)), 76,
			"\r\n"), base64Header+encode(pdf, 76, "\r\n"))
		logical += mustPut(t, s, []byte(mail)).Size
		if i == 0 {
			mustPut(t, s, []byte(mail))
			logical += int64(len(mail))
		}
	}
	sums := make(map[string]Usage)
	var total Usage
	if err := s.Usage(t.Context(), func(u Usage) error {
		sum := sums[u.Type]
		sums[u.Type] = Usage{u.Type, sum.Logical + u.Logical, sum.Decoded + u.Decoded, sum.Unique + u.Unique,
			sum.Stored + u.Stored}
		total.Logical += u.Logical
		total.Stored += u.Stored
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if total.Logical != logical {
		t.Errorf("%d logical bytes, want %d", total.Logical, logical)
	}
	if len(sums) != 4 || sums["application/pdf"].Logical < 5*400_000 {
		t.Errorf("sorts: %+v", sums)
	}
	// Five mails have the attachment, of which one is kept; two mails share a content.
	if got := sums["application/pdf"]; got.Decoded != 5*300_000 || int64(got.Unique+0.5) != 300_000 {
		t.Errorf("the attachment has %d bytes decoded, %.0f once", got.Decoded, got.Unique)
	}
	if got := sums["text/plain"]; got.Unique < got.Stored || got.Decoded <= int64(got.Unique) {
		t.Errorf("texts have %d bytes decoded, %.0f once, %.0f stored", got.Decoded, got.Unique, got.Stored)
	}
	if got := int64(sums["application/pdf"].Stored + 0.5); got != 300_000 {
		t.Errorf("the attachment takes %d bytes", got)
	}
	var stored float64
	for _, doc := range all[rawContent](t, s.coll) {
		for _, f := range doc.F {
			stored += float64(len(f.Data))
		}
	}
	if diff := total.Stored - stored - 300_000; diff > 1 || diff < -1 {
		t.Errorf("the sorts take %.0f bytes, the frames %.0f", total.Stored-300_000, stored)
	}
}

// A sample has every content of a small store, wherever it begins.
func TestSampleGoesAround(t *testing.T) {
	s := newStore(t, dbtest.Database(t))
	corpus := mailgen.NewCorpus(3, mailgen.CorpusOptions{FilePercent: 1})
	const contents = 5
	for n := range contents {
		mustPut(t, s, corpus.Message(n))
	}
	for first := range 256 {
		from := make([]byte, dedupe.HashSize)
		from[0] = byte(first)
		samples, err := s.sampleFrom(t.Context(), from, 1<<20)
		if err != nil || len(samples[dictionary.Headers]) != contents {
			t.Fatalf("from %d: %d headers, %v", first, len(samples[dictionary.Headers]), err)
		}
	}
	some, err := s.sampleFrom(t.Context(), make([]byte, dedupe.HashSize), 1)
	if err != nil || len(some[dictionary.Headers]) != 1 {
		t.Errorf("%d headers, %v; one is enough", len(some[dictionary.Headers]), err)
	}
}
