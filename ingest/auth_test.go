package ingest

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
)

// twoSteps asks for a name and a password, as LOGIN does.
type twoSteps struct{ responses []string }

func (a twoSteps) Mechanisms(bool) []string        { return []string{"LOGIN"} }
func (a twoSteps) Begin(string, net.Addr) Exchange { return &twoSteps{} }
func (a *twoSteps) Identity() string               { return a.responses[0] }

func (a *twoSteps) Next(_ context.Context, response []byte) ([]byte, bool, error) {
	if response != nil {
		a.responses = append(a.responses, string(response))
	}
	switch {
	case len(a.responses) < 2:
		return []byte("more"), false, nil
	case a.responses[1] != "secret":
		return nil, false, errors.New("wrong password")
	}
	return nil, true, nil
}

// The lines of an exchange are not commands, although base64 can look like BDAT, DATA and QUIT.
func TestAuth(t *testing.T) {
	st := newFakeStore("ada@example.com")
	ts := startServer(t, st, Options{Authenticator: twoSteps{}})
	c := ts.dial(t)
	c.want("220 ")
	c.cmd("AUTH LOGIN", "503 5.5.1") // before EHLO
	c.send("EHLO c\r\n")
	offered := false
	for line := c.line(); line[3] == '-'; line = c.line() {
		offered = offered || line == "250-AUTH LOGIN"
	}
	if !offered {
		t.Error("AUTH is not offered")
	}
	for _, tt := range []struct{ sent, want string }{
		{"AUTH", "504 5.5.4"},
		{"AUTH PLAIN AGE=", "504 5.5.4"},
		{"AUTH LOGIN", "334 bW9yZQ=="},
		{"*", "501 5.7.0"},
		{"AUTH LOGIN not-base64", "501 5.5.2"},
		{"auth login YWRh", "334 bW9yZQ=="},
		{"BDAT", "535 5.7.8"}, // a password
		{"AUTH LOGIN =", "334 "},
		{"QUIT", "535 5.7.8"},
		{"AUTH LOGIN YWRh", "334 "},
		{strings.Repeat("QUIT", maxAuthLine/4), "500 5.5.2"},
	} {
		c.cmd(tt.sent, tt.want)
	}
	c.wantClosed()

	c = ts.dial(t)
	c.want("220 ")
	c.cmd("EHLO c", "250 ")
	c.send("AUTH LOGIN YWRh\r\nc2VjcmV0\r\n") // pipelined
	c.want("334 ")
	c.want("235 2.7.0")
	c.cmd("AUTH LOGIN YWRh", "503 5.5.1")
	c.cmd("MAIL FROM:<ada@example.com> AUTH=<>", "250 ")
	c.cmd("RCPT TO:<ada@example.com>", "250 ")
	c.cmd("AUTH LOGIN", "503 5.5.1")
	c.cmd("DATA", "354 ")
	c.cmd("x\r\n.", "250 ")
	if m := st.messages(); len(m) != 1 || !strings.Contains(m[0].prefix, " with ESMTPA id ") {
		t.Errorf("delivered %q", m)
	}
}

// Somebody who guesses passwords is cut off.
func TestAuthFailuresEndTheConnection(t *testing.T) {
	ts := startServer(t, newFakeStore(), Options{Authenticator: twoSteps{}})
	c := ts.dial(t)
	c.want("220 ")
	c.cmd("EHLO c", "250 ")
	for range maxMistakes {
		c.cmd("AUTH LOGIN YWRh", "334 ")
		c.cmd("Z3Vlc3M=", "535 ")
	}
	c.cmd("AUTH LOGIN YWRh", "334 ")
	c.cmd("Z3Vlc3M=", "421 4.7.0")
	c.wantClosed()
}
