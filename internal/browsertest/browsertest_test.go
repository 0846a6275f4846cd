package browsertest

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// A script drives a browser that gets pages of the test's server and receives its events.
func TestRun(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<!doctype html><title>works</title><p>hello</p>"))
	})
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = w.Write([]byte("id: 7\ndata: one\n\n"))
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	Run(t, "testdata/works.cjs", "GADWALL_URL="+srv.URL)
}
