package target

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"gadwall/internal/imapconn"
)

// TLS says where TLS begins on connections to IMAP.
type TLS string

// The values of TLS; the zero value is NoTLS, too.
const (
	NoTLS    TLS = "none"
	StartTLS TLS = "starttls"
	Implicit TLS = "tls" // from the first octet on
)

// Layers are between clients and IMAP. The zero value has none.
type Layers struct {
	TLS      TLS
	Compress bool // COMPRESS=DEFLATE (RFC 4978), once the client has logged in
}

// Params are parameters of measurements, by which results with and without layers are told apart.
func (l Layers) Params() map[string]float64 {
	params := make(map[string]float64)
	if l.TLS == StartTLS || l.TLS == Implicit {
		params[string(l.TLS)] = 1
	}
	if l.Compress {
		params["deflate"] = 1
	}
	return params
}

// DialIMAP connects, with TLS if the target has it. It takes any certificate: it sends nothing that is
// secret to anybody but those who run the measurement.
func (t *Target) DialIMAP(timeout time.Duration) (*imapconn.Conn, error) {
	config := &tls.Config{InsecureSkipVerify: true}
	if t.Layers.TLS == Implicit {
		return imapconn.DialTLS(t.IMAP, config, timeout)
	}
	c, err := imapconn.Dial(t.IMAP, timeout)
	if err != nil || t.Layers.TLS != StartTLS {
		return c, err
	}
	if err := c.StartTLS(config); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Login logs in on a connection of DialIMAP, and then compresses it if the target does that.
func (t *Target) Login(c *imapconn.Conn, user int) error {
	if _, err := c.Must("LOGIN %q %q", t.User(user), t.Password); err != nil {
		return err
	}
	if !t.Layers.Compress {
		return nil
	}
	return c.Compress()
}

// certificateTime is how long the certificate of a server of ours is valid.
const certificateTime = 48 * time.Hour

// writeCertificate makes a certificate for a server on loopback, and writes it and its key into files
// in dir.
func writeCertificate(dir string) (certificate, key string, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()),
		Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certificateTime)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return "", "", err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", "", err
	}
	certificate, key = filepath.Join(dir, "certificate.pem"), filepath.Join(dir, "key.pem")
	if err := writePEM(certificate, "CERTIFICATE", der); err != nil {
		return "", "", err
	}
	return certificate, key, writePEM(key, "PRIVATE KEY", secret)
}

func writePEM(file, kind string, octets []byte) error {
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: octets}), 0o600)
}

// flags make a server in dir speak TLS.
func (l Layers) flags(dir string) ([]string, error) {
	if l.TLS != StartTLS && l.TLS != Implicit {
		return nil, nil
	}
	certificate, key, err := writeCertificate(dir)
	list := []string{"--tls-cert", certificate, "--tls-key", key}
	if l.TLS == Implicit {
		list = append(list, "--imaps-listen", "127.0.0.1:0")
	}
	return list, err
}

// listener is the name of the listener that clients use.
func (l Layers) listener() string {
	if l.TLS == Implicit {
		return "IMAPS"
	}
	return "IMAP"
}
