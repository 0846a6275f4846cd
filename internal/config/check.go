package config

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/mail"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

const (
	// minMessageSize and maxMessageSize bound --max-message-size. IMAP's sizes
	// (RFC 3501 "number") and BDAT's chunks have 32 bits.
	minMessageSize = 64 << 10
	maxMessageSize = 4<<30 - 1
	// minToken is the least length of --http-token, in characters.
	minToken = 16
	// minGCInterval is the least --gc-interval.
	minGCInterval = time.Minute
	// minCheckInterval is the least --check-interval.
	minCheckInterval = time.Hour
)

// Check reports the first setting that cannot work. It reads files but writes
// nothing.
func (s *Storage) Check() error {
	if s.MongoDBDatabase == "" || strings.ContainsAny(s.MongoDBDatabase, "/\\. \"$*<>:|?\x00") || len(s.MongoDBDatabase) > 63 {
		return errors.New("--mongodb-database: not a valid name")
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
		if err := options.Client().ApplyURI(s.MongoDBURI).Validate(); err != nil {
			return errors.New("--mongodb-uri: not a valid MongoDB URI, which looks like mongodb://host1,host2/?replicaSet=name")
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

// Embedded says whether the embedded database is used.
func (s *Storage) Embedded() bool { return s.MongoDBURI == "" }

// Check reports the first setting that cannot work, and fills in the host name. It
// reads files but writes nothing.
func (s *Serve) Check() error {
	if err := s.Storage.Check(); err != nil {
		return err
	}
	if s.SubmissionListen != Off {
		if err := checkAddress(s.SubmissionListen); err != nil {
			return fmt.Errorf("--submission-listen: %w", err)
		}
	}
	listening := 0
	for _, l := range s.listeners() {
		if l.addr == Off {
			continue
		}
		listening++
		if err := checkAddress(l.addr); err != nil {
			return fmt.Errorf("--%s: %w", l.flag, err)
		}
	}
	if listening == 0 {
		return errors.New("every listener is off, there is nothing to serve")
	}
	if s.HTTPListen != Off && s.HTTPToken == "" && !IsLoopback(s.HTTPListen) {
		return errors.New("--http-listen: beyond loopback, --http-token is required")
	}
	if s.HTTPToken != "" && (len(s.HTTPToken) < minToken || strings.ContainsFunc(s.HTTPToken, func(r rune) bool { return r <= ' ' || r >= 0x7f })) {
		return fmt.Errorf("--http-token: want at least %d printable ASCII characters without spaces", minToken)
	}
	if (s.TLSCert == "") != (s.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key belong together")
	}
	if s.IMAPSListen != Off && s.TLSCert == "" {
		return errors.New("--imaps-listen: needs --tls-cert and --tls-key")
	}
	if _, err := s.TLSConfig(); err != nil {
		return err
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
	if s.GCInterval != 0 && s.GCInterval < minGCInterval {
		return fmt.Errorf("--gc-interval: want 0 or at least %v", minGCInterval)
	}
	if s.GCGrace < 0 {
		return errors.New("--gc-grace: must not be negative")
	}
	if s.CheckInterval != 0 && s.CheckInterval < minCheckInterval {
		return fmt.Errorf("--check-interval: want 0 or at least %v", minCheckInterval)
	}
	if s.Smarthost != "" {
		return errors.New("--smarthost: submission is not part of this version")
	}
	return nil
}

type listener struct{ flag, addr string }

func (s *Serve) listeners() []listener {
	return []listener{
		{"imap-listen", s.IMAPListen}, {"imaps-listen", s.IMAPSListen}, {"lmtp-listen", s.LMTPListen},
		{"smtp-listen", s.SMTPListen}, {"http-listen", s.HTTPListen},
	}
}

func checkAddress(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q is not host:port or %s", addr, Off)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q has no valid port number", addr)
	}
	return nil
}

// IsLoopback says whether only this machine reaches a listener at host:port.
func IsLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// TLSConfig loads the certificate; it is nil when none is configured.
func (s *Serve) TLSConfig() (*tls.Config, error) {
	if s.TLSCert == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(s.TLSCert, s.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
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
