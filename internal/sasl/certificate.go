package sasl

import (
	"context"
	"slices"
	"strings"
	"unicode/utf8"

	"gadwall/internal/account"
)

// CertificateName says which field of a client's certificate is the name of its user.
type CertificateName string

// The fields.
const (
	NoCertificates   CertificateName = "" // certificates prove nothing
	CertificateEmail CertificateName = "email"
	CertificateCN    CertificateName = "cn"
)

// names returns the names of users that the client's certificate has. The handshake has verified the
// certificate.
func (n CertificateName) names(c *Client) []string {
	if n == NoCertificates || c.State == nil || len(c.State.VerifiedChains) == 0 {
		return nil
	}
	leaf := c.State.VerifiedChains[0][0]
	names := leaf.EmailAddresses
	if n == CertificateCN {
		names = []string{leaf.Subject.CommonName}
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == "" })
}

// certificates reports whether the client has a certificate that names a user.
func certificates(a *Authenticator, c *Client) bool { return len(a.certificate.names(c)) > 0 }

// byCertificate is EXTERNAL (RFC 4422 appendix A): the certificate of the connection says who the
// client is.
type byCertificate struct{ exchange *Exchange }

func (m *byCertificate) Next(response []byte) (challenge []byte, done bool, err error) {
	if response == nil {
		return []byte{}, false, nil
	}
	as := string(response)
	if !utf8.ValidString(as) || strings.Contains(as, "\x00") {
		return nil, false, malformed("the response is not of EXTERNAL")
	}
	x := m.exchange
	names := x.authenticator.certificate.names(&x.client)
	// Of several names, the client chooses one, perhaps as user*name.
	username, chosen := names[0], as[strings.LastIndexByte(as, '*')+1:]
	if i := slices.IndexFunc(names, func(name string) bool {
		return x.authenticator.accounts.SameLogin(name, as) || x.authenticator.accounts.SameLogin(name, chosen)
	}); i >= 0 {
		username = names[i]
	}
	err = x.login(account.Attempt{Username: username, As: as}, x.authenticator.accounts.ByProof(
		func(_ context.Context, at *account.Attempt) (string, error) {
			at.By = "certificate"
			return username, nil
		}))
	return nil, err == nil, err
}
