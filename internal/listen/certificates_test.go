package listen

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// writePair makes a certificate for a name.
func writePair(t *testing.T, dir, name string, end time.Time) Pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(end.Unix()),
		Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: end.Add(-1000 * time.Hour), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	p := Pair{filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")}
	for file, block := range map[string]*pem.Block{
		p.Certificate: {Type: "CERTIFICATE", Bytes: der}, p.Key: {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// presented is the certificate that a client sees who asks for a name.
func presented(t *testing.T, config *tls.Config, name string) *x509.Certificate {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	go func() {
		defer far.Close()
		tls.Server(far, config).Handshake()
	}()
	client := tls.Client(near, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	return client.ConnectionState().PeerCertificates[0]
}

func TestCertificates(t *testing.T) {
	dir := t.TempDir()
	now := time.Now().Truncate(time.Second)
	one := writePair(t, dir, "one.example.com", now.Add(100*24*time.Hour))
	two := writePair(t, dir, "two.example.com", now.Add(20*24*time.Hour))
	c, err := LoadCertificates([]Pair{one, two})
	if err != nil {
		t.Fatal(err)
	}
	config := c.Config()
	for name, want := range map[string]string{"one.example.com": "one", "two.example.com": "two",
		"other.example.com": "one", "": "one"} {
		if got := presented(t, config, name).Subject.CommonName; got != want+".example.com" {
			t.Errorf("%q got %s", name, got)
		}
	}

	warnings := func(at time.Time) string {
		var log bytes.Buffer
		c.Warn(slog.New(slog.NewTextHandler(&log, nil)), at)
		return log.String()
	}
	if got := warnings(now); !strings.Contains(got, "level=WARN") || strings.Contains(got, "one.example.com") ||
		!strings.Contains(got, "days_left=19") && !strings.Contains(got, "days_left=20") {
		t.Errorf("now: %s", got)
	}
	if got := warnings(now.Add(-2 * 24 * time.Hour)); got != "" {
		t.Errorf("22 days before: %s", got)
	}
	if got := warnings(now.Add(21 * 24 * time.Hour)); !strings.Contains(got, "level=ERROR") {
		t.Errorf("after the end: %s", got)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil || len(families) != 1 || len(families[0].Metric) != 2 ||
		families[0].Metric[0].GetGauge().GetValue() != float64(now.Add(100*24*time.Hour).Unix()) {
		t.Errorf("metrics %v, %v", families, err)
	}

	// New files are used from the next handshake on; files that are of no use change nothing.
	writePair(t, dir, "one.example.com", now.Add(200*24*time.Hour))
	if err := c.Load([]Pair{one, two}); err != nil {
		t.Fatal(err)
	}
	renewed := now.Add(200 * 24 * time.Hour)
	if got := presented(t, config, "one.example.com").NotAfter; !got.Equal(renewed) {
		t.Errorf("ends %v, want %v", got, renewed)
	}
	if err := os.WriteFile(one.Certificate, []byte("half a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Load([]Pair{one, two}); err == nil || !strings.Contains(err.Error(), one.Certificate) {
		t.Errorf("a broken file: %v", err)
	}
	if got := presented(t, config, "one.example.com").NotAfter; !got.Equal(renewed) {
		t.Errorf("after a broken file: ends %v", got)
	}
}
