package acceptance

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2/imapclient"

	"gadwall/internal/browsertest"
	"gadwall/internal/mailgen"
)

const consoleToken = "token-of-the-console-tests"

// consoleServer is a server that wants a token, with some users and mail.
func consoleServer(t *testing.T) *server {
	t.Helper()
	s := newServer(t, "--http-token", consoleToken)
	s.start(t)
	for i, user := range []struct{ name, display, quota string }{
		{testUser, "Ada Lovelace", `{"storage":"40MiB"}`},
		{"grace@example.com", "Grace Hopper", `{"storage":"1GiB"}`},
		{"alan@example.com", "Alan Turing", `{"storage":"1200KiB"}`},
		{"edsger@example.net", "Edsger Dijkstra", "null"},
		{"barbara@example.net", "Barbara Liskov", `{"storage":"10GiB","messages":100000}`},
		{"hostile@example.org", `<img src=x onerror=alert(1)>`, "null"},
	} {
		s.api(t, "POST", "/users", fmt.Sprintf(`{"username":%q,"password":%q,"name":%q,"quota":%s}`,
			user.name, testPassword, user.display, user.quota))
		corpus := mailgen.NewCorpus(uint64(i%3+1), mailgen.CorpusOptions{})
		for n := range 24 / (i + 1) {
			s.api(t, "POST", "/users/"+user.name+"/mailboxes/INBOX/messages", string(corpus.Message(n)))
		}
	}
	return s
}

// api sends a request with the administrator's token.
func (s *server) api(t testing.TB, method, path, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.http+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+consoleToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer bytes.Buffer
	if _, err := io.Copy(&answer, resp.Body); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode >= 300 {
		t.Fatalf("%s %s: %s %s", method, path, resp.Status, answer.String())
	}
}

// failLogin logs in over IMAP with a wrong password.
func (s *server) failLogin(t testing.TB, username string) {
	t.Helper()
	c, err := imapclient.DialInsecure(s.imap, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Login(username, "wrong").Wait(); err == nil {
		t.Fatal("logged in with a wrong password")
	}
}

// TestConsoleOnLoopback opens the console of a server without a token, which asks for none.
func TestConsoleOnLoopback(t *testing.T) {
	s := startServer(t)
	browsertest.Run(t, "testdata/console_open.cjs", "GADWALL_URL=http://"+s.http)
}

// TestConsole uses the console in Chromium as an operator does.
func TestConsole(t *testing.T) {
	s := consoleServer(t)
	s.failLogin(t, `alan@example.com`)
	s.failLogin(t, `<u>nobody</u>@example.com`)
	// The script finds this session and ends it.
	c, err := imapclient.DialInsecure(s.imap, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Login("grace@example.com", testPassword).Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	browsertest.Run(t, "testdata/console.cjs", "GADWALL_URL=http://"+s.http, "GADWALL_LMTP="+s.lmtp,
		"CONSOLE_TOKEN="+consoleToken)
	if err := c.Noop().Wait(); err == nil {
		t.Error("the session that an operator ended goes on")
	}
}
