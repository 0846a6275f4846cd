package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"gadwall/internal/mailstore"
	"gadwall/internal/smarthost"
	"gadwall/internal/submission"
)

// Submission says how users send mail.
type Submission struct {
	Smarthost             string   `name:"smarthost" env:"GADWALL_SMARTHOST" placeholder:"HOST:PORT" help:"Server that sends submitted mail into the world."`
	SmarthostTLS          string   `name:"smarthost-tls" env:"GADWALL_SMARTHOST_TLS" default:"starttls" enum:"starttls,tls,none" help:"How connections to the smarthost are encrypted: starttls, tls (from the first octet), none."`
	SmarthostTLSName      string   `name:"smarthost-tls-name" env:"GADWALL_SMARTHOST_TLS_NAME" placeholder:"NAME" help:"Name that the smarthost's certificate must have; default: that of --smarthost."`
	SmarthostTLSCA        string   `name:"smarthost-tls-ca" env:"GADWALL_SMARTHOST_TLS_CA" placeholder:"FILE" help:"Certificates in PEM that the smarthost's certificate must lead to; default: those of the system."`
	SmarthostTLSInsecure  bool     `name:"smarthost-tls-insecure" env:"GADWALL_SMARTHOST_TLS_INSECURE" help:"Take any certificate of the smarthost."`
	SmarthostUser         string   `name:"smarthost-user" env:"GADWALL_SMARTHOST_USER" placeholder:"NAME" help:"Log in to the smarthost; needs --smarthost-password-file."`
	SmarthostPasswordFile string   `name:"smarthost-password-file" env:"GADWALL_SMARTHOST_PASSWORD_FILE" placeholder:"FILE" help:"File whose first line is the password; it is read for each connection."`
	SmarthostConnections  int      `name:"smarthost-connections" env:"GADWALL_SMARTHOST_CONNECTIONS" default:"20" placeholder:"N" help:"Most connections to the smarthost; one user has a quarter of them at most."`
	SmarthostTimeout      Duration `name:"smarthost-timeout" env:"GADWALL_SMARTHOST_TIMEOUT" default:"5m" help:"How long to wait for each answer of the smarthost; twice as long after a message."`

	SubmissionSenders        string `name:"submission-senders" env:"GADWALL_SUBMISSION_SENDERS" default:"own" enum:"own,catch-all,any" help:"Addresses that a user may name in MAIL FROM: own (user name, aliases, both with +detail), catch-all (also those of *@domain), any."`
	SubmissionFrom           string `name:"submission-from" env:"GADWALL_SUBMISSION_FROM" default:"own" enum:"own,catch-all,any" help:"Addresses that the From field of a message may have, likewise."`
	SubmissionMasterSenders  string `name:"submission-master-senders" env:"GADWALL_SUBMISSION_MASTER_SENDERS" default:"own" enum:"own,catch-all,any" help:"Addresses that a master user may send as who acts for another user: those of that user, likewise."`
	SubmissionMessageLimit   int64  `name:"submission-message-limit" env:"GADWALL_SUBMISSION_MESSAGE_LIMIT" default:"500" placeholder:"N" help:"Most messages that a user may send within an hour; 0 for no limit."`
	SubmissionRecipientLimit int64  `name:"submission-recipient-limit" env:"GADWALL_SUBMISSION_RECIPIENT_LIMIT" default:"2000" placeholder:"N" help:"Most recipients of a user's messages within an hour; 0 for no limit."`
	SubmissionNoCopy         bool   `name:"submission-no-copy" env:"GADWALL_SUBMISSION_NO_COPY" help:"Keep no copy of sent messages: clients save their own."`
}

// minSmarthostTimeout is the least --smarthost-timeout.
const minSmarthostTimeout = time.Second

// check reports the first setting that cannot work. It reads files.
func (s *Submission) check() error {
	if s.SmarthostConnections < 1 {
		return errors.New("--smarthost-connections: want at least 1")
	}
	if s.SmarthostTimeout < Duration(minSmarthostTimeout) {
		return fmt.Errorf("--smarthost-timeout: want at least %v", Duration(minSmarthostTimeout))
	}
	if s.SubmissionMessageLimit < 0 || s.SubmissionRecipientLimit < 0 {
		return errors.New("--submission-message-limit, --submission-recipient-limit: must not be negative; " +
			"0 is no limit")
	}
	if (s.SmarthostUser == "") != (s.SmarthostPasswordFile == "") {
		return errors.New("--smarthost-user and --smarthost-password-file belong together")
	}
	if s.Smarthost == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(s.Smarthost)
	if n, bad := strconv.ParseUint(port, 10, 16); err != nil || host == "" || bad != nil || n == 0 {
		return fmt.Errorf("--smarthost: %q is not host:port", s.Smarthost)
	}
	if s.SmarthostUser != "" {
		if s.SmarthostTLS == "none" && !IsLocal(s.Smarthost) {
			return errors.New("--smarthost-user: the password would go over the network in clear; set --smarthost-tls")
		}
		if _, err := smarthost.ReadPassword(s.SmarthostPasswordFile); err != nil {
			return fmt.Errorf("--smarthost-password-file: %w", err)
		}
	}
	_, err = s.tlsConfig()
	return err
}

// tlsConfig makes the configuration of connections to the smarthost.
func (s *Submission) tlsConfig() (*tls.Config, error) {
	host, _, err := net.SplitHostPort(s.Smarthost)
	if err != nil {
		return nil, err
	}
	c := &tls.Config{ServerName: host, InsecureSkipVerify: s.SmarthostTLSInsecure, MinVersion: tls.VersionTLS12}
	if s.SmarthostTLSName != "" {
		c.ServerName = s.SmarthostTLSName
	}
	if s.SmarthostTLSCA != "" {
		text, err := os.ReadFile(s.SmarthostTLSCA)
		if err != nil {
			return nil, fmt.Errorf("--smarthost-tls-ca: %w", err)
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("--smarthost-tls-ca: %s has no certificate in PEM form", s.SmarthostTLSCA)
		}
	}
	return c, nil
}

var smarthostModes = map[string]smarthost.Mode{
	"starttls": smarthost.StartTLS, "tls": smarthost.TLS, "none": smarthost.Plain,
}

var senderRules = map[string]submission.Senders{
	"own": submission.OwnSenders, "catch-all": submission.CatchAllSenders, "any": submission.AnySender,
}

// SubmissionOptions returns what the settings say of submission, which check has accepted. The caller
// adds the rest.
func (s *Serve) SubmissionOptions() (smarthost.Options, submission.Options) {
	encryption, _ := s.tlsConfig() // check has read the file
	return smarthost.Options{
			Address: s.Smarthost, Hostname: s.Hostname, Mode: smarthostModes[s.SmarthostTLS], TLS: encryption,
			User: s.SmarthostUser, PasswordFile: s.SmarthostPasswordFile,
			Connections: s.SmarthostConnections, Timeout: time.Duration(s.SmarthostTimeout),
		}, submission.Options{
			Hostname: s.Hostname, Senders: senderRules[s.SubmissionSenders], From: senderRules[s.SubmissionFrom],
			MasterSenders: senderRules[s.SubmissionMasterSenders],
			Limit: mailstore.Sending{Messages: s.SubmissionMessageLimit,
				Recipients: s.SubmissionRecipientLimit},
			MaxMessageSize: int64(s.MaxMessageSize), NoCopy: s.SubmissionNoCopy,
		}
}
