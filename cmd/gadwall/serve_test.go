package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"gadwall/internal/config"
	"gadwall/internal/listen"
)

// writeCertificate makes a certificate, and returns flags that name its files.
func writeCertificate(t *testing.T, dir, name string, end time.Time) []string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name},
		NotBefore: end.AddDate(-1, 0, 0), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert, keyFile := filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	write := func(file, kind string, der []byte) {
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(cert, "CERTIFICATE", der)
	write(keyFile, "PRIVATE KEY", private)
	return []string{"--tls-cert", cert, "--tls-key", keyFile}
}

func (s *instance) hangUp(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// SIGHUP takes over certificates and the log level. What cannot be read changes nothing, and ends
// nothing.
func TestReload(t *testing.T) {
	dir, files := dataDir(t), t.TempDir()
	soon, later := time.Now().Add(10*24*time.Hour).Truncate(time.Second),
		time.Now().Add(100*24*time.Hour).Truncate(time.Second)
	certificate := writeCertificate(t, files, "mx.example.com", soon)
	other := writeCertificate(t, files, "mail.example.org", later)
	settings := filepath.Join(files, "gadwall.toml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("log-level = 'info'\n")
	s := startServer(t, append(append(certificate, other...), "--data-dir", dir, "--config",
		settings, "--imap-listen", "off",
		"--imaps-listen", "127.0.0.1:0")...)
	ends := func(name string) time.Time {
		t.Helper()
		conn, err := tls.Dial("tcp", s.ports["IMAPS"], &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].NotAfter
	}
	if one, two := ends("mx.example.com"), ends("mail.example.org"); !one.Equal(soon) || !two.Equal(later) {
		t.Errorf("certificates end %v, %v", one, two)
	}
	s.log.wait(t, `level=WARN msg="a TLS certificate ends soon`, "days_left=9")

	writeCertificate(t, files, "mx.example.com", later)
	write("log-level = 'debug'\n")
	s.hangUp(t)
	s.log.wait(t, `msg="reloaded certificates and log level" log_level=DEBUG`)
	if got := ends("mx.example.com"); !got.Equal(later) {
		t.Errorf("the certificate ends %v, want %v", got, later)
	}
	for _, broken := range []struct{ text, want string }{
		{"log-level = 'loud'\n", `msg="not reloaded: everything stays as it was"`},
		{"log-lvel = 'info'\n", "unknown settings: log-lvel"},
	} {
		write(broken.text)
		s.hangUp(t)
		s.log.wait(t, broken.want)
	}
	write("log-level = 'info'\n")
	if err := os.WriteFile(certificate[1], []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.hangUp(t)
	s.log.wait(t, `msg="certificates not reloaded`)
	if got := ends("mx.example.com"); !got.Equal(later) {
		t.Errorf("after a broken file the certificate ends %v", got)
	}
	resp, err := http.Get("http://" + s.ports["HTTP"] + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	want := fmt.Sprintf("gadwall_tls_certificate_expiry_timestamp_seconds{file=%q} ", certificate[1])
	if err != nil || !strings.Contains(string(metrics), want) {
		t.Errorf("no metric %s, %v", want, err)
	}
	s.stop(t)
	s.log.wait(t, "stopping: commands and deliveries in progress are finished first",
		`protocols="HTTP IMAPS LMTP SMTP"`, "msg=stopped")
}

// talk sends text and returns the lines until one begins with end.
func talk(t *testing.T, network, addr, text, end string) string {
	t.Helper()
	conn, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	lines := bufio.NewReader(conn)
	for {
		line, err := lines.ReadString('\n')
		got.WriteString(line)
		if err != nil {
			t.Fatalf("%v after %q", err, got.String())
		}
		if strings.HasPrefix(line, end) {
			return got.String()
		}
	}
}

// Behind a proxy all protocols see the client's address; only some may send passwords in the clear.
func TestProxyProtocol(t *testing.T) {
	dir := dataDir(t)
	s := startServer(t, "--data-dir", dir, "--trusted-proxies", "127.0.0.1",
		"--plaintext-login-from", "198.51.100.0/24",
		"--log-level", "debug")
	gadwall(t, "", []string{"GADWALL_DATA_DIR=" + dir, "GADWALL_PASSWORD=correct horse"}, "user",
		"add", "ada@example.com").want(t, 0)
	const far, near = "PROXY TCP4 203.0.113.9 192.0.2.1 4711 143\r\n", "PROXY TCP4 198.51.100.7 192.0.2.1 4712 143\r\n"
	login := "a LOGIN ada@example.com \"correct horse\"\r\nb LOGOUT\r\n"
	if got := talk(t, "tcp", s.ports["IMAP"], far+login, "b "); !strings.Contains(got, "a NO [PRIVACYREQUIRED]") {
		t.Errorf("a password in the clear from afar: %s", got)
	}
	if got := talk(t, "tcp", s.ports["IMAP"], near+login, "b "); !strings.Contains(got, "a OK") {
		t.Errorf("a password in the clear from a network that may: %s", got)
	}
	talk(t, "tcp", s.ports["IMAP"], near+"a LOGIN ada@example.com wrong\r\nb LOGOUT\r\n", "b ")
	s.log.wait(t, "remote=198.51.100.7")
	for name, text := range map[string]string{
		"LMTP": "LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<ada@example.com>\r\nDATA\r\n.\r\nQUIT\r\n",
		"SMTP": "EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<ada@example.com>\r\nDATA\r\n.\r\nQUIT\r\n",
	} {
		if got := talk(t, "tcp", s.ports[name], strings.Replace(far, "203.0.113.9", "203.0.113.99",
			1)+text, "221 "); !strings.Contains(got, "250 2.1.5") && !strings.Contains(got, "250 2.0.0") {
			t.Errorf("%s: %s", name, got)
		}
	}
	s.log.wait(t, "203.0.113.99")
	if got := talk(t, "tcp", s.ports["HTTP"], far+
		"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
		"{"); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("HTTP: %s", got)
	}
	// The delivery's trace names the client.
	got := talk(t, "tcp", s.ports["IMAP"], near+
		"a LOGIN ada@example.com \"correct horse\"\r\nb SELECT INBOX\r\nc FETCH 1:* BODY[HEADER]\r\nd LOGOUT\r\n", "d ")
	if !strings.Contains(got, "203.0.113.99") {
		t.Errorf("no address of the client in %s", got)
	}
	s.stop(t)
}

// The header of a proxy comes before TLS.
func TestProxyProtocolBeforeTLS(t *testing.T) {
	certificate := writeCertificate(t, t.TempDir(), "mx.example.com", time.Now().AddDate(1, 0, 0))
	s := startServer(t, append(certificate, "--data-dir", dataDir(t), "--trusted-proxies", "127.0.0.0/8",
		"--imap-listen", "off", "--imaps-listen", "127.0.0.1:0", "--log-level", "debug")...)
	raw, err := net.Dial("tcp", s.ports["IMAPS"])
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if err := raw.SetDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(raw, "PROXY TCP6 2001:db8::9 2001:db8::1 4711 993\r\n"); err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
	if _, err := io.WriteString(conn, "a LOGIN nobody wrong\r\nb LOGOUT\r\n"); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); err != nil || !strings.Contains(string(got), "a NO [AUTHENTICATIONFAILED]") {
		t.Errorf("%q, %v", got, err)
	}
	s.log.wait(t, "remote=2001:db8::9")
	s.stop(t)
}

// Every protocol can be served on a Unix socket.
func TestUnixListeners(t *testing.T) {
	dir := dataDir(t)
	sockets, err := os.MkdirTemp("", "gw")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(sockets)
	at := func(name string) string { return filepath.Join(sockets, name) }
	// What a killed server left.
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: at("lmtp"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	left.Close()
	s := startServer(t, "--data-dir", dir, "--imap-listen", "unix:"+at("imap"), "--lmtp-listen",
		"unix:"+at("lmtp")+"?mode=666",
		"--smtp-listen", "unix:"+at("smtp"), "--http-listen", "unix:"+at("http"))
	for name, mode := range map[string]fs.FileMode{"imap": 0o660, "lmtp": 0o666} {
		if fi, err := os.Stat(at(name)); err != nil || fi.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, fi.Mode(), err)
		}
		if s.ports[strings.ToUpper(name)] != "unix:"+at(name) {
			t.Errorf("ports %v", s.ports)
		}
	}
	gadwall(t, "", []string{"GADWALL_DATA_DIR=" + dir, "GADWALL_PASSWORD=correct horse"}, "user",
		"add", "ada@example.com").want(t, 0)
	for _, addr := range []string{at("lmtp"), "unix:" + at("lmtp")} {
		gadwall(t, "Subject: x\n\n", nil, "deliver", "--lmtp", addr, "--to", "ada@example.com",
			"-").want(t, 0, "250 2.1.5")
	}
	login := "a LOGIN ada@example.com \"correct horse\"\r\nb LOGOUT\r\n"
	if got := talk(t, "unix", at("imap"), login, "b "); !strings.Contains(got, "a OK") {
		t.Errorf("IMAP: %s", got)
	}
	talk(t, "unix", at("smtp"), "EHLO x\r\nQUIT\r\n", "221 ")
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _,
		_ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", at("http"))
	}}}
	resp, err := client.Get("http://localhost/health")
	if err != nil || resp.StatusCode != 200 {
		t.Errorf("health: %v, %v", resp, err)
	}
	second := gadwall(t, "", nil, "serve", "--data-dir", dir, "--imap-listen", "unix:"+at("imap"),
		"--lmtp-listen", "off", "--smtp-listen", "off", "--http-listen", "off")
	second.want(t, exitUsage, "another process listens on")
	s.stop(t)
	if entries, err := os.ReadDir(sockets); err != nil || len(entries) != 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

// A listener where nobody could log in is told of.
func TestNobodyCouldLogIn(t *testing.T) {
	for _, tt := range []struct {
		args []string
		warn bool
	}{
		{nil, true},
		{[]string{"--plaintext-login-from", "10.0.0.0/8"}, false},
		{writeCertificate(t, t.TempDir(), "mx.example.com", time.Now().AddDate(1, 0, 0)), false},
	} {
		s := startServer(t, append([]string{"--data-dir", dataDir(t), "--imap-listen", "0.0.0.0:0"}, tt.args...)...)
		s.stop(t)
		if got := strings.Contains(s.log.String(),
			"nobody but this machine can log in; set --tls-cert"); got != tt.warn {
			t.Errorf("%q: %s", tt.args, s.log)
		}
	}
}

// systemd is told when the server is ready, reloads and stops.
func TestNotify(t *testing.T) {
	dir := dataDir(t)
	sockets, err := os.MkdirTemp("", "gw")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(sockets)
	path := filepath.Join(sockets, "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	if err := socket.SetDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	want := func(state string) {
		t.Helper()
		b := make([]byte, 1000)
		n, err := socket.Read(b)
		if err != nil || !regexp.MustCompile("^"+state+"$").Match(b[:n]) {
			t.Fatalf("%q, %v; want %s", b[:n], err, state)
		}
	}
	s := startServerWith(t, []string{"NOTIFY_SOCKET=" + path}, "--data-dir", dir)
	want("READY=1")
	s.hangUp(t)
	want(`RELOADING=1\nMONOTONIC_USEC=\d+\n?`)
	want("READY=1")
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	want("STOPPING=1")
	s.cmd.Wait()
}

// Certificates that cannot be taken over are told of.
func TestReloadCertificates(t *testing.T) {
	files := &config.TLS{Cert: []string{"a"}, Key: []string{"b"}}
	var r reloader
	if err := r.reloadCertificates(files); err == nil || !strings.Contains(err.Error(), "restart") {
		t.Errorf("the first ones: %v", err)
	}
	if err := r.reloadCertificates(&config.TLS{}); err != nil {
		t.Errorf("none: %v", err)
	}
	r.certificates = new(listen.Certificates)
	if err := r.reloadCertificates(&config.TLS{Cert: []string{"a"}}); err == nil ||
		!strings.Contains(err.Error(), "belong together") {
		t.Errorf("no key: %v", err)
	}
	if err := r.reloadCertificates(files); err == nil || !strings.Contains(err.Error(), "certificate a") {
		t.Errorf("no file: %v", err)
	}
}
