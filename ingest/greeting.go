package ingest

import (
	"crypto/tls"
	"fmt"
	"strings"
	"time"
)

// greet sends the first reply (RFC 5321 section 4.3.1), after the handshake if the listener speaks
// TLS from the first octet.
func (c *conn) greet() error {
	if t, ok := c.sock.(*tls.Conn); ok {
		if err := c.handshake(t); err != nil {
			return err
		}
	}
	return c.reply(reply{code: 220, text: c.srv.opts.Hostname + " " + c.srv.role.service + " Gadwall"})
}

func (c *conn) helo(arg string) error { return c.introduce("HELO", arg) }
func (c *conn) ehlo(arg string) error { return c.introduce("EHLO", arg) }
func (c *conn) lhlo(arg string) error { return c.introduce("LHLO", arg) }

// introduce answers the three greetings of clients: HELO and EHLO for SMTP (RFC 5321
// section 4.1.1.1), LHLO for LMTP (RFC 2033 section 4.1). A greeting forgets the transaction. Any
// name will do: many clients do not know theirs.
func (c *conn) introduce(verb, arg string) error {
	name, _, _ := strings.Cut(arg, " ")
	extended, spoken := c.srv.role.greetings[verb]
	switch {
	case !spoken:
		return c.reply(reply{500, "5.5.1", c.srv.role.wants})
	case name == "":
		return c.reply(reply{501, "5.5.4", "Syntax: " + verb + " name"})
	case len(name) > maxHelo:
		return c.reply(reply{501, "5.5.2", "Name too long"})
	}
	c.reset()
	c.hello, c.extended = name, extended
	lines := []string{c.srv.opts.Hostname}
	if c.extended {
		lines = append(lines, c.keywords()...)
	}
	for i, line := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		c.out = fmt.Appendf(c.out, "250%s%s\r\n", sep, line)
	}
	return nil
}

// keywords are the extensions that the server offers now.
func (c *conn) keywords() []string {
	list := []string{
		"PIPELINING", // RFC 2920
		fmt.Sprintf("SIZE %d", c.srv.opts.MaxMessageSize), // RFC 1870
	}
	for _, name := range []string{
		"8BITMIME", // RFC 6152
		"SMTPUTF8", // RFC 6531
	} {
		if c.srv.offers(name) {
			list = append(list, name)
		}
	}
	list = append(list,
		"CHUNKING",            // RFC 3030
		"ENHANCEDSTATUSCODES") // RFC 2034
	if c.offersDSN() {
		list = append(list, "DSN") // RFC 3461
	}
	if c.srv.opts.TLSConfig != nil && !c.tls {
		list = append(list, "STARTTLS") // RFC 3207
	}
	if mechanisms := c.mechanisms(); len(mechanisms) > 0 {
		list = append(list, "AUTH "+strings.Join(mechanisms, " ")) // RFC 4954
	}
	return append(list, fmt.Sprintf("LIMITS RCPTMAX=%d", maxRecipients)) // RFC 9422
}

// offers reports whether the server has an extension that, for submission, the smarthost must have.
func (s *Server) offers(extension string) bool {
	return s.role != roleSubmission || s.opts.Submission.Offers(extension)
}

// startTLS answers STARTTLS and puts TLS under the conversation (RFC 3207 section 4). Everything
// said before is forgotten.
func (c *conn) startTLS(string) error {
	switch {
	case c.tls:
		return c.reply(reply{503, "5.5.1", "TLS is active already"})
	case c.srv.opts.TLSConfig == nil:
		return c.reply(reply{502, "5.5.1", "STARTTLS is not offered"})
	}
	// Commands that came in clear behind STARTTLS must not be taken as sent under TLS (RFC 3207
	// section 6).
	c.in.discard()
	c.out = reply{220, "2.0.0", "Ready to start TLS"}.appendTo(c.out)
	if err := c.flush(); err != nil {
		return err
	}
	t := tls.Server(c.raw, c.srv.opts.TLSConfig)
	if err := c.handshake(t); err != nil {
		return err
	}
	c.reset()
	c.session.Close()
	c.hello, c.extended, c.account, c.session = "", false, nil, nil
	c.helloEnd = time.Now().Add(greetingTimeout)
	return nil
}

// handshake makes t the connection. When it fails, nothing can be said to the client any more.
func (c *conn) handshake(t *tls.Conn) error {
	deadline := time.Now().Add(handshakeTimeout)
	c.sock.SetWriteDeadline(deadline)
	if !c.wait(deadline) {
		return errHungUp
	}
	err := t.HandshakeContext(c.srv.base)
	c.waited()
	if err != nil {
		c.log.Debug("TLS handshake failed", "error", err)
		return errHungUp
	}
	c.raw, c.tls = t, true
	return nil
}
