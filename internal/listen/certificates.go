package listen

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A Pair names the files of a certificate chain and of its private key, both in PEM.
type Pair struct{ Certificate, Key string }

// Certificates are those of a server. A Certificates is safe for concurrent use.
type Certificates struct {
	current atomic.Pointer[[]certificate]
}

type certificate struct {
	file string
	tls.Certificate
}

var expiryDesc = prometheus.NewDesc("gadwall_tls_certificate_expiry_timestamp_seconds",
	"When the certificate ends.", []string{"file"}, nil)

var _ prometheus.Collector = (*Certificates)(nil)

// LoadCertificates reads certificates. The first is for clients that ask for no name, or for one
// that no certificate has.
func LoadCertificates(pairs []Pair) (*Certificates, error) {
	c := new(Certificates)
	return c, c.Load(pairs)
}

// Load reads the files and uses what is in them from the next handshake on. After an error all
// certificates stay as they were.
func (c *Certificates) Load(pairs []Pair) error {
	if len(pairs) == 0 {
		return errors.New("no certificates")
	}
	var list []certificate
	for _, p := range pairs {
		pair, err := tls.LoadX509KeyPair(p.Certificate, p.Key)
		if err != nil {
			return fmt.Errorf("certificate %s: %w", p.Certificate, err)
		}
		list = append(list, certificate{p.Certificate, pair})
	}
	c.current.Store(&list)
	return nil
}

// Config returns a configuration that uses the certificates, also those of later Loads.
func (c *Certificates) Config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.choose}
}

// choose returns the first certificate that suits the name and the algorithms of a client, or the
// first one: the client then decides.
func (c *Certificates) choose(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	list := *c.current.Load()
	for i := range list {
		if hello.SupportsCertificate(&list[i].Certificate) == nil {
			return &list[i].Certificate, nil
		}
	}
	return &list[0].Certificate, nil
}

// Warn logs certificates that end soon or have ended, and what the others are.
func (c *Certificates) Warn(log *slog.Logger, now time.Time) {
	for _, cert := range *c.current.Load() {
		end := cert.Leaf.NotAfter
		about := []any{"file", cert.file, "names", strings.Join(cert.Leaf.DNSNames, " "),
			"ends", end.UTC().Format(time.RFC3339)}
		switch left := end.Sub(now); {
		case left <= 0:
			log.Error("a TLS certificate has ended: clients refuse it; renew it and send SIGHUP", about...)
		case left < ExpiryWarning:
			log.Warn("a TLS certificate ends soon: renew it and send SIGHUP",
				append(about, "days_left", int(left.Hours()/24))...)
		default:
			log.Debug("TLS certificate", about...)
		}
	}
}

// Describe implements prometheus.Collector.
func (c *Certificates) Describe(ch chan<- *prometheus.Desc) { ch <- expiryDesc }

// Collect implements prometheus.Collector.
func (c *Certificates) Collect(ch chan<- prometheus.Metric) {
	list := slices.Clone(*c.current.Load())
	list = slices.CompactFunc(list, func(a, b certificate) bool { return a.file == b.file })
	for _, cert := range list {
		ch <- prometheus.MustNewConstMetric(expiryDesc, prometheus.GaugeValue,
			float64(cert.Leaf.NotAfter.Unix()), cert.file)
	}
}
