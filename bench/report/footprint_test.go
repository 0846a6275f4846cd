package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gadwall/bench/result"
)

// Of each class the report says what every step saves, as a share of what was received.
func TestFootprint(t *testing.T) {
	line := &result.Line{Server: result.Server{Name: "gadwall"}, Workload: "space", Values: map[string]float64{
		"pdf-logical-bytes": 1000, "pdf-decoded-bytes": 750, "pdf-unique-bytes": 500, "pdf-stored-bytes": 400,
		"text-logical-bytes": 1000, "text-decoded-bytes": 1000, "text-unique-bytes": 900, "text-stored-bytes": 200,
		"disk-bytes": 700,
	}}
	r, err := New([]File{{Name: "x", Lines: []*result.Line{line}}})
	if err != nil {
		t.Fatal(err)
	}
	want := []footprintRow{
		{"", "gadwall", "text", "1 kB", "0.0 %", "10.0 %", "70.0 %", "200 B", "0.200"},
		{"", "gadwall", "pdf", "1 kB", "25.0 %", "25.0 %", "10.0 %", "400 B", "0.400"},
		{"", "gadwall", "all", "2 kB", "12.5 %", "17.5 %", "40.0 %", "600 B", "0.300"},
	}
	if diff := cmp.Diff(want, r.Sections[0].Footprint); diff != "" {
		t.Error(diff)
	}
	// They are not values as well.
	if v := r.Sections[0].Values; len(v) != 1 || v[0].Name != "disk-bytes" {
		t.Errorf("values %+v", v)
	}
	var html, text bytes.Buffer
	if err := r.WriteHTML(&html); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteMarkdown(&text); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(html.String(), `<td class="n">25.0 %</td><td class="n">25.0 %</td><td class="n">10.0 %</td>`) {
		t.Error("the page has no footprint")
	}
	if !strings.Contains(text.String(), "| pdf | 1 kB | 25.0 % | 25.0 % | 10.0 % | 400 B | 0.400 |") {
		t.Errorf("text:\n%s", text.String())
	}
}
