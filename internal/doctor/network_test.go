package doctor

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/config"
	"gadwall/internal/mailstore"
	"gadwall/internal/node"
)

// says starts a server that says a text to each client, reads a line if there is a second text, and says
// that.
func says(t *testing.T, first, second string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, first) // a client that left reads nothing
			if second != "" {
				var line [200]byte
				_, _ = conn.Read(line[:])
				_, _ = io.WriteString(conn, second)
			}
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	return l.Addr().String()
}

func TestListeners(t *testing.T) {
	look := func(addr string) []Finding {
		return examine(t, listeners, Options{}, func(o *Options) { o.Serve.IMAPListen = addr })
	}
	only(t, look("127.0.0.1:0"), "and one could")
	only(t, look(says(t, "* OK [CAPABILITY IMAP4rev1] mail.example.com Gadwall ready\r\n", "")), "a Gadwall answers")
	want(t, look(says(t, "* OK Dovecot ready.\r\n", "")), Problem, `another server has the address: "* OK Dovecot ready."`)
	want(t, look(says(t, "", "")), Problem, "does not greet")
	want(t, look("192.0.2.1:143"), Problem, "no such address")
	want(t, look("nowhere.invalid:143"), Problem, "--imap-listen nowhere.invalid:143")
	dir := t.TempDir()
	only(t, look("unix:"+filepath.Join(dir, "imap.sock")), "and one could")
	want(t, look("unix:"+filepath.Join(dir, "none", "imap.sock")), Problem, "no such file or directory")
	if list, err := os.ReadDir(dir); err != nil || len(list) != 0 {
		t.Errorf("the look left %v, %v", list, err)
	}
	health := says(t, "", "HTTP/1.1 200 OK\r\nContent-Length: 31\r\n\r\n{\"success\":true,\"status\":\"ok\"}\n")
	only(t, examine(t, listeners, Options{}, func(o *Options) {
		o.Serve.IMAPListen, o.Serve.HTTPListen = config.Off, health
	}), "a Gadwall answers")
	only(t, examine(t, listeners, Options{}, func(o *Options) {
		o.Serve.IMAPListen, o.Serve.TrustedProxies.Unix = health, true
	}), "a server listens")
}

func TestSmarthost(t *testing.T) {
	look := func(host string) []Finding {
		return examine(t, smarthost, Options{}, func(o *Options) {
			o.Serve.Smarthost,
				o.Serve.SmarthostTLS = host, "starttls"
		})
	}
	const greeting = "220 mx.example.net ESMTP\r\n"
	only(t, look(""), "There is no smarthost")
	only(t, look(says(t, greeting, "250-mx.example.net\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n")), "answers")
	want(t, look(says(t, greeting, "250-mx.example.net\r\n250 SIZE\r\n")), Problem, "offers no STARTTLS")
	plain := says(t, greeting, "250-mx.example.net\r\n250 SIZE\r\n")
	only(t, examine(t, smarthost, Options{}, func(o *Options) {
		o.Serve.Smarthost, o.Serve.SmarthostTLS = plain, "none"
	}), "answers")
	want(t, look(says(t, "554 Go away\r\n", "")), Problem, `"554 Go away"`)
	want(t, look("127.0.0.1:1"), Problem, "cannot be reached")
}

// issue writes a certificate and its key, and returns the files and the authority that signed it.
func issue(t *testing.T, name string, begin, end time.Time) (cert, key string, roots *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: begin, NotAfter: end, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{
		cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: raw},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots = x509.NewCertPool()
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(parsed)
	return cert, key, roots
}

func TestCertificates(t *testing.T) {
	now := time.Now()
	look := func(name string, begin, end time.Duration, change func(o *Options)) []Finding {
		cert, key, roots := issue(t, name, now.Add(begin), now.Add(end))
		return examine(t, certificates, Options{}, func(o *Options) {
			o.Serve.Cert, o.Serve.Key, o.Roots = []string{cert}, []string{key}, roots
			if change != nil {
				change(o)
			}
		})
	}
	const day, name = 24 * time.Hour, "mail.example.com"
	only(t, examine(t, certificates, Options{}, nil), "no certificate")
	only(t, look(name, -day, 90*day, nil), "is for mail.example.com")
	want(t, look(name, -day, 10*day+time.Hour, nil), Warning, "ends in 10 days")
	want(t, look(name, -3*day, -day, nil), Problem, "clients refuse it")
	want(t, look(name, day, 90*day, nil), Problem, "begins on")
	want(t, look("other.example.com", -day, 90*day, nil), Warning, "No certificate is for the hostname")
	want(t, look(name, -day, 90*day, func(o *Options) { o.Roots = x509.NewCertPool() }), Warning, "no authority")
	want(t, look(name, -day, 90*day, func(o *Options) { o.Serve.Key = o.Serve.Cert }), Problem, "cert.pem")
	want(t, look(name, -day, 90*day, func(o *Options) {
		if err := os.Chmod(o.Serve.Key[0], 0o644); err != nil {
			t.Fatal(err)
		}
	}), Warning, "can read the key")
}

// Examine works without a database, with one that nobody has open, and with one that cannot be reached.
// It leaves what it looks at as it was.
func TestStorage(t *testing.T) {
	dir := t.TempDir()
	o := Options{Serve: settings(), Resolver: names0, Version: "1.0"}
	o.Serve.DataDir, o.Serve.MongoDBDatabase = filepath.Join(dir, "data"), "gadwall"
	want(t, Examine(t.Context(), o), OK, "There is no database")
	if list, err := os.ReadDir(dir); err != nil || len(list) != 0 {
		t.Errorf("the look left %v, %v", list, err)
	}
	open := o
	open.Serve.HTTPListen = ":8080"
	want(t, Examine(t.Context(), open), Problem, "will not start: --http-listen :8080 is beyond loopback")
	n, err := node.Open(t.Context(), node.Options{Storage: o.Serve.Storage, Access: node.Serving, Version: "0.9",
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	list := Examine(t.Context(), o)
	want(t, list, OK, "Transactions work")
	want(t, list, OK, "clocks of this machine and of the database agree")
	want(t, list, OK, "and all indexes")
	want(t, list, OK, "(0.9)")
	want(t, Examine(t.Context(), open), Problem, "there is no token for everything")
	admin := mailstore.Token{Name: "admin", Scopes: []string{"all"}}
	if _, _, err := n.Mail.CreateToken(t.Context(), admin); err != nil {
		t.Fatal(err)
	}
	want(t, Examine(t.Context(), open), OK, "has a token for the HTTP API")
	o.Now = func() time.Time { return time.Now().Add(time.Minute) }
	want(t, Examine(t.Context(), o), Warning, "of the database differ by")
	if _, err := n.Database.Collection("messages").InsertOne(t.Context(), bson.D{
		{Key: "_id", Value: bson.Binary{Data: make([]byte, 16)}}}); err != nil {
		t.Fatal(err)
	}
	if err := n.Database.Collection("messages").Indexes().DropOne(t.Context(), "modseq"); err != nil {
		t.Fatal(err)
	}
	want(t, Examine(t.Context(), o), Problem, "messages.modseq is missing")
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	list = Examine(t.Context(), o)
	want(t, list, Problem, "messages.modseq is missing")
	want(t, list, OK, "No instance is running")

	o.Serve.MongoDBURI = "mongodb://127.0.0.1:1/?directConnection=true&serverSelectionTimeoutMS=2000"
	want(t, Examine(t.Context(), o), Problem, "127.0.0.1:1: connection refused")
	o.Serve.MongoDBURI = "mongodb://nowhere.invalid/"
	want(t, Examine(t.Context(), o), Problem, "nowhere.invalid")
}
