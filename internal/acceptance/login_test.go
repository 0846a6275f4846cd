package acceptance

import (
	"bufio"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gadwall/internal/oidctest"
	"gadwall/internal/smarthosttest"
)

// TestTokenLogins logs in with tokens of a provider, by programs that are not ours: Python's imaplib
// and curl.
func TestTokenLogins(t *testing.T) {
	python, curl := tool(t, "python3"), tool(t, "curl")
	p := oidctest.New(t)
	s := startServer(t, "--oidc-issuer", p.Issuer, "--oidc-client-id", oidctest.ClientID, "--oidc-scope", "mail")
	host, port := hostPort(t, s.imap)
	script, err := filepath.Abs("testdata/imaplib_token.py")
	if err != nil {
		t.Fatal(err)
	}
	good := p.Token(testUser, nil)
	// As long as those of providers that put many groups into them.
	long := p.Token(testUser, oidctest.Claims{"groups": strings.Repeat("group of users ", 500)})
	wrong := p.Token(testUser, oidctest.Claims{"aud": "x"})
	for _, token := range []string{good, long} {
		out := command(t, nil, nil, python, script, host, port, testUser, token, wrong)
		if !strings.Contains(out, "imaplib: all good") {
			t.Errorf("imaplib said:\n%s", out)
		}
	}
	for _, mechanism := range []string{"OAUTHBEARER", "XOAUTH2"} {
		out := command(t, nil, nil, curl, "-sS", "--user", testUser, "--oauth2-bearer", good,
			"--login-options", "AUTH="+mechanism, "imap://"+s.imap)
		if !strings.Contains(out, "INBOX") {
			t.Errorf("curl with %s said:\n%s", mechanism, out)
		}
	}
	mailboxes := "http://" + s.http + "/users/" + s.userID(t, testUser) + "/mailboxes"
	if got := command(t, nil, nil, curl, "-sS", "--oauth2-bearer", good, mailboxes); !strings.Contains(got, "INBOX") {
		t.Errorf("over HTTP: %s", got)
	}
	if got := command(t, nil, nil, curl, "-sS", "--oauth2-bearer", wrong, mailboxes); !strings.Contains(got, "401") {
		t.Errorf("a wrong token over HTTP: %s", got)
	}
	if log := s.logTail(1 << 20); strings.Contains(log, good) || strings.Contains(log, long) {
		t.Error("a token is in the log")
	}
}

// TestExternalAuthenticator logs in with curl, while a program in Python decides about passwords. The
// first login makes the user.
func TestExternalAuthenticator(t *testing.T) {
	python, curl := tool(t, "python3"), tool(t, "curl")
	const secret, password = "0123456789abcdef", "only the program knows"
	_, line := runProgram(t, python, "testdata/auth_program.py", secret, testUser, password)
	port := strings.TrimPrefix(line(), "port ")
	s := newServer(t, "--auth-url", "http://127.0.0.1:"+port+"/check", "--auth-secret", secret,
		"--auth-create-users")
	s.start(t)
	for _, option := range []string{"AUTH=PLAIN", "AUTH=LOGIN"} {
		got := command(t, nil, nil, curl, "-sS", "--user", "ada:"+password,
			"--login-options", option, "imap://"+s.imap)
		if !strings.Contains(got, "INBOX") {
			t.Errorf("curl with %s said:\n%s", option, got)
		}
	}
	if got := line(); got != "imap PLAIN 127.0.0.1 True" {
		t.Errorf("the program was asked: %s", got)
	}
	if text, err := attempt(t, nil, nil, curl, "-sS", "--user", "ada:wrong", "imap://"+s.imap); err == nil {
		t.Errorf("a wrong password was taken: %s", text)
	}
	// What was right is remembered; so this is what the program hears next.
	if got := line(); got != "imap PLAIN 127.0.0.1 False" {
		t.Errorf("the program was asked: %s", got)
	}
	list := command(t, nil, nil, binary, "user", "show", testUser, "--data-dir", s.dir)
	if !strings.Contains(list, "Ada") || !strings.Contains(list, "1048576") {
		t.Errorf("the user is %s", list)
	}
	mailboxes := "http://" + s.http + "/users/" + s.userID(t, testUser) + "/mailboxes"
	if got := command(t, nil, nil, curl, "-sS", "--user", "ada:"+password, mailboxes); !strings.Contains(got, "INBOX") {
		t.Errorf("over HTTP: %s", got)
	}
	for got := line(); got != "http Basic 127.0.0.1 True"; got = line() {
		if !strings.HasSuffix(got, " False") { // the wrong password by another mechanism
			t.Errorf("the program was asked: %s", got)
		}
	}
	if log := s.logTail(1 << 20); strings.Contains(log, password) {
		t.Error("the password is in the log")
	}
}

// TestScramClients logs in with GNU SASL's program, with and without channel binding, and with mutt.
func TestScramClients(t *testing.T) {
	gsasl, mutt, script := tool(t, "gsasl"), tool(t, "mutt"), tool(t, "script")
	ca := newAuthority(t, "Test CA")
	cert, key := ca.server()
	s := startServer(t, "--scram", "--tls-cert", cert, "--tls-key", key)
	_, port := hostPort(t, s.imap)
	login := func(password, mechanism string, more ...string) (string, error) {
		args := append([]string{"--imap", "--mechanism", mechanism, "-a", testUser, "-p", password, "--quiet",
			"--x509-ca-file=" + ca.file, "--connect", "localhost:" + port}, more...)
		return attempt(t, nil, nil, gsasl, args...)
	}
	for _, how := range [][]string{
		{"SCRAM-SHA-256", "--no-starttls"},
		{"SCRAM-SHA-256", "--starttls", "--no-cb"},
		{"SCRAM-SHA-256-PLUS", "--starttls"},
	} {
		if out, err := login(testPassword, how[0], how[1:]...); err != nil || !strings.Contains(out, "Logged in") {
			t.Errorf("gsasl with %q: %v\n%s", how, err, out)
		}
		if out, err := login("wrong", how[0], how[1:]...); err == nil || strings.Contains(out, "Logged in") {
			t.Errorf("gsasl with %q and a wrong password: %v\n%s", how, err, out)
		}
	}
	home := t.TempDir()
	rc := filepath.Join(home, "muttrc")
	writeFile(t, rc, fmt.Sprintf(`set imap_user="%s"
set imap_pass="%s"
set imap_authenticators="scram-sha-256"
set ssl_starttls=no
set ssl_force_tls=no
set folder="imap://localhost:%s/"
set spoolfile="+INBOX"
set quit=yes
set wait_key=no
push "<quit>"
`, testUser, testPassword, port))
	command(t, []string{"HOME=" + home, "TERM=xterm"}, nil, script, "-qefc", mutt+" -n -F "+rc, "/dev/null")
	if n := strings.Count(s.logTail(1<<20), `msg="imap: login"`); n != 4 {
		t.Errorf("%d logins, want 3 of gsasl and one of mutt", n)
	}
}

// TestClientCertificates logs in with curl and a certificate, over IMAPS and STARTTLS.
func TestClientCertificates(t *testing.T) {
	curl := tool(t, "curl")
	ca, strangers := newAuthority(t, "Test CA"), newAuthority(t, "Strange CA")
	cert, key := ca.server()
	imaps := freeAddr(t)
	s := startServer(t, "--imaps-listen", imaps, "--tls-cert", cert, "--tls-key", key, "--tls-client-ca", ca.file)
	client := func(a *authority, name, email string, use x509.ExtKeyUsage, end time.Time) []string {
		file, key := a.issue(name, &x509.Certificate{
			Subject: pkix.Name{CommonName: name}, EmailAddresses: []string{email}, NotAfter: end,
			ExtKeyUsage: []x509.ExtKeyUsage{use},
		})
		return []string{"--cert", file, "--key", key}
	}
	const forClients = x509.ExtKeyUsageClientAuth
	soon := time.Now().Add(time.Hour)
	ada := client(ca, "ada", testUser, forClients, soon)
	for _, tt := range []struct {
		name  string
		args  []string
		works bool
	}{
		{"good", ada, true},
		{"as another", append([]string{"--user", "eve@example.com:"}, ada...), false},
		{"of nobody here", client(ca, "eve", "eve@example.com", forClients, soon), false},
		{"expired", client(ca, "old", testUser, forClients, time.Now().Add(-time.Hour)), false},
		{"for servers", client(ca, "web", testUser, x509.ExtKeyUsageServerAuth, soon), false},
		{"of a stranger", client(strangers, "mallory", testUser, forClients, soon), false},
		{"none", nil, false},
	} {
		for _, at := range [][]string{{"imaps://" + imaps}, {"--ssl-reqd", "imap://" + s.imap}} {
			args := append([]string{"-sS", "--cacert", ca.file, "--user", testUser + ":",
				"--login-options", "AUTH=EXTERNAL"}, tt.args...)
			out, err := attempt(t, nil, nil, curl, append(args, at...)...)
			if works := err == nil && strings.Contains(out, "INBOX"); works != tt.works {
				t.Errorf("%s at %q: %v\n%s", tt.name, at, err, out)
			}
		}
	}
	// A client that has no certificate uses its password.
	out := command(t, nil, nil, curl, "-sS", "--cacert", ca.file, "--user", testUser+":"+testPassword, "imaps://"+imaps)
	if !strings.Contains(out, "INBOX") {
		t.Errorf("with a password: %s", out)
	}
}

// userID returns the id of a user.
func (s *server) userID(t testing.TB, name string) string {
	t.Helper()
	out := command(t, nil, nil, binary, "user", "show", name, "--data-dir", s.dir)
	var shown struct{ ID string }
	if err := json.Unmarshal([]byte(out), &shown); err != nil || shown.ID == "" {
		t.Fatalf("the user is %s (%v)", out, err)
	}
	return shown.ID
}

// runProgram runs a program until the test ends. The results are its standard input, and what reads
// the next line of its output.
func runProgram(t *testing.T, name string, args ...string) (in io.Writer, line func() string) {
	t.Helper()
	program := exec.CommandContext(t.Context(), name, args...)
	in, err := program.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := program.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	program.Stderr = os.Stderr
	program.WaitDelay = time.Second
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = program.Process.Kill()
		_ = program.Wait() // it was killed
	})
	said := bufio.NewScanner(out)
	return in, func() string {
		t.Helper()
		silent := time.AfterFunc(programTimeout, func() { _ = program.Process.Kill() })
		defer silent.Stop()
		if !said.Scan() {
			t.Fatalf("the program ended, or said nothing for %v (%v)", programTimeout, said.Err())
		}
		return said.Text()
	}
}

// TestSubmissionLogins logs in for submission with GNU SASL's program by SCRAM, with and without channel
// binding; curl sends with a token by OAUTHBEARER, msmtp by XOAUTH2 and SCRAM.
func TestSubmissionLogins(t *testing.T) {
	gsasl, curl, msmtp := tool(t, "gsasl"), tool(t, "curl"), tool(t, "msmtp")
	ca, p := newAuthority(t, "Test CA"), oidctest.New(t)
	cert, key := ca.server()
	mx, submission := smarthosttest.New(t, smarthosttest.Options{}), freeAddr(t)
	s := startServer(t, "--scram", "--tls-cert", cert, "--tls-key", key, "--submission-listen", submission,
		"--oidc-issuer", p.Issuer, "--oidc-client-id", oidctest.ClientID,
		"--smarthost", mx.Addr, "--smarthost-tls", "none")
	_, port := hostPort(t, submission)
	for _, how := range [][]string{
		{"SCRAM-SHA-256", "--no-cb"}, {"SCRAM-SHA-256-PLUS"}, {"PLAIN"},
	} {
		for password, works := range map[string]bool{testPassword: true, "wrong": false} {
			args := append([]string{"--smtp", "--mechanism", how[0], "-a", testUser, "-p", password, "--quiet",
				"--x509-ca-file=" + ca.file, "--connect", "localhost:" + port, "--starttls"}, how[1:]...)
			out, err := attempt(t, nil, nil, gsasl, args...)
			if in := err == nil && strings.Contains(out, "235 2.7.0"); in != works {
				t.Errorf("gsasl with %q and the password %s: %v\n%s", how, password, err, out)
			}
		}
	}
	file := filepath.Join(t.TempDir(), "mail.eml")
	writeFile(t, file, outgoing("curl"))
	send := []string{"-sS", "--url", "smtp://localhost:" + port, "--ssl-reqd", "--cacert", ca.file,
		"--user", testUser, "--mail-from", testUser, "--mail-rcpt", "x@elsewhere.example", "-T", file,
		"--oauth2-bearer"}
	command(t, nil, nil, curl, append(send, p.Token(testUser, nil))...)
	if out, err := attempt(t, nil, nil, curl, append(send, p.Token("eve@example.com", nil))...); err == nil {
		t.Errorf("curl with another's token: %s", out)
	}
	for mechanism, secret := range map[string]string{"scram-sha-256": testPassword, "xoauth2": p.Token(testUser, nil)} {
		command(t, nil, strings.NewReader(outgoing(mechanism)), msmtp, "--host", "localhost", "--port", port,
			"--tls=on", "--tls-trust-file="+ca.file, "--auth="+mechanism, "--user", testUser,
			"--passwordeval", "printf '%s' '"+secret+"'", "--from", testUser, "--", "x@elsewhere.example")
	}
	if sent := mx.Messages(); len(sent) != 3 {
		t.Errorf("%d messages were sent, want one of curl and two of msmtp", len(sent))
	}
	// Over HTTP the instance writes the log before it answers.
	logged := command(t, nil, nil, curl, "-sS", "http://"+s.http+"/users/"+s.userID(t, testUser)+"/authlog")
	for _, by := range []string{"OAUTHBEARER", "XOAUTH2", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"} {
		if !strings.Contains(logged, `"`+by+`"`) {
			t.Errorf("no login by %s: %s", by, logged)
		}
	}
}
