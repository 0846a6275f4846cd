package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"gadwall/internal/config"
	"gadwall/internal/listen"
)

// configuration looks at settings that cannot work, and at those that are likely not meant.
func configuration(_ context.Context, o *Options, f *findings) {
	s := &o.Serve
	if o.Refused != nil {
		f.problem("gadwall config show tells where each setting comes from.", "serve would not start: %v", o.Refused)
	} else {
		f.ok("The settings can work.")
	}
	local := true
	for _, n := range s.PlaintextLoginFrom {
		local = local && n.Addr().IsLoopback()
	}
	if beyond(s.IMAPListen) && len(s.Cert) == 0 && local {
		f.problem("Set --tls-cert and --tls-key; "+
			"or --trusted-proxies and --plaintext-login-from, for a proxy that ends TLS.",
			"IMAP listens at %s without TLS: nobody but this machine can log in.", s.IMAPListen)
	}
	if slices.ContainsFunc(s.PlaintextLoginFrom, func(n netip.Prefix) bool { return n.Bits() == 0 }) &&
		listen.Trusted(s.TrustedProxies).None() {
		f.warn("Name your proxies in --trusted-proxies, or narrow --plaintext-login-from.",
			"Every client may send its password without TLS.")
	}
	if beyond(s.LMTPListen) {
		f.warn("Let a firewall or a private network keep everybody but your mail servers from it.",
			"LMTP listens at %s: who reaches it can deliver anything to anybody.", s.LMTPListen)
	}
	if s.Postmaster == "" {
		f.warn("Set --postmaster (RFC 5321 section 4.5.1).", "Mail for <Postmaster> is refused.")
	}
	if s.GCInterval == 0 {
		f.warn("Set --gc-interval, or run gadwall gc now and then.", "Nobody deletes what nobody uses.")
	}
	if s.CheckInterval == 0 {
		f.warn("Set --check-interval, or run gadwall check now and then.", "Nobody checks the mail.")
	}
}

// beyond reports whether other machines reach a listener.
func beyond(addr string) bool { return addr != config.Off && !config.IsLocal(addr) }

// certificates looks at the files of TLS.
func certificates(_ context.Context, o *Options, f *findings) {
	s := &o.Serve
	if len(s.Cert) == 0 {
		f.ok("There is no certificate: STARTTLS is not offered.")
		return
	}
	if len(s.Cert) != len(s.Key) {
		return // a finding of the configuration
	}
	now, named := o.Now(), false
	for i, file := range s.Cert {
		pair, err := tls.LoadX509KeyPair(file, s.Key[i])
		if err != nil {
			f.problem("Name a chain and its key, both in PEM, that this user can read.", "%s: %v", file, err)
			continue
		}
		named = named || s.Hostname != "" && pair.Leaf.VerifyHostname(s.Hostname) == nil
		certificate(f, file, &pair, now, o.Roots)
		if fi, err := os.Stat(s.Key[i]); err == nil && fi.Mode().Perm()&0o004 != 0 {
			f.warn("chmod o-r "+s.Key[i], "Every user of this machine can read the key %s.", s.Key[i])
		}
	}
	if !named && s.Hostname != "" {
		f.warn("Add the name to a certificate, or set --hostname to the name that clients use.",
			"No certificate is for the hostname %s.", s.Hostname)
	}
}

func certificate(f *findings, file string, pair *tls.Certificate, now time.Time, roots *x509.CertPool) {
	end := pair.Leaf.NotAfter
	renew := "Renew it, and send SIGHUP to the server."
	switch left := end.Sub(now); {
	case left <= 0:
		f.problem(renew, "%s ended on %s: clients refuse it.", file, end.UTC().Format(time.DateOnly))
		return
	case now.Before(pair.Leaf.NotBefore):
		f.problem("Look at the clock of this machine.", "%s begins on %s only.", file,
			pair.Leaf.NotBefore.UTC().Format(time.DateOnly))
		return
	case left < listen.ExpiryWarning:
		f.warn(renew, "%s ends in %d days.", file, int(left.Hours()/24))
	}
	between := x509.NewCertPool()
	for _, der := range pair.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			between.AddCert(c)
		}
	}
	_, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now})
	if err != nil {
		f.warn("Put the certificates of the authorities between it and a known root behind it in the file, "+
			"unless clients know this authority otherwise.",
			"%s leads to no authority that this machine trusts: %v", file, err)
		return
	}
	f.ok("%s is for %s, until %s.", file, strings.Join(pair.Leaf.DNSNames, " "), end.UTC().Format(time.DateOnly))
}
