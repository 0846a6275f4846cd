package ingest

import (
	"net"
	"strings"
	"time"

	"gadwall/internal/mailpath"
)

// trace is what the Received line of a transaction says.
type trace struct {
	helo   string   // what the client called itself
	remote net.Addr // what it is
	host   string   // what we call ourselves
	with   string   // protocol
	id     string
}

// session is what the name of the protocol tells.
type session struct{ lmtp, extended, tls, auth, utf8 bool }

// protocolName is the name registered for the "with" clause (RFC 3848, RFC 6531 section 4.3).
func protocolName(s session) string {
	name := "SMTP"
	switch {
	case s.lmtp && s.utf8:
		name = "UTF8LMTP"
	case s.lmtp:
		name = "LMTP"
	case s.utf8:
		name = "UTF8SMTP"
	case s.extended:
		name = "ESMTP"
	}
	if s.tls {
		name += "S"
	}
	if s.auth {
		name += "A"
	}
	return name
}

// prefix returns the trace lines for one recipient (RFC 5321 section 4.4). Everything in it is
// bounded, and free of line ends and other control characters: see mailpath.Check and heloName.
func (t trace) prefix(from, to string, now time.Time) []byte {
	var b strings.Builder
	b.WriteString("Return-Path: <" + mailpath.Quote(from) + ">\r\n")
	b.WriteString("Delivered-To: <" + mailpath.Quote(to) + ">\r\n")
	b.WriteString(t.received([]string{to}, now))
	return []byte(b.String())
}

// received returns the Received line. It names the recipient only if there is just one: the others
// need not know.
func (t trace) received(recipients []string, now time.Time) string {
	var b strings.Builder
	b.WriteString("Received: from " + heloName(t.helo) + " (" + addressLiteral(t.remote) + ")\r\n")
	b.WriteString("\tby " + t.host + " (Gadwall) with " + t.with + " id " + t.id)
	if len(recipients) == 1 {
		b.WriteString("\r\n\tfor <" + mailpath.Quote(recipients[0]) + ">")
	}
	b.WriteString("; " + now.UTC().Format("Mon, 02 Jan 2006 15:04:05 -0700") + "\r\n")
	return b.String()
}

// heloName returns what the client called itself if that is a domain or an address literal as far
// as characters go, otherwise "unknown": many clients send something else, and it must not break
// the line's syntax.
func heloName(helo string) string {
	for i := range len(helo) {
		c := helo[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			strings.IndexByte("-._:[]", c) >= 0:
		default:
			return "unknown"
		}
	}
	if helo == "" {
		return "unknown"
	}
	return helo
}

// addressLiteral is the client's address as in RFC 5321 section 4.1.3.
func addressLiteral(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	switch {
	case !ok:
		return "local"
	case tcp.IP.To4() != nil:
		return "[" + tcp.IP.String() + "]"
	}
	return "[IPv6:" + tcp.IP.String() + "]"
}
