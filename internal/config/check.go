package config

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/mail"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/listen"
)

const (
	// maxServerEntry bounds what IMAP clients read of the server.
	maxServerEntry = 1024
	// minMessageSize and maxMessageSize bound --max-message-size. IMAP's sizes
	// (RFC 3501 "number") and BDAT's chunks have 32 bits.
	minMessageSize = 64 << 10
	maxMessageSize = 4<<30 - 1
	// minToken is the least length of --http-token, in characters.
	minToken = 16
	// minJournalKept and maxJournalKept bound --journal-kept.
	minJournalKept = 24 * time.Hour
	// minAuthlogKept bounds --authlog-kept.
	minAuthlogKept = time.Hour
	maxJournalKept = 10 * 365 * 24 * time.Hour
	// minExpire is the least --expire-trash and --expire-junk.
	minExpire = 24 * time.Hour
	// minGCInterval is the least --gc-interval.
	minGCInterval = time.Minute
	// MinCheckTempSize is the least --check-temp-size.
	MinCheckTempSize = 64 << 20
	// minCheckInterval is the least --check-interval.
	minCheckInterval = time.Hour
)

// Check reports the first setting that cannot work. It reads files but writes
// nothing.
func (s *Storage) Check() error {
	if s.MongoDBDatabase == "" || strings.ContainsAny(s.MongoDBDatabase, "/\\. \"$*<>:|?\x00") ||
		len(s.MongoDBDatabase) > 63 {
		return errors.New("--mongodb-database: not a valid name")
	}
	if s.Connections < 0 || s.ReadConnections < 0 {
		return errors.New("--mongodb-connections, --mongodb-read-connections: must not be negative; 0 is the default")
	}
	if s.RedisURL != "" {
		if _, err := redis.ParseURL(s.RedisURL); err != nil {
			return errors.New("--redis-url: not a valid URL, which looks like redis://host:6379/0")
		}
	}
	if err := s.Quota.Check(); err != nil {
		return err
	}
	if s.MongoDBURI != "" {
		// The driver's messages may quote the URI with its password.
		err := options.Client().ApplyURI(s.MongoDBURI).Validate()
		var lookup *net.DNSError
		switch {
		case errors.As(err, &lookup): // of mongodb+srv
			return fmt.Errorf("--mongodb-uri: cannot look up %s: %s", lookup.Name, lookup.Err)
		case unreadable(s.MongoDBURI) != nil:
			return unreadable(s.MongoDBURI)
		case err != nil:
			return errors.New("--mongodb-uri: not a valid MongoDB URI, which looks like " +
				"mongodb://host1,host2/?replicaSet=name")
		}
		return nil
	}
	if s.DataDir == "" {
		return errors.New("--data-dir: must not be empty")
	}
	switch fi, err := os.Stat(s.DataDir); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("--data-dir: %w", err)
	case !fi.IsDir():
		return fmt.Errorf("--data-dir: %s is not a directory", s.DataDir)
	}
	return nil
}

// unreadable says which file that a MongoDB URI names cannot be used, if it is that.
func unreadable(uri string) error {
	_, query, _ := strings.Cut(uri, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil
	}
	for name, files := range values {
		switch strings.ToLower(name) {
		case "tlscafile", "tlscertificatekeyfile", "tlscertificatefile", "tlsprivatekeyfile",
			"sslcertificateauthorityfile", "sslclientcertificatekeyfile":
		default:
			continue
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			switch {
			case err != nil:
				return fmt.Errorf("--mongodb-uri: %s: %w", name, err)
			case !bytes.Contains(text, []byte("-----BEGIN ")):
				return fmt.Errorf("--mongodb-uri: %s: %s has nothing in PEM form", name, file)
			}
		}
	}
	return nil
}

// Embedded says whether the embedded database is used.
func (s *Storage) Embedded() bool { return s.MongoDBURI == "" }

// Check reports the first setting that cannot work, and fills in the host name. It
// reads files but writes nothing.
func (s *Serve) Check() error {
	if err := s.Storage.Check(); err != nil {
		return err
	}
	if err := s.Listeners.check(s.Smarthost != ""); err != nil {
		return err
	}
	if err := s.TLS.check(); err != nil {
		return err
	}
	if err := s.Logins.check(); err != nil {
		return err
	}
	if s.IMAPSListen != Off && len(s.Cert) == 0 {
		return errors.New("--imaps-listen: needs --tls-cert and --tls-key")
	}
	if s.SubmissionsListen != Off && (len(s.Cert) == 0 || s.Smarthost == "") {
		return errors.New("--submissions-listen: needs --tls-cert and --tls-key, and --smarthost")
	}
	if s.MaxConnectionsPerAddress < 1 || s.MaxConnectionsPerUser < 1 {
		return errors.New("--max-connections-per-address, --max-connections-per-user: want at least 1")
	}
	if s.MaxCommandsPerMinute < 0 {
		return errors.New("--max-commands-per-minute: want 0 or more")
	}
	if s.MaxMailConnections < 1 || s.MaxMailConnectionsPerAddress < 1 {
		return errors.New("--max-mail-connections, --max-mail-connections-per-address: want at least 1")
	}
	if err := s.checkHostname(); err != nil {
		return err
	}
	if s.MaxMessageSize < minMessageSize || s.MaxMessageSize > maxMessageSize {
		return fmt.Errorf("--max-message-size: want %v to %d octets", Size(minMessageSize), maxMessageSize)
	}
	if s.Postmaster != "" {
		if _, err := mail.ParseAddress(s.Postmaster); err != nil || strings.ContainsAny(s.Postmaster, "<> ") {
			return fmt.Errorf("--postmaster: %q is not an address", s.Postmaster)
		}
	}
	if len(s.ServerComment) > maxServerEntry {
		return fmt.Errorf("--server-comment: longer than %d octets", maxServerEntry)
	}
	// RFC 5464 section 3.2.1.1 wants a URI.
	u, err := url.Parse(s.AdminURI)
	if err != nil || s.AdminURI != "" && u.Scheme == "" || len(s.AdminURI) > maxServerEntry {
		return fmt.Errorf("--admin-uri: %q is not a URI such as mailto:admin@example.com", s.AdminURI)
	}
	if s.JournalKept < Duration(minJournalKept) || s.JournalKept > Duration(maxJournalKept) {
		return fmt.Errorf("--journal-kept: want %v to %v", Duration(minJournalKept), Duration(maxJournalKept))
	}
	if s.AuthlogKept < Duration(minAuthlogKept) || s.AuthlogKept > Duration(maxJournalKept) {
		return fmt.Errorf("--authlog-kept: want %v to %v", Duration(minAuthlogKept), Duration(maxJournalKept))
	}
	for _, m := range s.MasterUsers {
		if _, err := mail.ParseAddress(m); err != nil || strings.ContainsAny(m, "<> ") {
			return fmt.Errorf("--master-users: %q is not the name of a user", m)
		}
	}
	if s.GCInterval != 0 && s.GCInterval < Duration(minGCInterval) {
		return fmt.Errorf("--gc-interval: want 0s or at least %v", Duration(minGCInterval))
	}
	for flag, d := range map[string]Duration{"expire-trash": s.ExpireTrash, "expire-junk": s.ExpireJunk} {
		if d != 0 && d < Duration(minExpire) {
			return fmt.Errorf("--%s: want 0s or at least %v", flag, Duration(minExpire))
		}
	}
	if s.GCGrace < 0 {
		return errors.New("--gc-grace: must not be negative")
	}
	if s.CheckInterval != 0 && s.CheckInterval < Duration(minCheckInterval) {
		return fmt.Errorf("--check-interval: want 0s or at least %v", Duration(minCheckInterval))
	}
	if s.CheckTempSize < MinCheckTempSize {
		return fmt.Errorf("--check-temp-size: want at least %v", Size(MinCheckTempSize))
	}
	return s.Submission.check()
}

// A Listener is where one protocol listens.
type Listener struct {
	Flag string
	Addr string // or Off
}

// All returns the listeners. Those for submission are off without a smarthost.
func (l *Listeners) All(smarthost bool) []Listener {
	list := []Listener{
		{"imap-listen", l.IMAPListen}, {"imaps-listen", l.IMAPSListen}, {"lmtp-listen", l.LMTPListen},
		{"smtp-listen", l.SMTPListen}, {"http-listen", l.HTTPListen},
	}
	if smarthost {
		list = append(list, Listener{"submission-listen", l.SubmissionListen},
			Listener{"submissions-listen", l.SubmissionsListen})
	}
	return list
}

func (l *Listeners) check(smarthost bool) error {
	if l.SubmissionListen != Off && !smarthost {
		if _, err := listen.ParseAddress(l.SubmissionListen); err != nil {
			return fmt.Errorf("--submission-listen: %w, or %s", err, Off)
		}
	}
	listening := 0
	for _, at := range l.All(smarthost) {
		if at.Addr == Off {
			continue
		}
		listening++
		if _, err := listen.ParseAddress(at.Addr); err != nil {
			return fmt.Errorf("--%s: %w, or %s", at.Flag, err, Off)
		}
	}
	if listening == 0 {
		return errors.New("every listener is off, there is nothing to serve")
	}
	if l.HTTPURL != "" {
		u, err := url.Parse(l.HTTPURL)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" ||
			u.RawQuery != "" || u.Fragment != "" {
			return errors.New("--http-url: want the beginning of an address, such as https://mail.example.com")
		}
	}
	unprintable := func(r rune) bool { return r <= ' ' || r >= 0x7f }
	if l.HTTPToken != "" && (len(l.HTTPToken) < minToken || strings.ContainsFunc(l.HTTPToken, unprintable)) {
		return fmt.Errorf("--http-token: want at least %d printable ASCII characters without spaces", minToken)
	}
	return nil
}

// IsLocal says whether only this machine reaches a listener. Off is not reached at all.
func IsLocal(addr string) bool {
	a, err := listen.ParseAddress(addr)
	return err == nil && a.IsLocal()
}

func (t *TLS) check() error {
	if len(t.Cert) != len(t.Key) {
		return errors.New("--tls-cert and --tls-key belong together: want as many of one as of the other")
	}
	if _, err := t.Certificates(); err != nil {
		return err
	}
	if t.ClientCA != "" && len(t.Cert) == 0 {
		return errors.New("--tls-client-ca: needs --tls-cert and --tls-key")
	}
	_, err := t.ClientCAs()
	return err
}

// ClientCAs loads the authorities of client certificates; it is nil when none is configured.
func (t *TLS) ClientCAs() (*x509.CertPool, error) {
	if t.ClientCA == "" {
		return nil, nil
	}
	text, err := os.ReadFile(t.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("--tls-client-ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("--tls-client-ca: %s has no certificates in PEM form", t.ClientCA)
	}
	return pool, nil
}

// Pairs returns the files.
func (t *TLS) Pairs() []listen.Pair {
	pairs := make([]listen.Pair, len(t.Cert))
	for i := range pairs {
		pairs[i] = listen.Pair{Certificate: t.Cert[i], Key: t.Key[i]}
	}
	return pairs
}

// Certificates loads the certificates; it is nil when none is configured.
func (t *TLS) Certificates() (*listen.Certificates, error) {
	if len(t.Cert) == 0 {
		return nil, nil
	}
	c, err := listen.LoadCertificates(t.Pairs())
	if err != nil {
		return nil, fmt.Errorf("--tls-cert: %w", err)
	}
	return c, nil
}

func (s *Serve) checkHostname() error {
	if s.Hostname == "" {
		name, err := os.Hostname()
		if err != nil || !isHostname(name) {
			name = "localhost"
		}
		s.Hostname = name
		return nil
	}
	if !isHostname(s.Hostname) {
		return fmt.Errorf("--hostname: %q is not a host name", s.Hostname)
	}
	return nil
}

// isHostname checks RFC 1123 section 2.1; the name stands in greetings and trace lines.
func isHostname(name string) bool {
	if len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "-") != label {
			return false
		}
		for _, r := range label {
			switch {
			case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '_':
			default:
				return false
			}
		}
	}
	return true
}

// NeedsToken reports whether HTTP listens where nobody may ask without a token or a password, and the
// settings have no token.
func (l *Listeners) NeedsToken() bool {
	return l.HTTPListen != Off && l.HTTPToken == "" && !IsLocal(l.HTTPListen)
}
