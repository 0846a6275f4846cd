package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestTokenBeyondLoopback: an API that others than the machine reach starts only if it needs a token of
// somebody who may do everything, in the settings or in the database.
func TestTokenBeyondLoopback(t *testing.T) {
	dir := dataDir(t)
	beyond := []string{"--data-dir", dir, "--http-listen", "0.0.0.0:0"}
	refused := func() {
		t.Helper()
		gadwall(t, "", nil, slices.Concat([]string{"serve"}, anyPorts, beyond)...).want(t, 2,
			"--http-listen: beyond loopback, --http-token is required, or a token in the database")
	}
	run := func(args ...string) string {
		t.Helper()
		o := gadwall(t, "correct horse", nil, append(args, "--data-dir", dir)...)
		o.want(t, 0)
		return strings.TrimSpace(o.out)
	}
	refused() // without a database
	run("user", "add", "ada@example.com", "--password-stdin")
	refused()
	run("token", "create", "ada's", "--scopes", "mail", "--user", "ada@example.com")
	run("token", "create", "reader", "--scopes", "mail:read")
	refused() // these do not do everything
	secret := run("token", "create", "root", "--scopes", "all")
	s := startServer(t, beyond...)
	defer s.stop(t)
	port := s.ports["HTTP"][strings.LastIndexByte(s.ports["HTTP"], ':')+1:]
	for token, want := range map[string]int{"": 401, "wrong": 401, secret: 200} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://127.0.0.1:"+port+"/users", nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("with token %q: %s", token, resp.Status)
		}
	}
}
