package main

import (
	"strings"
	"testing"
)

// What validate warns of is told, and is no damage.
func TestWarningsAreNoDamage(t *testing.T) {
	r := collectionReport{Name: "gadwall.users", Entries: map[string]int64{}}
	r.add("shard1: ", validateReply{Valid: true, Records: 1, Warnings: []string{"collection uses much space"}})
	if len(r.Problems) > 0 || len(r.Warnings) != 1 {
		t.Errorf("%+v", r)
	}
	report := databaseReport{Clean: len(r.Problems) == 0, Collections: []collectionReport{r}}
	var out strings.Builder
	if err := report.print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"warning, no damage: shard1: collection uses much space\n", "clean: "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in %s", want, &out)
		}
	}
	r.add("", validateReply{Valid: false, Errors: []string{"an entry is missing"}})
	if len(r.Problems) != 1 {
		t.Errorf("%+v", r)
	}
}
