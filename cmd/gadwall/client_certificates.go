package main

import (
	"crypto/tls"

	"gadwall/internal/sasl"
)

// loginTLS returns the configuration of listeners on which users log in. It asks clients for
// certificates if there is an authority of them. A client that has none of that authority goes on
// without.
func (c *serveCmd) loginTLS(config *tls.Config) (*tls.Config, error) {
	authorities, err := c.ClientCAs()
	if err != nil || authorities == nil || config == nil {
		return config, err
	}
	config = config.Clone()
	config.ClientAuth, config.ClientCAs = tls.VerifyClientCertIfGiven, authorities
	return config, nil
}

// certificateName says which field of a client's certificate is the name of its user.
func (c *serveCmd) certificateName() sasl.CertificateName {
	if c.ClientCA == "" {
		return sasl.NoCertificates
	}
	return sasl.CertificateName(c.ClientName)
}
