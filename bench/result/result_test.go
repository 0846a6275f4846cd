package result

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gadwall/bench/load"
)

func sample(calls int64, each time.Duration) *load.Sample {
	s := &load.Sample{Calls: calls, Octets: 10 * calls, Elapsed: time.Second,
		Latency: load.NewHistogram(), Service: load.NewHistogram()}
	for i := range calls {
		_ = s.Latency.RecordValue(int64(each) * (i + 1))
	}
	return s
}

func TestRoundTrip(t *testing.T) {
	line := &Line{Run: "r", Time: time.Unix(1000, 0).UTC(), Server: Server{Name: "gadwall", Variant: "embedded"},
		Workload: "fetch", Step: "envelope", Params: map[string]float64{"users": 8, "messages": 1000}, Repeat: 2,
		Database: map[string]Commands{"find": {Count: 1, Documents: 5}}, Values: map[string]float64{"rss-bytes": 5}}
	if err := line.SetSample(sample(100, time.Millisecond), 50); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := NewWriter(&b)
	for range 2 {
		if err := w.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Read(strings.NewReader(b.String() + "\n"))
	if err != nil || len(got) != 2 {
		t.Fatalf("%d lines, %v", len(got), err)
	}
	if diff := cmp.Diff(line, got[1]); diff != "" {
		t.Error(diff)
	}
	h, err := got[0].Latency.Decode()
	if err != nil || h.TotalCount() != 100 || !h.Equals(sample(100, time.Millisecond).Latency) {
		t.Errorf("histogram of %d, %v", h.TotalCount(), err)
	}
	if k := got[0].Key(); k != "fetch envelope messages=1000 users=8 rate=50" {
		t.Errorf("key %q", k)
	}
	if p := got[0].Latency.P50; p < 49 || p > 51 {
		t.Errorf("p50 %v", p)
	}
}

func TestReadRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"not JSON": "{", "another thing": `{"v":1}`, "no object": `[]`,
	} {
		if _, err := Read(strings.NewReader(text)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := Read(strings.NewReader(`{"v":2,"workload":"x"}`)); !errors.Is(err, ErrVersion) {
		t.Errorf("a later version: %v", err)
	}
}

func lineOf(server string, repeat int, calls int64) *Line {
	l := &Line{Server: Server{Name: server}, Workload: "ingest", Params: map[string]float64{"users": 1}, Repeat: repeat,
		Values: map[string]float64{"disk-bytes": float64(calls)}}
	if err := l.SetSample(sample(calls, time.Microsecond), 0); err != nil {
		panic(err)
	}
	return l
}

func TestSummaryAndComparison(t *testing.T) {
	slow := Summarize([]*Line{lineOf("a", 0, 100), lineOf("a", 1, 110), lineOf("a", 2, 90)})
	if len(slow) != 1 {
		t.Fatalf("%d groups", len(slow))
	}
	if diff := cmp.Diff(Spread{Min: 90, Median: 100, Max: 110, N: 3}, slow[0].CallsPerSecond); diff != "" {
		t.Error(diff)
	}
	if v := slow[0].Values["disk-bytes"]; v.Median != 100 || v.N != 3 {
		t.Errorf("values %+v", v)
	}
	fast := Summarize([]*Line{lineOf("b", 0, 300), lineOf("b", 1, 290)})
	r := Compare(slow, fast)
	if len(r) != 1 || r[0].Speed != 2.95 || !r[0].Faster(0.05) || r[0].Slower(0.05) {
		t.Errorf("%+v", r)
	}
	if r := Compare(fast, slow); !r[0].Slower(0.05) {
		t.Errorf("%+v", r[0])
	}
	same := Summarize([]*Line{lineOf("c", 0, 95), lineOf("c", 1, 105)})
	if r := Compare(slow, same); r[0].Slower(0) || r[0].Faster(0) {
		t.Errorf("within the noise: %+v", r[0])
	}
}
