package workload

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseFetch(t *testing.T) {
	response := "* 12 FETCH (UID 7 FLAGS (\\Seen $x) BODY[HEADER.FIELDS (\"A\" B)]<0> {5}\r\n) \"( " +
		" X \"a\\\"\\\\ )\" ENVELOPE (\"(\" NIL ((\"b\" {2}\r\n)) NIL))) Y NIL BODY[2] \"\")"
	f, ok, err := parseFetch(response)
	if err != nil || !ok || f.seq != 12 {
		t.Fatalf("%+v, %v, %v", f, ok, err)
	}
	want := map[string]string{"UID": "7", "FLAGS": `(\Seen $x)`, "body[header.fields (": ") \"( ",
		"X": `a"\ )`, "ENVELOPE": "(\"(\" NIL ((\"b\" {2}\r\n)) NIL)))", "Y": "NIL", "BODY[2]": ""}
	for name, value := range want {
		if got, ok := f.get(name); !ok || got != value {
			t.Errorf("%s is %q, %v; want %q", name, got, ok, value)
		}
	}
	if _, ok := f.get("BODY[3]"); ok || len(f.items) != len(want) {
		t.Errorf("%+v", f.items)
	}
	for _, other := range []string{"* 12 EXISTS", "+ ", "* SEARCH 1", ""} {
		if _, ok, err := parseFetch(other); ok || err != nil {
			t.Errorf("%q: %v, %v", other, ok, err)
		}
	}
	for _, bad := range []string{"* x FETCH (UID 1)", "* 1 FETCH (", "* 1 FETCH (UID 1", "* 1 FETCH (UID 1) ",
		"* 1 FETCH (UID )", "* 1 FETCH (A \"x)", "* 1 FETCH (A {3}\r\nab)", "* 1 FETCH (BODY[ 1)", "* 1 FETCH ()",
		"* 1 FETCH (A (1)B 2)"} {
		if f, ok, err := parseFetch(bad); !ok || err == nil {
			t.Errorf("%q: %+v, %v, %v", bad, f, ok, err)
		}
	}
}

// What is parsed has every item of the response, and its strings.
func FuzzParseFetch(f *testing.F) {
	f.Add("* 1 FETCH (UID 7 BODY[1]<0> {2}\r\n) X (\"(\" NIL))")
	f.Add("* 1 FETCH (A \"\\\"\")")
	f.Fuzz(func(t *testing.T, response string) {
		parsed, ok, err := parseFetch(response)
		if !ok || err != nil {
			return
		}
		if !strings.HasSuffix(response, ")") || len(parsed.items) == 0 {
			t.Fatalf("%q: %+v", response, parsed)
		}
		for _, i := range parsed.items {
			if !strings.Contains(response, i.name) {
				t.Errorf("%q has no item %q", response, i.name)
			}
		}
		again, _, _ := parseFetch(response)
		if diff := cmp.Diff(parsed.items, again.items, cmp.AllowUnexported(item{})); diff != "" {
			t.Error(diff)
		}
	})
}
