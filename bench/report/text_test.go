package report

import (
	"bytes"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A text has a line for each figure, speeds first, and what is slower is named.
func TestWriteComparison(t *testing.T) {
	of := func(login, fetch time.Duration) (f File) {
		for _, m := range []made{
			{server: "gadwall", workload: "login", median: login, workers: 2,
				values: map[string]float64{"rss-bytes": 2e6}},
			{server: "gadwall", workload: "fetch", step: "flags", median: fetch, workers: 2,
				params: map[string]float64{"users": 1}},
			{server: "gadwall", workload: "fetch", step: "flags", median: fetch, workers: 2,
				params: map[string]float64{"users": 2}},
		} {
			f.Lines = append(f.Lines, m.lines(t)...)
		}
		return f
	}
	before, after := of(time.Millisecond, time.Millisecond), of(500*time.Microsecond, 3*time.Millisecond)
	before.Name, after.Name = "before", "after"
	r, err := New([]File{before, after})
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := r.WriteComparison(&text); err != nil {
		t.Fatal(err)
	}
	order := regexp.MustCompile(`(?s)^ *what +figure +gadwall \(before\) +gadwall \(after\).*\n` +
		` +login +calls/s [^\n]*2\.00 [^\n]*▲ faster *\n` +
		` +fetch flags users=1 [^\n]*0\.33 [^\n]*▼ slower *\n` +
		` +fetch flags users=2 [^\n]*▼ slower *\n\n` +
		` *what.*\n +login +rss-bytes +2 MB +2 MB +1\.00 .*within the noise *\n$`)
	if !order.MatchString(text.String()) {
		t.Errorf("text:\n%s", text.String())
	}
	slower := regexp.MustCompile(`^fetch flags users=[12]: 0\.33 of gadwall \(before\), noise [0-9.]+ %$`)
	if got := r.Slower(); len(got) != 2 || !slower.MatchString(got[0]) || !slower.MatchString(got[1]) {
		t.Errorf("%q", got)
	}
	if r, err = New([]File{before}); err != nil {
		t.Fatal(err)
	}
	text.Reset()
	if err := r.WriteComparison(&text); err != nil || text.Len() > 0 {
		t.Errorf("of one server: %v, %q", err, text.String())
	}
	if diff := cmp.Diff([]string(nil), r.Slower()); diff != "" {
		t.Error(diff)
	}
}
