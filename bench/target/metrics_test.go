package target

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHTTPMetrics(t *testing.T) {
	text, status := "# HELP a b\n# TYPE gadwall_x gauge\ngadwall_x{y=\"z w\"} 3\ngadwall_x{y=\"v\"} 4.5\n"+
		"gadwall_index_backlog 2\n", http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" || r.Header.Get("Authorization") != "Bearer token" {
			t.Errorf("%s with %v", r.URL, r.Header)
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(text))
	}))
	defer server.Close()
	read := HTTPMetrics(server.Listener.Addr().String(), "token")
	m, err := read(t.Context())
	if diff := cmp.Diff(Metrics{"gadwall_x": 7.5, "gadwall_index_backlog": 2}, m); err != nil || diff != "" {
		t.Errorf("%v, %s", err, diff)
	}
	if m.Waiting() != 2 {
		t.Errorf("%v wait", m.Waiting())
	}
	text = "gadwall_x many\n"
	if m, err := read(t.Context()); err == nil {
		t.Errorf("no number: %v", m)
	}
	status = http.StatusForbidden
	if m, err := read(t.Context()); err == nil {
		t.Errorf("forbidden: %v", m)
	}
}

func TestSearched(t *testing.T) {
	before := Metrics{searchCandidates: 5, searchHits: 5, searchExcluded: 100}
	if v := Searched(before, before, 3); v != nil {
		t.Errorf("no search: %v", v)
	}
	after := Metrics{searchCandidates: 11, searchHits: 8, searchExcluded: 400}
	want := map[string]float64{"candidates-per-call": 2, "hits-per-call": 1, "excluded-per-call": 100}
	if diff := cmp.Diff(want, Searched(before, after, 3)); diff != "" {
		t.Error(diff)
	}
}
