package httpapi

import (
	"strings"
	"testing"

	"gadwall/internal/console"
	"gadwall/internal/storetest"
)

// The console is public, has a strict policy, and is all that is public.
func TestConsole(t *testing.T) {
	st := storetest.Open(t, storetest.Options{})
	url := start(t, Options{Users: st, Token: "secret"})
	status, page, header := request(t, "GET", url+"/", "")
	if status != 200 || header.Get("Content-Type") != "text/html; charset=utf-8" ||
		header.Get("Content-Security-Policy") != console.Policy || header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%d %v", status, header)
	}
	if strings.Contains(console.Policy, "unsafe") || strings.Contains(page, "style=") ||
		strings.Contains(page, "<script>") || strings.Contains(page, "<style") {
		t.Error("the page has something inline")
	}
	files := 0
	for piece := range strings.SplitSeq(page, `"/console/`) {
		name, _, found := strings.Cut(piece, `"`)
		if !found || strings.Contains(name, "<") {
			continue
		}
		files++
		status, _, header := request(t, "GET", url+"/console/"+name, "")
		if status != 200 || header.Get("Content-Type") == "" ||
			header.Get("Content-Security-Policy") != console.Policy {
			t.Errorf("%s: %d %v", name, status, header)
		}
		status, body, _ := request(t, "GET", url+"/console/"+name, "", "If-None-Match: "+header.Get("ETag"))
		if status != 304 || body != "" {
			t.Errorf("%s again: %d %q", name, status, body)
		}
	}
	if files < 4 {
		t.Errorf("the page names %d files", files)
	}
	for _, path := range []string{"/console/none.js", "/console/", "/console", "/index.html", "/console/..%2fdoc.go"} {
		if status, body, _ := request(t, "GET", url+path, ""); status != 404 {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, _, header := request(t, "POST", url+"/", ""); status != 405 || header.Get("Allow") != "GET" {
		t.Errorf("POST: %d %v", status, header)
	}
	if status, body, _ := request(t, "HEAD", url+"/", ""); status != 200 || body != "" {
		t.Errorf("HEAD: %d %q", status, body)
	}
	if status, _, _ := request(t, "GET", url+"/users", ""); status != 401 {
		t.Errorf("users without a token: %d", status)
	}
}
