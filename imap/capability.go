package imap

import (
	"strconv"

	"github.com/emersion/go-imap/v2"
)

// Only what is honoured completely is named here.
const (
	capsAlways = "IMAP4rev1 LITERAL+ SASL-IR ENABLE ID IDLE"

	// capsSession is told after login.
	capsSession = " NAMESPACE UNSELECT UIDPLUS MOVE CHILDREN SPECIAL-USE CREATE-SPECIAL-USE" +
		" LIST-EXTENDED LIST-STATUS STATUS=SIZE MULTIAPPEND CONDSTORE ESEARCH WITHIN" +
		" QUOTA QUOTA=RES-STORAGE QUOTA=RES-MESSAGE APPENDLIMIT="
)

// capabilities is what CAPABILITY tells in the present state.
func (c *conn) capabilities() string {
	if c.state != imap.ConnStateNotAuthenticated {
		return capsAlways + capsSession + strconv.FormatInt(c.srv.opts.MaxMessageSize, 10)
	}
	caps := capsAlways
	if c.srv.opts.TLSConfig != nil && !c.tls {
		caps += " STARTTLS"
	}
	if c.mayAuthenticate() {
		return caps + " AUTH=PLAIN"
	}
	return caps + " LOGINDISABLED"
}

// mayAuthenticate reports whether a password may come over this connection
// (RFC 3501 section 11.1).
func (c *conn) mayAuthenticate() bool {
	return c.tls || c.loopback || c.srv.opts.AllowInsecureAuth
}
