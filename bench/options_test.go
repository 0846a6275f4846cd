package bench_test

import (
	"bytes"
	"strings"
	"testing"

	"gadwall/bench"
	"gadwall/bench/properties"
	"gadwall/mimestream"
)

// about makes mails and sums them up.
func about(t *testing.T, o bench.CorpusOptions, mails int) *properties.Properties {
	t.Helper()
	o.Seed = 11
	if err := o.Check(); err != nil {
		t.Fatal(err)
	}
	corpus, p := bench.NewCorpus(o), new(properties.Properties)
	for n := range mails {
		if err := p.Add(corpus.Message(n).Raw); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// between reports a count that is not a share of all between two shares.
func between(t *testing.T, what string, n, all int64, least, most float64) {
	t.Helper()
	if share := float64(n) / float64(all); !(share >= least && share <= most) {
		t.Errorf("%s: %d of %d, %.3f, not %.3f to %.3f", what, n, all, share, least, most)
	}
}

func TestCorpusFiles(t *testing.T) {
	const mails = 200
	usual := about(t, bench.CorpusOptions{}, mails)
	small := about(t, bench.CorpusOptions{FileBytes: bench.UsualFileBytes / 20}, mails)
	if small.Attachments.Number != usual.Attachments.Number {
		t.Errorf("%d small attachments, %d usual ones", small.Attachments.Number, usual.Attachments.Number)
	}
	// Headers of files do not become smaller.
	between(t, "bytes of small attachments", small.Attachments.Octets, usual.Attachments.Octets, 0.03, 0.3)
	many := about(t, bench.CorpusOptions{FilesPercent: 81, FileBytes: 1000}, mails)
	between(t, "three times as many attachments", many.Attachments.Number, usual.Attachments.Number, 2, 4)
	if none := about(t, bench.CorpusOptions{NoFiles: true}, mails); none.Attachments.Number > 0 {
		t.Errorf("%d attachments of none", none.Attachments.Number)
	}
	images := about(t, bench.CorpusOptions{FileKinds: map[string]int{"images": 3, "archives": 1}, FileBytes: 3000},
		mails)
	all := images.Attachments.Number
	between(t, "images", images.Kinds[bench.Images], all, 0.5, 0.9)
	// Some attachments have no better type than application/octet-stream.
	between(t, "images and archives", images.Kinds[bench.Images]+images.Kinds[bench.Archives]+images.Kinds[bench.Other],
		all, 1, 1)
	between(t, "archives", images.Kinds[bench.Archives], all, 0.05, 0.4)
}

func TestCorpusTexts(t *testing.T) {
	const mails = 300
	texts := bench.CorpusOptions{NoFiles: true, LegacyPercent: -1, BrokenPercent: -1}
	utf8 := about(t, texts, mails)
	for charset := range utf8.Charsets {
		if charset != "utf-8" && charset != "us-ascii" {
			t.Errorf("texts in %s", charset)
		}
	}
	russian := texts
	russian.Languages, russian.LegacyPercent = map[string]int{"ru": 1}, 50
	p := about(t, russian, mails)
	var all int64
	for _, n := range p.Charsets {
		all += n
	}
	between(t, "texts in KOI8-R", p.Charsets["koi8-r"], all, 0.3, 0.6)
	japanese := texts
	japanese.Languages, japanese.LegacyPercent = map[string]int{"ja": 1}, 100
	if p := about(t, japanese, 50); p.Charsets["iso-2022-jp"] < 20 {
		t.Errorf("texts by charset: %v", p.Charsets)
	}
}

// A text in an older charset says the same as the one in UTF-8.
func TestCorpusOlderCharset(t *testing.T) {
	for _, language := range bench.LanguageCodes() {
		o := bench.CorpusOptions{Seed: 2, NoFiles: true, LegacyPercent: -1, BrokenPercent: -1,
			Languages: map[string]int{language: 1}}
		modern := bench.NewCorpus(o)
		o.LegacyPercent = 100
		older, changed := bench.NewCorpus(o), 0
		for n := range 20 {
			a, b := texts(modern.Message(n).Raw), texts(older.Message(n).Raw)
			if !bytes.Equal(modern.Message(n).Raw, older.Message(n).Raw) {
				changed++
			}
			if len(a) != len(b) {
				t.Fatalf("%s, mail %d: %d and %d texts", language, n, len(a), len(b))
			}
			for i := range a {
				if a[i] != b[i] {
					t.Errorf("%s, mail %d: text %d differs", language, n, i)
				}
			}
		}
		if changed == 0 {
			t.Errorf("%s: no mail has another charset", language)
		}
	}
}

// texts are the texts of a mail, without white space at their ends and without the charset that
// HTML names.
func texts(raw []byte) (list []string) {
	mimestream.Parse(raw).Walk(func(p *mimestream.Part) bool {
		if p.Kind == mimestream.Leaf && p.Type == "text" {
			var decoded bytes.Buffer
			_, _ = decoded.ReadFrom(mimestream.NewDecoder(p.Encoding,
				bytes.NewReader(raw[p.BodyOffset:p.BodyOffset+p.BodySize])))
			text := mimestream.DecodeCharset(p.Charset(), decoded.String())
			if _, after, ok := strings.Cut(text, "charset="); ok {
				_, text, _ = strings.Cut(after, `"`)
			}
			list = append(list, strings.TrimSpace(text))
		}
		return true
	})
	return list
}

func TestCorpusThreads(t *testing.T) {
	const mails = 300
	longest := func(length int) (most int) {
		for n := range about(t, bench.CorpusOptions{NoFiles: true, ThreadLength: length}, mails).Ancestors {
			most = max(most, n)
		}
		return most
	}
	for length, want := range map[int]int{1: 0, 3: 2, 0: 5, 10: 9} {
		if got := longest(length); got != want {
			t.Errorf("threads of %d: a mail refers to %d", length, got)
		}
	}
}

// Every way to break a mail is one that properties sees, and what stays is mail.
func TestCorpusBroken(t *testing.T) {
	const mails = 300
	whole := about(t, bench.CorpusOptions{NoFiles: true, BrokenPercent: -1}, mails)
	if len(whole.Broken) > 0 {
		t.Errorf("none is broken: %v", whole.Broken)
	}
	some := about(t, bench.CorpusOptions{NoFiles: true, BrokenPercent: 100}, mails)
	for _, what := range []string{"Date is none", "no Message-ID", "octets in header", "not closed",
		"unknown charset", "no base64"} {
		between(t, what, some.Broken[what], mails, 0.02, 0.6)
	}
	usual := about(t, bench.CorpusOptions{NoFiles: true}, mails)
	var all int64
	for _, n := range usual.Broken {
		all += n
	}
	between(t, "broken by default", all, mails, 0.001, 0.04)
	corpus := bench.NewCorpus(bench.CorpusOptions{Seed: 11, NoFiles: true, BrokenPercent: 100})
	for n := range mails {
		raw := corpus.Message(n).Raw
		if bytes.Contains(bytes.ReplaceAll(raw, []byte("\r\n"), nil), []byte("\n")) || bytes.IndexByte(raw, 0) >= 0 {
			t.Errorf("mail %d has a bare LF or a NUL", n)
		}
	}
}

func TestCorpusCheck(t *testing.T) {
	for _, o := range []bench.CorpusOptions{{DuplicatePercent: 101}, {FilesPercent: 101}, {LegacyPercent: 101},
		{BrokenPercent: 101}, {FileBytes: -1}, {ThreadLength: 11}, {ThreadLength: -1},
		{FileKinds: map[string]int{"films": 1}}, {FileKinds: map[string]int{"pdf": 0}},
		{Languages: map[string]int{"tlh": 1}}, {Languages: map[string]int{"en": -1, "de": 2}}} {
		if o.Check() == nil {
			t.Errorf("%+v is allowed", o)
		}
	}
}
