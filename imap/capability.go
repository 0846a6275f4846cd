package imap

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// The server names an extension only when it honours all of it.
const (
	capsAlways = "IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ENABLE ID IDLE"

	// capsSession is told after login. URL-PARTIAL is of RFC 5550 section 5.7.1.
	capsSession = " UTF8=ACCEPT NAMESPACE UNSELECT UIDPLUS MOVE CHILDREN SPECIAL-USE" +
		" CREATE-SPECIAL-USE LIST-EXTENDED LIST-STATUS STATUS=SIZE MULTIAPPEND" +
		" CATENATE URL-PARTIAL CONDSTORE" +
		" QRESYNC UIDONLY WITHIN ESEARCH SEARCHRES PARTIAL SORT SORT=DISPLAY ESORT" +
		" CONTEXT=SEARCH CONTEXT=SORT THREAD=ORDEREDSUBJECT THREAD=REFERENCES THREAD=REFS" +
		" MULTISEARCH METADATA LIST-METADATA NOTIFY" +
		" SAVEDATE PREVIEW BINARY REPLACE INPROGRESS OBJECTID QUOTA QUOTA=RES-STORAGE" +
		" QUOTA=RES-MESSAGE APPENDLIMIT="
	// capsSharing is told where users can share their mailboxes.
	capsSharing = " ACL RIGHTS=kxte LIST-MYRIGHTS"
)

// handleCapability answers CAPABILITY (RFC 3501 section 6.1.1).
func (c *conn) handleCapability(_ context.Context, cmd *command) error {
	if err := cmd.noArguments(); err != nil {
		return err
	}
	c.enc.Untagged().Raw("CAPABILITY ").Raw(c.capabilities()).CRLF()
	return nil
}

// capabilities is what CAPABILITY tells in the present state.
func (c *conn) capabilities() string {
	if c.state != imap.ConnStateNotAuthenticated {
		caps := capsAlways
		if others, _ := c.account.Sharing(); others {
			caps += capsSharing
		}
		caps += capsSession + strconv.FormatInt(c.srv.opts.MaxMessageSize, 10)
		if c.account.MaySetLimits() {
			caps += " QUOTASET"
		}
		if !c.srv.opts.NoUnauthenticate {
			caps += " UNAUTHENTICATE"
		}
		if c.compressed == nil {
			caps += " COMPRESS=DEFLATE"
		}
		return caps
	}
	caps := capsAlways
	if c.srv.opts.TLSConfig != nil && !c.tls {
		caps += " STARTTLS"
	}
	for _, name := range c.srv.opts.Authenticator.Mechanisms(c.client()) {
		caps += " AUTH=" + name
	}
	if !c.mayAuthenticate() {
		caps += " LOGINDISABLED"
	}
	return caps
}

// mayAuthenticate reports whether a password may come over this connection
// (RFC 3501 section 11.1).
func (c *conn) mayAuthenticate() bool {
	return c.tls || c.trusted
}

// extensions is a set of extensions that change what the server sends only after
// the client has asked for them (RFC 5161).
type extensions uint8

const (
	// condstore: FETCH responses carry MODSEQ (RFC 7162 section 3.1).
	condstore extensions = 1 << iota
	// qresync: VANISHED takes the place of EXPUNGE (RFC 7162 section 3.2). It comes with
	// condstore.
	qresync
	// uidOnly: no message numbers. UIDFETCH and VANISHED take the place of FETCH and EXPUNGE
	// (RFC 9586).
	uidOnly
	// imap4rev2: answers are as RFC 9051 has them.
	imap4rev2
	// utf8Accept: names and quoted strings are UTF-8 (RFC 9755 section 3). imap4rev2 has that, too.
	utf8Accept
	// metadata: changes of metadata by others are told (RFC 5464 section 4.1).
	metadata
)

// enableable are the extensions that ENABLE knows, by name.
var enableable = map[string]extensions{
	"CONDSTORE": condstore,
	"QRESYNC":   condstore | qresync,
	"UIDONLY":   uidOnly,

	"IMAP4REV2":   imap4rev2,
	"UTF8=ACCEPT": utf8Accept,
	"METADATA":    metadata,
}

func (e extensions) has(x extensions) bool { return e&x != 0 }

// enable notes that the client wants an extension: ENABLE names it, or a command
// that only its clients send (RFC 7162 section 3.1) implies it. No response may be open: the first
// of these that comes with a mailbox selected tells its HIGHESTMODSEQ.
func (c *conn) enable(x extensions) {
	first := x&^c.enabled&condstore != 0
	c.enabled |= x
	utf8 := c.enabled.has(imap4rev2 | utf8Accept)
	c.dec.UTF8, c.enc.UTF8 = utf8, utf8
	if first && c.sel != nil { // RFC 7162 section 3.1
		c.enc.Untagged().Raw("OK [").Raw(highestModSeq(c.sel.told())).Raw("] Highest").CRLF()
	}
}

// disableAll takes back everything that was enabled.
func (c *conn) disableAll() {
	c.enabled, c.annotations, c.notify = 0, annotations{}, nil
	c.enable(0)
}

// handleEnable answers ENABLE (RFC 5161 section 3.1). Names that the server does
// not know are ignored.
func (c *conn) handleEnable(ctx context.Context, cmd *command) error {
	var names []string
	for first := true; first || !cmd.args.AtEnd(); first = false {
		if err := cmd.args.SP(); err != nil {
			return err
		}
		name, err := cmd.args.Keyword()
		if err != nil {
			return err
		}
		if enableable[name] != 0 && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if err := cmd.args.CRLF(); err != nil {
		return err
	}
	if slices.Contains(names, "METADATA") && !c.tellsAnnotations(c.notify) {
		if err := c.watchAnnotations(ctx); err != nil {
			return err
		}
	}
	var wants extensions
	c.enc.Untagged().Raw("ENABLED")
	for _, name := range names {
		wants |= enableable[name]
		c.enc.SP().Raw(strings.Replace(name, "IMAP4REV2", "IMAP4rev2", 1))
	}
	c.enc.CRLF()
	c.enable(wants)
	return nil
}
