package workload

import (
	"errors"
	"strings"
	"testing"

	"gadwall/bench"
	"gadwall/bench/load"
)

// An answer may have what only some servers find, and nothing else, and it has what all find.
func TestHits(t *testing.T) {
	h := hits{least: []int{2, 5}, most: []int{2, 3, 5, 9}}
	for _, right := range [][]int{{2, 5}, {2, 3, 5}, {2, 5, 9}, {2, 3, 5, 9}} {
		if err := h.check("x", right); err != nil {
			t.Errorf("%v: %v", right, err)
		}
	}
	for _, wrong := range [][]int{nil, {2}, {5}, {2, 4, 5}, {1, 2, 5}, {2, 5, 5}, {2, 5, 10}} {
		if err := h.check("x", wrong); !errors.Is(err, load.ErrWrong) {
			t.Errorf("%v: %v", wrong, err)
		}
		if err := exactly(h.least).check("x", wrong); !errors.Is(err, load.ErrWrong) {
			t.Errorf("%v instead of %v: %v", wrong, h.least, err)
		}
	}
	if err := exactly(h.least).check("x", []int{2, 3, 5}); !errors.Is(err, load.ErrWrong) {
		t.Errorf("more than is there: %v", err)
	}
}

func TestTextOf(t *testing.T) {
	const head = "Subject: =?utf-8?q?Wo=C3=B6rd?=\r\nFrom: sender@example.com\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	part := func(header, body string) string { return "--b\r\n" + header + "\r\n\r\n" + body + "\r\n" }
	html := part("Content-Type: text/html", "<head><title>Hidden</title></head><p class=markup>see<b>ing</b> it &lt;")
	for name, test := range map[string]struct {
		raw           string
		least, unsure string // words
	}{
		"plain":      {head + part("Content-Type: text/plain", "Simple text") + "--b--", "woörd simple", "sender"},
		"html":       {head + html + "--b--", "see ing <", "seeing hidden markup"},
		"attachment": {head + part("Content-Disposition: attachment", "hello") + "--b--", "woörd", "hello"},
		"base64": {head + part("Content-Transfer-Encoding: base64", "aGVsbG8=") +
			part("Content-Transfer-Encoding: base64", "!-\r\nZGFtYWdlZA==") + "--b--", "hello", "damaged"},
		"charset": {head + part("Content-Type: text/plain; charset=koi8-r", "\xd0\xd2") +
			part("Content-Type: text/plain; charset=x-unknown", "other") + "--b--", "пр", "other"},
		"not closed": {head + part("Content-Type: text/plain", "whole"), "woörd", "whole"},
		"attached mail": {head + part("Content-Type: message/rfc822", "Subject: inner\r\n\r\ncontent") + "--b--",
			"woörd", "inner content"},
		"image": {head + part("Content-Type: image/png; name=filename", "pixels") + "--b--", "woörd", "filename"},
	} {
		text := textOf([]byte(test.raw))
		for _, w := range strings.Fields(test.least) {
			if !strings.Contains(text.least, w) {
				t.Errorf("%s: %q is not in %q", name, w, text.least)
			}
		}
		for _, w := range strings.Fields(test.unsure) {
			if strings.Contains(text.least, w) || !strings.Contains(text.most, w) {
				t.Errorf("%s: %q is in %q, or not in %q", name, w, text.least, text.most)
			}
		}
		if strings.Contains(text.most, "pixels") {
			t.Errorf("%s: the text has a picture", name)
		}
	}
}

// The words are always the same, and about as frequent as they should be.
func TestWords(t *testing.T) {
	const mails = 250
	s := &suite{Options: Options{Messages: mails, Dir: t.TempDir(), Progress: func(string, int64, int64) {}},
		mail: generated{bench.NewCorpus(bench.CorpusOptions{Seed: 5, NoFiles: true})}}
	spool, err := s.spool(t.Context(), mails, placeMarkers)
	if err != nil {
		t.Fatal(err)
	}
	defer spool.close()
	f := &folder{s: s, spool: spool, expected: make([]expected, mails)}
	words, err := f.words(t.Context())
	if err != nil || len(words) != len(wordShares) {
		t.Fatalf("%d words, %v", len(words), err)
	}
	for i, w := range words {
		share := 100 * float64(len(w.least)) / mails
		if want := float64(wordShares[i]); share < want/2 || share > want*2 || w.unsure() > len(w.most)/2 {
			t.Errorf("%s: %q is in %.1f %% of the mails for sure, and in %d perhaps",
				wordStep(wordShares[i]), w.text, share, w.unsure())
		}
	}
	again, err := f.words(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range words {
		if again[i].text != w.text {
			t.Errorf("%q, then %q", w.text, again[i].text)
		}
	}
}
