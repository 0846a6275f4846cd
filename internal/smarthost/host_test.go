package smarthost

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gadwall/internal/smarthosttest"
)

// host returns a Host for a smarthost without TLS; opts may change the options.
func host(t *testing.T, s *smarthosttest.Server, opts ...func(*Options)) *Host {
	t.Helper()
	o := Options{Address: s.Addr, Hostname: "mail.example.com", Mode: Plain}
	for _, opt := range opts {
		opt(&o)
	}
	h := New(o)
	t.Cleanup(h.Close)
	return h
}

// send sends a message, and returns the error of the first step that fails.
func send(t *testing.T, h *Host, text string, to ...string) (string, error) {
	t.Helper()
	tx, err := h.Begin(t.Context(), Envelope{User: "ada", From: "ada@example.com"})
	if err != nil {
		return "", err
	}
	defer tx.Abort()
	for _, r := range to {
		if err := tx.Rcpt(Recipient{Address: r}); err != nil {
			return "", err
		}
	}
	if err := tx.Data(); err != nil {
		return "", err
	}
	if _, err := tx.Write([]byte(text)); err != nil {
		return "", err
	}
	return tx.End()
}

// The smarthost gets the octets of a message and the envelope, and further messages use the same
// connection.
func TestSend(t *testing.T) {
	s := smarthosttest.New(t, smarthosttest.Options{})
	h := host(t, s)
	if h.Offers("DSN") {
		t.Error("an extension is known before the first connection")
	}
	if err := h.Probe(t.Context()); err != nil || !h.Offers("DSN") || !h.Offers("SMTPUTF8") {
		t.Errorf("%v, DSN %t, SMTPUTF8 %t", err, h.Offers("DSN"), h.Offers("SMTPUTF8"))
	}
	for i := range 3 {
		text := fmt.Sprintf("Subject: %d\r\n\r\n.dot\r\n..\r\nend\r\n", i)
		got, err := send(t, h, text, "bob@example.net", "eve@example.net")
		if err != nil || got != "Ok: queued as 4Xy2Fj" {
			t.Fatal(got, err)
		}
		m := s.Messages()[i]
		if m.Text != text || len(m.Rcpt) != 2 || m.Rcpt[1] != "RCPT TO:<eve@example.net>" ||
			m.Mail != "MAIL FROM:<ada@example.com> BODY=8BITMIME" {
			t.Errorf("%+v", m)
		}
	}
	if n := s.Accepted(); n != 1 {
		t.Errorf("%d connections", n)
	}
	if used, idle := h.Connections(); used != 0 || idle != 1 {
		t.Errorf("%d connections in use, %d idle", used, idle)
	}
}

// What MAIL and RCPT can say is said.
// An answer without an end is trouble, and is not kept.
func TestEndlessAnswer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ended := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		for err == nil {
			_, err = c.Write([]byte("220-and so on\r\n"))
		}
		ended <- err
	}()
	h := New(Options{Address: l.Addr().String(), Hostname: "mail.example.com", Mode: Plain})
	defer h.Close()
	var trouble *Trouble
	err = h.Probe(t.Context())
	if !errors.As(err, &trouble) || !errors.Is(err, errEndless) {
		t.Errorf("%v", err)
	}
	if err := <-ended; err == nil {
		t.Error("the connection stays open")
	}
}

// Each line on the wire ends with CRLF, and there is no CR or LF elsewhere, however the message is cut.
func TestLineEnds(t *testing.T) {
	s := smarthosttest.New(t, smarthosttest.Options{})
	h := host(t, s)
	const text = "Subject: x\rFrom: y\r\r\n\r\na\r.\r\nb\n.\nc\r\n.\rd\r\n\r\r.\r\re\n\r\n\r"
	const want = "Subject: x From: y \r\n\r\na .\r\nb\r\n.\r\nc\r\n. d\r\n  .  e\r\n\r\n"
	for piece := 1; piece <= len(text); piece++ {
		tx, err := h.Begin(t.Context(), Envelope{User: "ada", From: "ada@example.com"})
		if err == nil {
			err = tx.Rcpt(Recipient{Address: "bob@example.net"})
		}
		if err == nil {
			err = tx.Data()
		}
		for i := 0; i < len(text) && err == nil; i += piece {
			p := text[i:min(i+piece, len(text))]
			var n int
			if n, err = tx.Write([]byte(p)); n != len(p) {
				t.Errorf("%d of %d octets are taken", n, len(p))
			}
		}
		if err == nil {
			_, err = tx.End()
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Messages()[piece-1].Text; got != want {
			t.Errorf("pieces of %d:\n%q\nwant\n%q", piece, got, want)
		}
	}
}

func TestParameters(t *testing.T) {
	s := smarthosttest.New(t, smarthosttest.Options{})
	h := host(t, s)
	tx, err := h.Begin(t.Context(), Envelope{From: "ä@example.com", Size: 77, UTF8: true, Body8Bit: true,
		Return: "HDRS", ID: "a+b"})
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Abort()
	if err := tx.Rcpt(Recipient{Address: "b@x", Notify: []string{"SUCCESS", "DELAY"}, OriginalType: "RFC822",
		OriginalText: "c=d@x"}); err != nil {
		t.Fatal(err)
	}
	commands := strings.Join(s.Commands(), "\n")
	for _, want := range []string{
		"EHLO mail.example.com",
		"MAIL FROM:<ä@example.com> BODY=8BITMIME SIZE=77 SMTPUTF8 RET=HDRS ENVID=a+2Bb",
		"RCPT TO:<b@x> NOTIFY=SUCCESS,DELAY ORCPT=RFC822;c+3Dd@x",
	} {
		if !strings.Contains(commands, want) {
			t.Errorf("no %q in\n%s", want, commands)
		}
	}
	bare := host(t, smarthosttest.New(t, smarthosttest.Options{Keywords: []string{"SIZE"}}))
	if _, err := bare.Begin(t.Context(), Envelope{UTF8: true}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("SMTPUTF8 without the extension: %v", err)
	}
	if _, err := bare.Begin(t.Context(), Envelope{Body8Bit: true}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("8BITMIME without the extension: %v", err)
	}
}

// Each way in which a smarthost fails ends in a refusal with its words, or in trouble, and leaves no
// connection in use.
func TestFailures(t *testing.T) {
	for _, tt := range []struct{ command, answer, want string }{
		{"CONNECT", "554 5.7.1 no", "trouble 4.4.1"},
		{"CONNECT", smarthosttest.Drop, "trouble 4.4.1"},
		{"CONNECT", smarthosttest.Hang, "trouble 4.4.1"},
		{"EHLO", smarthosttest.Hang, "trouble 4.4.1"},
		{"EHLO", "421 4.3.2 later", "trouble 4.4.1"},
		{"MAIL", "451 4.3.0 later", "451 4.3.0 later"},
		{"MAIL", "550 no", "550 5.0.0 no"},
		{"MAIL", "250-x", "trouble 4.4.2"},
		{"MAIL", smarthosttest.Hang, "trouble 4.4.2"},
		{"RCPT", "550-5.1.1 no such\r\n550 5.1.1 user", "550 5.1.1 no such user"},
		{"RCPT", "450 5.1.1 odd", "450 4.0.0 odd"},
		{"RCPT", "621 what", "trouble 4.5.0"},
		{"RCPT", smarthosttest.Drop, "trouble 4.4.2"},
		{"DATA", "452 4.3.1 full", "452 4.3.1 full"},
		{"DATA", smarthosttest.Drop, "trouble 4.4.2"},
		{".", "554 5.6.0 spam\x01", "554 5.6.0 spam?"},
		{".", smarthosttest.Drop, "trouble 4.4.2"},
		{".", smarthosttest.Hang, "trouble 4.4.2"},
	} {
		s := smarthosttest.New(t, smarthosttest.Options{Answer: func(command string) string {
			if strings.HasPrefix(command, tt.command) {
				return tt.answer
			}
			return ""
		}})
		h := host(t, s, func(o *Options) {
			o.Timeout = time.Minute
			if tt.answer == smarthosttest.Hang || tt.answer == "250-x" {
				o.Timeout = time.Second // the steps before it have the same
			}
		})
		_, err := send(t, h, "x\r\n", "bob@example.net")
		if got := told(err); got != tt.want {
			t.Errorf("%s: %s: %s (%v)", tt.command, tt.answer, got, err)
		}
		if used, _ := h.Connections(); used != 0 {
			t.Errorf("%s: %s: %d connections in use", tt.command, tt.answer, used)
		}
		if len(s.Messages()) > 0 {
			t.Errorf("%s: %s: the message is sent", tt.command, tt.answer)
		}
	}
	down := New(Options{Address: "127.0.0.1:1", Hostname: "x", Mode: Plain})
	if _, err := send(t, down, "x", "b@x"); told(err) != "trouble 4.4.1" {
		t.Errorf("down: %v", err)
	}
}

func told(err error) string {
	var r *Refusal
	var tr *Trouble
	switch {
	case errors.As(err, &r):
		return r.Error()
	case errors.As(err, &tr):
		return "trouble " + tr.Status
	}
	return fmt.Sprint(err)
}

// A message of which the smarthost did not get the end does not exist for it.
func TestAbort(t *testing.T) {
	s := smarthosttest.New(t, smarthosttest.Options{})
	h := host(t, s)
	begin := func(ctx context.Context) *Transaction {
		tx, err := h.Begin(ctx, Envelope{User: "ada", From: "ada@example.com"})
		if err == nil {
			err = tx.Rcpt(Recipient{Address: "bob@example.net"})
		}
		if err != nil {
			t.Fatal(err)
		}
		return tx
	}
	begin(t.Context()).Abort() // RSET, and the connection stays
	tx := begin(t.Context())
	if err := tx.Data(); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Write([]byte("half")); err != nil {
		t.Fatal(err)
	}
	tx.Abort()
	tx.Abort()
	ctx, cancel := context.WithCancel(t.Context())
	tx = begin(ctx)
	cancel()
	for tx.Rcpt(Recipient{Address: "bob@example.net"}) == nil {
		// The end of the context closes the connection soon.
	}
	tx.Abort()
	if used, idle := h.Connections(); used != 0 || idle != 0 || s.Accepted() != 2 {
		t.Errorf("%d connections in use, %d idle, %d in all", used, idle, s.Accepted())
	}
	if len(s.Messages()) > 0 {
		t.Error("a message is sent")
	}
}

// A connection that the smarthost closed while it was idle costs the message nothing.
func TestStaleConnections(t *testing.T) {
	var mu sync.Mutex
	closing := false
	s := smarthosttest.New(t, smarthosttest.Options{Answer: func(command string) string {
		mu.Lock()
		defer mu.Unlock()
		if closing && strings.HasPrefix(command, "MAIL") {
			closing = false
			return "421 4.4.2 idle for too long"
		}
		return ""
	}})
	h := host(t, s)
	for i := range 3 {
		if _, err := send(t, h, "x\r\n", "b@x"); err != nil {
			t.Fatal(i, err)
		}
		switch i {
		case 0:
			s.Cut()
		case 1:
			mu.Lock()
			closing = true
			mu.Unlock()
		}
	}
	if s.Accepted() != 3 {
		t.Errorf("%d connections", s.Accepted())
	}
}

// TLS is what the mode says, with a certificate that is trusted; otherwise nothing is said.
func TestTLS(t *testing.T) {
	server, trusting, strict := smarthosttest.Certificate(t)
	wrongName := trusting.Clone()
	wrongName.ServerName = "other.example"
	lax := strict.Clone()
	lax.InsecureSkipVerify = true
	for name, tt := range map[string]struct {
		mode     Mode
		client   *tls.Config
		implicit bool
		server   *tls.Config
		want     string
	}{
		"STARTTLS":                {StartTLS, trusting, false, server, "<nil>"},
		"TLS":                     {TLS, trusting, true, server, "<nil>"},
		"STARTTLS, unknown":       {StartTLS, strict, false, server, "trouble 4.7.5"},
		"TLS, unknown":            {TLS, strict, true, server, "trouble 4.7.5"},
		"STARTTLS, another name":  {StartTLS, wrongName, false, server, "trouble 4.7.5"},
		"STARTTLS, not verified":  {StartTLS, lax, false, server, "<nil>"},
		"STARTTLS is not offered": {StartTLS, trusting, false, nil, "trouble 4.4.1"},
	} {
		s := smarthosttest.New(t, smarthosttest.Options{TLS: tt.server, Implicit: tt.implicit})
		h := host(t, s, func(o *Options) { o.Mode, o.TLS = tt.mode, tt.client })
		if _, err := send(t, h, "x\r\n", "b@x"); told(err) != tt.want {
			t.Errorf("%s: %v", name, err)
		}
		if sent := slices.ContainsFunc(s.Commands(), func(c string) bool {
			return strings.HasPrefix(c,
				"MAIL")
		}); sent != (tt.want == "<nil>") {
			t.Errorf("%s: MAIL was said: %t", name, sent)
		}
	}
}

// The Host logs in with the password that the file has at the time.
func TestLogin(t *testing.T) {
	keywords := []string{"AUTH PLAIN LOGIN"}
	s := smarthosttest.New(t, smarthosttest.Options{Keywords: keywords, Answer: func(command string) string {
		if strings.HasPrefix(command, "AUTH") && command != "AUTH PLAIN AHVzZXIAc2Vjb25k" { // \0user\0second
			return "535 5.7.8 no"
		}
		return ""
	}})
	file := filepath.Join(t.TempDir(), "password")
	h := host(t, s, func(o *Options) { o.User, o.PasswordFile = "user", file })
	if err := h.Probe(t.Context()); told(err) != "trouble 4.4.1" {
		t.Errorf("without a file: %v", err)
	}
	for password, want := range map[string]string{"wrong-one\n": "trouble 4.4.1", "\n": "trouble 4.4.1",
		"second\r\n": "<nil>"} {
		if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
			t.Fatal(err)
		}
		err := h.Probe(t.Context())
		if told(err) != want {
			t.Errorf("%q: %v", password, err)
		}
		if err != nil && strings.Contains(err.Error(), "wrong-one") {
			t.Errorf("the error tells the password: %v", err)
		}
	}
	none := host(t, smarthosttest.New(t, smarthosttest.Options{Keywords: []string{"SIZE"}}),
		func(o *Options) { o.User, o.PasswordFile = "user", file })
	if err := none.Probe(t.Context()); err == nil {
		t.Error("a smarthost without AUTH is used all the same")
	}
}

// One user has a part of the connections, all users have all of them, and a connection that becomes
// free serves who waits.
func TestShares(t *testing.T) {
	s := smarthosttest.New(t, smarthosttest.Options{})
	h := host(t, s, func(o *Options) { o.Connections = 2 * userShare })
	var open []*Transaction
	begin := func(user string) error {
		tx, err := h.Begin(t.Context(), Envelope{User: user})
		if err == nil {
			open = append(open, tx)
		}
		return err
	}
	for i := range userShare {
		user := fmt.Sprint("user", i)
		for range 2 {
			if err := begin(user); err != nil {
				t.Fatal(err)
			}
		}
		if err := begin(user); !errors.Is(err, ErrBusy) {
			t.Errorf("more than a part for %s: %v", user, err)
		}
	}
	got := make(chan error)
	go func() {
		tx, err := h.Begin(t.Context(), Envelope{User: "late"})
		if err == nil {
			tx.Abort()
		}
		got <- err
	}()
	open[0].Abort()
	if err := <-got; err != nil {
		t.Error(err)
	}
	for _, tx := range open {
		tx.Abort()
	}
	if used, _ := h.Connections(); used != 0 || len(h.users) != 0 {
		t.Errorf("%d connections in use, users %v", used, h.users)
	}
}

// Who finds no connection free is told after a while.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Options{Address: "127.0.0.1:1", Hostname: "x", Mode: Plain, Connections: 1})
		h.slots <- struct{}{}
		if _, err := h.Begin(t.Context(), Envelope{User: "ada"}); !errors.Is(err,
			ErrBusy) || told(err) != "trouble 4.3.2" {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := h.Begin(ctx, Envelope{User: "ada"}); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if len(h.users) != 0 {
			t.Error(h.users)
		}
	})
}

// Idle connections end: after their time, and with the Host.
func TestIdleConnections(t *testing.T) {
	s := smarthosttest.New(t, smarthosttest.Options{})
	h := host(t, s)
	for range 2 {
		if err := h.Probe(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	h.mu.Lock()
	h.idle[0].until = time.Now()
	h.schedule()
	h.mu.Unlock()
	deadline := time.Now().Add(time.Minute)
	for _, idle := h.Connections(); idle != 1; _, idle = h.Connections() {
		if time.Now().After(deadline) {
			t.Fatal("the connection stays")
		}
	}
	h.Close()
	if _, idle := h.Connections(); idle != 0 {
		t.Errorf("%d connections after Close", idle)
	}
	if err := h.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, idle := h.Connections(); idle != 0 {
		t.Error("a connection is kept after Close")
	}
	quits := func() (n int) {
		for _, c := range s.Commands() {
			if c == "QUIT" {
				n++
			}
		}
		return n
	}
	for n := quits(); n != 3; n = quits() { // the first comes from the timer
		if n > 3 || time.Now().After(deadline) {
			t.Fatalf("%d times QUIT", n)
		}
	}
}
