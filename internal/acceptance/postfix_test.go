package acceptance

import (
	"bufio"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"gadwall/internal/smarthosttest"
)

// postfixMain is the configuration of a Postfix that takes mail from this machine, delivers that for
// example.com over LMTP, and refuses all other.
const postfixMain = `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
maillog_file = /dev/stdout
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
myhostname = relay.example.net
mydestination =
alias_maps =
local_recipient_maps =
smtpd_relay_restrictions = permit_auth_destination, reject
virtual_mailbox_domains = example.com
virtual_transport = lmtp:inet:%[2]s
smtpd_tls_security_level = may
smtpd_tls_cert_file = %[1]s/cert.pem
smtpd_tls_key_file = %[1]s/key.pem
smtpd_peername_lookup = no
disable_dns_lookups = yes
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 5s
`

// postfixMaster has the services that this needs, none of them in a chroot.
const postfixMaster = `%s inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
lmtp unix - - n - - lmtp
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
`

// startPostfix runs a Postfix until the test ends, and returns its address. It delivers to the LMTP
// address. Its files are in a directory of its own; nothing in /etc is read or changed.
func startPostfix(t *testing.T, lmtp string, cert, key []byte) string {
	t.Helper()
	program := tool(t, "postfix")
	dir, err := os.MkdirTemp("", "gadwall-postfix-") // that of the test is closed to Postfix's user
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"queue", "data"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	command(t, nil, nil, "chown", "postfix", filepath.Join(dir, "data"))
	addr := freeAddr(t)
	writeFile(t, filepath.Join(dir, "main.cf"), fmt.Sprintf(postfixMain, dir, lmtp))
	writeFile(t, filepath.Join(dir, "master.cf"), fmt.Sprintf(postfixMaster, addr))
	writeFile(t, filepath.Join(dir, "cert.pem"), string(cert))
	writeFile(t, filepath.Join(dir, "key.pem"), string(key))
	cmd := exec.Command(program, "-c", dir, "start-fg")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	started, log := make(chan bool), make(chan string, 1)
	go func() {
		var text strings.Builder
		up := false
		for lines := bufio.NewScanner(out); lines.Scan(); {
			fmt.Fprintln(&text, lines.Text())
			if !up && strings.Contains(lines.Text(), "daemon started") {
				up = true
				close(started)
			}
		}
		if !up {
			close(started)
		}
		log <- text.String()
	}()
	t.Cleanup(func() {
		stopped, err := exec.Command(program, "-c", dir, "stop").CombinedOutput()
		if err != nil {
			t.Errorf("postfix stop: %v: %s", err, stopped)
		}
		// A process of Postfix that stays keeps the output open.
		late := time.AfterFunc(programTimeout, func() {
			t.Errorf("Postfix does not end within %v", programTimeout)
			_ = cmd.Process.Kill()
			_ = out.Close()
		})
		defer late.Stop()
		text := <-log
		_ = cmd.Wait() // its status says nothing
		if t.Failed() {
			t.Logf("Postfix said:\n%s", text)
		}
	})
	select {
	case <-started:
	case <-time.After(startTimeout):
		t.Fatal("Postfix does not start")
	}
	return addr
}

// outgoing is a mail as clients send it.
func outgoing(id string) string {
	return "From: Ada <ada@example.com>\r\nTo: bob@example.com\r\nBcc: ada@example.com\r\nSubject: by " + id +
		"\r\nMessage-ID: <" + id + "@client.example>\r\nDate: Mon, 30 Nov 2026 12:00:00 +0000\r\n\r\n.hello\r\n"
}

// TestSubmissionThroughPostfix sends with swaks in clear, curl over TLS and msmtp with STARTTLS through a
// Postfix that delivers back. Each message is once in Sent, also if the client saves it before or after,
// and without Bcc for the others.
func TestSubmissionThroughPostfix(t *testing.T) {
	swaks, curl, msmtp := tool(t, "swaks"), tool(t, "curl"), tool(t, "msmtp")
	s := newServer(t)
	cert, key := certificate(t)
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	writeFile(t, ca, string(cert))
	writeFile(t, filepath.Join(dir, "cert.pem"), string(cert))
	secret := filepath.Join(dir, "key.pem")
	writeFile(t, secret, string(key))
	submission, submissions := freeAddr(t), freeAddr(t)
	s.args = []string{"--submission-listen", submission, "--submissions-listen", submissions,
		"--tls-cert", filepath.Join(dir, "cert.pem"), "--tls-key", secret,
		"--smarthost", startPostfix(t, s.lmtp, cert, key),
		"--smarthost-tls-ca", ca, "--smarthost-tls-name", "localhost", "--hostname", "mail.example.com"}
	s.start(t)
	s.createUser(t, testUser, testPassword)
	s.createUser(t, "bob@example.com", testPassword)
	host, port := hostPort(t, submission)

	out := command(t, nil, strings.NewReader(outgoing("swaks")), swaks, "--server", host, "--port", port,
		"--auth", "PLAIN", "--auth-user", testUser, "--auth-password", testPassword, "--from", testUser,
		"--to", "bob@example.com,x@elsewhere.example,ada@example.com", "--data", "-")
	if !strings.Contains(out, "554 5.7.1 <x@elsewhere.example>: Recipient address rejected") ||
		!strings.Contains(out, "queued as") {
		t.Errorf("swaks said:\n%s", out)
	}
	c := s.login(t)
	save := func(text string) imap.UID {
		t.Helper()
		a := c.Append("Sent", int64(len(text)), &imap.AppendOptions{Flags: []imap.Flag{imap.FlagSeen}})
		if _, err := io.WriteString(a, text); err != nil {
			t.Fatal(err)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		data, err := a.Wait()
		if err != nil {
			t.Fatal(err)
		}
		return data.UID
	}
	before := save(outgoing("curl"))
	file := filepath.Join(dir, "curl.eml")
	writeFile(t, file, outgoing("curl"))
	_, wrapped := hostPort(t, submissions)
	command(t, nil, nil, curl, "-sS", "--url", "smtps://localhost:"+wrapped, "--cacert", ca,
		"--user", testUser+":"+testPassword,
		"--mail-from", testUser, "--mail-rcpt", "bob@example.com", "--mail-rcpt", testUser, "-T", file)
	command(t, nil, strings.NewReader(outgoing("msmtp")), msmtp, "--host", "localhost", "--port", port,
		"--tls=on", "--tls-trust-file="+ca,
		"--auth=plain", "--user", testUser, "--passwordeval", "printf '%s' '"+testPassword+"'",
		"--remove-bcc-headers=off", "--from", testUser, "--", "bob@example.com", testUser)
	after := save(outgoing("msmtp"))

	var sent []string
	uids := map[string]imap.UID{}
	fetchAll(t, c, "Sent", func(m fetched) {
		for _, id := range []string{"swaks", "curl", "msmtp"} {
			if strings.Contains(string(m.body), "<"+id+"@client.example>") {
				sent = append(sent, id)
				uids[id] = m.uid
			}
		}
		if !strings.Contains(string(m.body), "Bcc: ada@example.com") {
			t.Errorf("the copy has no Bcc: %q", m.body)
		}
	})
	if len(sent) != 3 || uids["curl"] != before || uids["msmtp"] != after {
		t.Errorf("in Sent: %v, %v; saved before %d, after %d", sent, uids, before, after)
	}
	for _, user := range []string{testUser, "bob@example.com"} {
		for _, text := range s.awaitMail(t, user, 3) {
			if strings.Contains(text, "Bcc:") || !strings.Contains(text, "(Gadwall) with ESMTP") ||
				!strings.Contains(text, "(Postfix)") || !strings.Contains(text, "\r\n\r\n.hello\r\n") {
				t.Errorf("%s got %q", user, text)
			}
		}
	}
	cert, _ = certificate(t) // another authority: the smarthost is not believed
	writeFile(t, ca, string(cert))
	s.restart(t, func() {})
	if out, err := attempt(t, nil, nil, swaks, "--server", host, "--port", port, "--auth", "PLAIN",
		"--auth-user", testUser, "--auth-password", testPassword, "--from", testUser,
		"--to", "bob@example.com"); err == nil ||
		!strings.Contains(out, "451 4.7.5") {
		t.Errorf("with a certificate that nobody signed: %v\n%s", err, out)
	}
}

// awaitMail waits until a user has n messages in INBOX, and returns their texts.
func (s *server) awaitMail(t *testing.T, user string, n int) (texts []string) {
	t.Helper()
	c, err := imapclient.DialInsecure(s.imap, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Login(user, testPassword).Wait(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(programTimeout); len(texts) < n; {
		if time.Now().After(deadline) {
			t.Fatalf("%s has %d messages: %q", user, len(texts), texts)
		}
		texts = nil
		fetchAll(t, c, "INBOX", func(m fetched) { texts = append(texts, string(m.body)) })
		// polling another process, there is nothing to wait on
		<-time.After(20 * time.Millisecond)
	}
	if len(texts) != n {
		t.Errorf("%s has %d messages", user, len(texts))
	}
	return texts
}

// certificate makes a certificate for localhost that is its own authority.
func certificate(t *testing.T) (cert, key []byte) {
	t.Helper()
	server, _, _ := smarthosttest.Certificate(t)
	raw, err := x509.MarshalPKCS8PrivateKey(server.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificates[0].Certificate[0]}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}
