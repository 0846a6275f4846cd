package report

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gadwall/bench/load"
	"gadwall/bench/result"
)

var update = flag.Bool("update", false, "write the golden files anew")

// sampleOf is a repeat with latencies that are the same each time: most near the median, few rare.
func sampleOf(calls int64, median time.Duration, workers int) *load.Sample {
	s := &load.Sample{Calls: calls, Octets: 2500 * calls, Latency: load.NewHistogram(), Service: load.NewHistogram()}
	var total time.Duration
	for i := range calls {
		rank := float64(i) / float64(calls)
		each := time.Duration(float64(median) * (0.6 + 0.4/(1.5-rank) + 0.01/(1.0005-rank)))
		_ = s.Latency.RecordValue(int64(each))
		total += each
	}
	s.Elapsed = total / time.Duration(workers)
	return s
}

// made describes generated lines.
type made struct {
	server, workload, step string
	params                 map[string]float64
	median                 time.Duration
	workers                int
	values                 map[string]float64
	database               map[string]result.Commands
	rate                   float64
}

// lines makes three repeats that differ by 2 % from one to the next.
func (m made) lines(t testing.TB) []*result.Line {
	t.Helper()
	var list []*result.Line
	for repeat := range 3 {
		l := &result.Line{
			Run: "run-1", Time: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC),
			Machine: result.Machine{CPU: "Test CPU", Cores: 2, Memory: 8e9, System: "linux"},
			Server:  result.Server{Name: m.server, Version: "1.0"}, Workload: m.workload, Step: m.step,
			Params: m.params, Repeat: repeat, Values: m.values, Database: m.database,
		}
		median := m.median + m.median*time.Duration(repeat)/50
		if err := l.SetSample(sampleOf(2000, median, max(m.workers, 1)), m.rate); err != nil {
			t.Fatal(err)
		}
		list = append(list, l)
	}
	return list
}

// example is a file of two servers: one of them is faster at one thing and slower at another.
func example(t testing.TB) []*result.Line {
	var list []*result.Line
	for i, server := range []string{"dovecot", "gadwall"} {
		slow := time.Duration(1 + i)
		for _, n := range []int{1, 4, 16} {
			list = append(list, made{
				server: server, workload: "ingest", workers: n, median: slow * time.Duration(1+n/4) * time.Millisecond,
				params: map[string]float64{"connections": float64(n), "users": 8},
				values: map[string]float64{"rss-bytes": float64(50e6 * (n + 4) / (i + 1)), "disk-share": 0.344},
			}.lines(t)...)
		}
		for _, n := range []time.Duration{1, 10, 100} {
			list = append(list, made{
				server: server, workload: "fetch", step: "envelope", workers: 1,
				median:   (3 - 2*time.Duration(i)) * (50 + n*20) * time.Microsecond,
				params:   map[string]float64{"connections": 1, "messages": 1000 * float64(n)},
				database: map[string]result.Commands{"find": {Count: 1, Documents: float64(n), Keys: 3, Octets: 1500}},
			}.lines(t)...)
		}
		list = append(list, made{server: server, workload: "login", rate: 50, workers: 4,
			params: map[string]float64{"connections": 4}, median: 6 * time.Millisecond}.lines(t)...)
	}
	return list
}

func newReport(t testing.TB, files ...File) *Report {
	t.Helper()
	r, err := New(files)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-update writes it anew):\n%s", path, diff)
	}
}

func TestGoldenMarkdown(t *testing.T) {
	var b bytes.Buffer
	if err := newReport(t, File{"example", example(t)}).WriteMarkdown(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "example.md", b.String())
}

func TestGoldenCharts(t *testing.T) {
	var b strings.Builder
	for _, s := range newReport(t, File{"example", example(t)}).Sections {
		for _, c := range s.Charts {
			b.WriteString(c.svg() + "\n")
		}
	}
	golden(t, "example.svg", b.String())
}

// TestPageOfLoad takes lines as workloads make them, and sees the page of them.
func TestPageOfLoad(t *testing.T) {
	op := func(_ context.Context, _ int, call int64) (int64, error) {
		if call == 7 {
			return 0, errors.New("server said BAD")
		}
		return 10, nil
	}
	samples, err := load.Run(t.Context(), load.Options{Workers: 2, Calls: 50, Repeats: 2, MaxErrors: 5}, op)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	w := result.NewWriter(&file)
	for i, s := range samples {
		l := &result.Line{Server: result.Server{Name: "gadwall"}, Workload: "noop", Repeat: i}
		if err := errors.Join(l.SetSample(s, 0), w.Write(l)); err != nil {
			t.Fatal(err)
		}
	}
	lines, err := result.Read(&file)
	if err != nil {
		t.Fatal(err)
	}
	page := pageOf(t, newReport(t, File{"a", lines}))
	for _, want := range []string{"noop: latency by percentile", "server said BAD", `<span class="errors">1</span>`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

func pageOf(t *testing.T, r *Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// outside matches what makes a browser ask for something, or run it.
var outside = regexp.MustCompile(
	`(?i)<(script|link|img|iframe|object|embed|base|form)\b|\ssrc=|@import|url\(|\son[a-z]+=|href="[^#]`)

// wellFormed fails unless the page is XML whose elements carry no reference to outside.
func wellFormed(t *testing.T, page string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(page))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		e, isStart := token.(xml.StartElement)
		if !isStart {
			continue
		}
		switch e.Name.Local {
		case "script", "link", "img", "iframe", "object", "embed", "base", "form", "image", "use":
			t.Errorf("element %s", e.Name.Local)
		}
		for _, a := range e.Attr {
			if a.Name.Local == "xmlns" {
				continue
			}
			if strings.HasPrefix(a.Name.Local, "on") || a.Name.Local == "src" ||
				a.Name.Local == "href" && !strings.HasPrefix(a.Value, "#") {
				t.Errorf("attribute %s=%q", a.Name.Local, a.Value)
			}
		}
	}
}

func TestPageStandsAlone(t *testing.T) {
	page := pageOf(t, newReport(t, File{"example", example(t)}))
	wellFormed(t, page)
	if found := outside.FindAllString(page, -1); found != nil {
		t.Errorf("refers to outside: %q", found)
	}
	for _, want := range []string{"prefers-color-scheme: dark", "<svg", "▲ faster", "▼ slower", "width=device-width"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	wellFormed(t, pageOf(t, newReport(t)))
}

func TestHostileNames(t *testing.T) {
	evil := "</title></text><script>alert(1)</script>\"' onload=x |&\x00\x1b\u202e\xff` [a](http://e.example)\n# h"
	var list []*result.Line
	for _, n := range []float64{1, 2} {
		list = append(list, made{
			server: evil, workload: evil, step: evil, params: map[string]float64{evil: n}, median: time.Millisecond,
			values: map[string]float64{evil: n}, database: map[string]result.Commands{evil: {Count: 1}},
		}.lines(t)...)
	}
	for _, l := range list {
		l.Example, l.Run, l.Machine.CPU, l.Server.Version, l.Server.Variant = evil, evil, evil, evil, evil
		l.Errors = 1
	}
	r := newReport(t, File{evil, list}, File{evil, list})
	page := pageOf(t, r)
	wellFormed(t, page)
	if strings.Contains(page, "<script") || strings.ContainsAny(page, "\x00\x1b\u202e") {
		t.Error("a name got into the page as it is")
	}
	var b bytes.Buffer
	if err := r.WriteMarkdown(&b); err != nil {
		t.Fatal(err)
	}
	unescaped := regexp.MustCompile("[^\\\\](<script|`|\\]\\()|\n# h|http:/")
	if found := unescaped.FindString(b.String()); found != "" || strings.ContainsAny(b.String(), "\x00\x1b\u202e") {
		t.Errorf("a name got into the Markdown as it is: %q", found)
	}
	// A name with a bar makes no further cell.
	bars := regexp.MustCompile(`[^\\]\|`)
	want := 0
	for row := range strings.Lines(b.String()) {
		switch n := len(bars.FindAllString(row, -1)); {
		case !strings.HasPrefix(row, "|"):
			want = 0
		case want == 0:
			want = n
		case n != want:
			t.Errorf("%d cells in a table of %d: %s", n, want, row)
		}
	}
}

func TestVerdicts(t *testing.T) {
	one := func(server string, median time.Duration) []*result.Line {
		return made{server: server, workload: "w", median: median}.lines(t)
	}
	base := one("a", 10*time.Millisecond)
	failing := one("b", time.Millisecond)
	failing[1].Errors = 1
	for name, c := range map[string]struct {
		lines []*result.Line
		want  string
	}{
		"faster":     {one("b", 5*time.Millisecond), "faster"},
		"slower":     {one("b", 20*time.Millisecond), "slower"},
		"noise":      {one("b", 10200*time.Microsecond), "within the noise"},
		"no repeats": {one("b", time.Millisecond)[:1], "no repeats: noise unknown"},
		"errors":     {failing, "has errors: no verdict"},
	} {
		r := newReport(t, File{"f", append(one("a", 10*time.Millisecond), c.lines...)})
		if len(r.Compared) != 1 || r.Compared[0].Verdict != c.want {
			t.Errorf("%s: %+v, want %q", name, r.Compared, c.want)
		}
	}
	// A rate that is given says nothing of speed: the latency does.
	open := func(server string, median time.Duration) []*result.Line {
		list := made{server: server, workload: "w", median: median, rate: 10}.lines(t)
		for _, l := range list {
			l.Seconds = 200
		}
		return list
	}
	r := newReport(t, File{"f", append(open("a", 4*time.Millisecond), open("b", time.Millisecond)...)})
	if c := r.Compared[0]; c.Figure != "p50 ms" || c.Verdict != "faster" || c.Ratio != "4.00" {
		t.Errorf("open loop: %+v", c)
	}
	// The same server in two files is two subjects; so are two versions of it in one file.
	r = newReport(t, File{"old", base}, File{"new", one("a", 5*time.Millisecond)})
	if len(r.Compared) != 1 || r.Compared[0].Old != "a (old)" || r.Compared[0].New != "a (new)" {
		t.Errorf("two files: %+v", r.Compared)
	}
	later := one("a", 5*time.Millisecond)
	for _, l := range later {
		l.Server.Version = "2.0"
	}
	r = newReport(t, File{"f", append(base, later...)})
	if len(r.Compared) != 1 || r.Compared[0].Old != "a 1.0" || r.Compared[0].New != "a 2.0" {
		t.Errorf("two versions: %+v", r.Compared)
	}
}

func TestManySeriesArePartedAndCounted(t *testing.T) {
	var list []*result.Line
	const cases = maxSeries*maxCharts + 3
	for n := range cases {
		list = append(list, made{server: "a", workload: "w", median: time.Millisecond,
			params: map[string]float64{"n": float64(n)}}.lines(t)[:1]...)
	}
	s := newReport(t, File{"f", list}).Sections[0]
	var percentiles int
	for _, c := range s.Charts {
		if c.Plain {
			percentiles++
		}
	}
	if percentiles != maxCharts || len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "3 more lines") {
		t.Errorf("%d charts, notes %q", percentiles, s.Notes)
	}
	if len(s.Rows) != cases {
		t.Errorf("%d rows", len(s.Rows))
	}
}

func TestBrokenHistogram(t *testing.T) {
	l := made{server: "a", workload: "w", median: time.Millisecond}.lines(t)[0]
	l.Latency.Histogram = l.Latency.Histogram[:20]
	if _, err := New([]File{{"f", []*result.Line{l}}}); err == nil || !strings.Contains(err.Error(), "w: repeat 0") {
		t.Errorf("error %v", err)
	}
}

func TestExtremeFigures(t *testing.T) {
	var list []*result.Line
	for n, v := range []float64{-1, 0, 1e-320, 1, 1e308} {
		list = append(list, &result.Line{Server: result.Server{Name: "a"}, Workload: "w", Calls: 1, Seconds: 1e-300,
			Params: map[string]float64{"x": v, "connections": v}, Repeat: n, Octets: 1 << 62,
			Latency: &result.Latency{P50: v, P99: v}, Values: map[string]float64{"v": v, "rss-bytes": v}})
	}
	page := pageOf(t, newReport(t, File{"f", list}, File{"g", list}))
	wellFormed(t, page)
	if found := regexp.MustCompile(`NaN|Inf`).FindString(page); found != "" {
		t.Errorf("the page has %s", found)
	}
}

func TestGrowthIsThePower(t *testing.T) {
	var list []*result.Line
	for _, n := range []float64{10, 100, 1000} {
		list = append(list, &result.Line{Server: result.Server{Name: "a"}, Workload: "w", Calls: 1, Seconds: 1,
			Params: map[string]float64{"messages": n}, Latency: &result.Latency{P50: n * n, P99: 5},
			Database: map[string]result.Commands{result.AllCommands: {Count: 3, Documents: n, Octets: 1000}}})
	}
	want := []growthRow{
		{Param: "messages", Subject: "a", Figure: "p50 ms", From: "100 at 10", To: "1,000,000 at 1,000",
			Factor: "×10,000 for ×100", Power: "2.00"},
		{Param: "messages", Subject: "a", Figure: "p99 ms", From: "5 at 10", To: "5 at 1,000",
			Factor: "×1 for ×100", Power: "0.00"},
		{Param: "messages", Subject: "a", Figure: "database commands", From: "3 at 10", To: "3 at 1,000",
			Factor: "×1 for ×100", Power: "0.00"},
		{Param: "messages", Subject: "a", Figure: "documents examined", From: "10 at 10", To: "1,000 at 1,000",
			Factor: "×100 for ×100", Power: "1.00"},
		{Param: "messages", Subject: "a", Figure: "database bytes", From: "1 kB at 10", To: "1 kB at 1,000",
			Factor: "×1 for ×100", Power: "0.00"},
	}
	if diff := cmp.Diff(want, newReport(t, File{"f", list}).Sections[0].Growth); diff != "" {
		t.Error(diff)
	}
}

func TestNumbers(t *testing.T) {
	for x, want := range map[float64]string{
		0: "0", 5: "5", 0.344: "0.344", 12.3456: "12.3", 999.6: "1000", 1234567: "1,234,567", -1500: "-1,500",
		0.00123456: "0.00123", 1e20: "1e+20",
	} {
		if got := number(x); got != want && strings.ReplaceAll(got, ",", "") != want {
			t.Errorf("%g: %q, want %q", x, got, want)
		}
	}
	if got := octets(53.7e6); got != "53.7 MB" {
		t.Error(got)
	}
}
