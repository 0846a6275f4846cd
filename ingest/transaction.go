package ingest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"gadwall/internal/mailkey"
	"gadwall/internal/mailpath"
	"gadwall/internal/mailstore"
	"gadwall/internal/submission"
	"gadwall/quota"
)

// transaction is what MAIL and RCPT have said, and the body that has begun.
type transaction struct {
	id         string
	from       string // empty: the null reverse-path
	utf8       bool   // MAIL had SMTPUTF8
	size       int64  // declared, 0 if not
	trace      trace
	recipients []recipient
	asked      int                  // recipients looked up, the refused ones included
	body       messageBody          // nil before DATA and the first BDAT
	submitted  *submission.Message  // of roleSubmission
	more       submissionParameters // likewise
	bodyEnd    time.Time            // when the transfer of the body must be over
}

// messageBody is where a body goes: receive, once or for every chunk, then finish or abandon.
type messageBody interface {
	// receive takes what r gives, also when it cannot be kept. An error is r's, and means that the
	// body will never be complete.
	receive(r io.Reader) error
	// finish ends a body that is complete. The results are those of the recipients.
	finish() []reply
	// abandon gives up a body of which the client will not send the rest.
	abandon(why error)
}

// recipient is one accepted RCPT.
type recipient struct {
	address string // as mailpath.Parse returns it
	user    *mailstore.User
	mailbox mailkey.Mailbox
}

// idLength is enough to find a session or a transaction in a log.
const idLength = 12

func newID() string { return rand.Text()[:idLength] }

// reset forgets the transaction, and whatever has come of its body.
func (c *conn) reset() {
	switch {
	case c.tx == nil:
	case c.tx.body != nil:
		c.tx.body.abandon(errReset)
	case c.tx.submitted != nil:
		c.tx.submitted.Abort()
	}
	c.tx = nil
}

// errReset is why a body ended between two chunks.
var errReset = errors.New("transaction given up between chunks")

// mail opens a transaction (RFC 5321 section 4.1.1.2).
func (c *conn) mail(arg string) error {
	if c.tx != nil {
		return c.reply(reply{503, "5.5.1", "A transaction is open already"})
	}
	if c.srv.role == roleSubmission && c.account == nil {
		return c.reply(reply{530, "5.7.0", "Authentication required"}) // RFC 4954 section 6
	}
	path, ok := cutFold(arg, "FROM:")
	if !ok {
		return c.reply(reply{501, "5.5.4", "Syntax: MAIL FROM:<address>"})
	}
	from, rest, err := mailpath.Parse(path)
	if err != nil {
		return c.reply(badPath(err, "5.1.7"))
	}
	tx := &transaction{id: newID(), from: from}
	refusal := c.mailParameters(tx, rest)
	if refusal == nil && from != "" {
		if err := mailpath.Check(from, tx.utf8); err != nil {
			refusal = new(badPath(err, "5.1.7"))
		}
	}
	switch {
	case refusal != nil && c.tooIdle():
		return c.cutOff(replyIdlers, refusedIdle)
	case refusal != nil:
		return c.reply(*refusal)
	}
	tx.trace = trace{
		helo:   c.hello,
		remote: c.remote,
		host:   c.srv.opts.Hostname,
		with: protocolName(session{
			lmtp: c.srv.role == roleLMTP, extended: c.extended, tls: c.tls, auth: c.account != nil, utf8: tx.utf8,
		}),
		id: tx.id,
	}
	answer := reply{250, "2.1.0", "OK"}
	if c.srv.role == roleSubmission {
		answer = c.submit(tx)
	}
	if !answer.failed() {
		c.tx = tx
	}
	return c.reply(answer)
}

// mailParameters notes the parameters of MAIL; it returns why they are refused.
func (c *conn) mailParameters(tx *transaction, s string) *reply {
	list, err := parseParameters(s)
	if err != nil {
		return &reply{501, "5.5.4", "Bad parameter syntax"}
	}
	for _, p := range list {
		switch p.name {
		case "SIZE": // RFC 1870 section 6
			n, ok := parseSize(p.value)
			switch {
			case !ok:
				return &reply{501, "5.5.4", "Syntax: SIZE=octets"}
			case n > c.srv.opts.MaxMessageSize:
				c.srv.refusal(refusedSize)
				c.log.Info("message refused", "from", tx.from, "declared_size", n, "reason", refusedSize)
				return &replyTooLarge
			}
			tx.size = n
		case "BODY": // RFC 6152 section 2
			if !strings.EqualFold(p.value, "7BIT") && !strings.EqualFold(p.value, "8BITMIME") {
				return &reply{501, "5.5.4", "Syntax: BODY=7BIT or BODY=8BITMIME"}
			}
			tx.more.body8Bit = strings.EqualFold(p.value, "8BITMIME")
		case "SMTPUTF8": // RFC 6531 section 3.4
			if p.value != "" {
				return &reply{501, "5.5.4", "SMTPUTF8 has no value"}
			}
			tx.utf8 = true
		case "AUTH": // RFC 4954 section 5; nobody here needs to know
			if len(c.mechanisms()) == 0 {
				return unknownParameter(p)
			}
		default:
			refusal, ok := c.mailDSN(tx, p)
			if !ok {
				refusal = unknownParameter(p)
			}
			if refusal != nil {
				return refusal
			}
		}
	}
	return nil
}

// unknownParameter refuses a parameter (RFC 5321 section 4.1.1.11).
func unknownParameter(p parameter) *reply {
	return &reply{555, "5.5.4", "Unknown parameter " + p.name}
}

// parseSize parses any number of digits. What is too large for an int64 is its maximum.
func parseSize(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	// ParseInt returns the maximum with its range error.
	n, _ := strconv.ParseInt(s, 10, 64)
	return n, true
}

// rcpt adds a recipient (RFC 5321 section 4.1.1.3).
func (c *conn) rcpt(arg string) error {
	switch {
	case c.tx == nil:
		return c.reply(replyNoMail)
	case c.tx.body != nil:
		return c.reply(replyInBody)
	}
	path, ok := cutFold(arg, "TO:")
	if !ok {
		return c.reply(reply{501, "5.5.4", "Syntax: RCPT TO:<address>"})
	}
	to, rest, err := mailpath.Parse(path)
	if err == nil && to == "" {
		err = mailpath.ErrSyntax
	}
	postmaster := err == nil && c.srv.isPostmaster(to)
	if err == nil && !postmaster {
		err = mailpath.Check(to, c.tx.utf8)
	}
	if err != nil {
		return c.reply(badPath(err, "5.1.3"))
	}
	list, err := parseParameters(rest)
	switch {
	case err != nil:
		return c.reply(reply{501, "5.5.4", "Bad parameter syntax"})
	case len(list) > 0 && c.tx.submitted == nil:
		return c.reply(*unknownParameter(list[0]))
	case c.tx.asked == maxRecipients:
		return c.reply(reply{452, "4.5.3", "Too many recipients, send to the others apart"})
	}
	c.tx.asked++
	if c.tx.submitted != nil {
		return c.reply(c.submitTo(to, list))
	}
	r := c.addRecipient(to, postmaster)
	if r.code == replyUnknownUser.code {
		return c.refuseRecipient(r)
	}
	return c.reply(r)
}

// refuseRecipient tells a client that somebody does not exist, and makes it expensive to find out
// so about many.
func (c *conn) refuseRecipient(r reply) error {
	if c.refused++; c.refused > maxRefused && !c.origin.trusted {
		return c.cutOff(replyHarvest, refusedHarvest)
	}
	if delay := c.srv.gate.refuse(c.origin); delay > 0 {
		if err := c.flush(); err != nil {
			return err
		}
		select {
		case <-time.After(delay):
		case <-c.srv.stop:
		}
	}
	return c.reply(r)
}

// isPostmaster tells whether an address is the one that every server has (RFC 5321
// sections 4.1.1.3 and 4.5.1). Without a domain it can be nothing else.
func (s *Server) isPostmaster(address string) bool {
	local, domain, hasDomain := strings.Cut(address, "@")
	return equalFold(local, "postmaster") && (!hasDomain || equalFold(domain, s.opts.Hostname))
}

// addRecipient looks an address up and returns the reply to its RCPT.
func (c *conn) addRecipient(to string, postmaster bool) reply {
	ctx, cancel := context.WithTimeout(c.srv.base, lookupTimeout)
	defer cancel()
	rcpt, box, err := c.srv.lookUp(ctx, to, postmaster)
	switch {
	case errors.Is(err, mailstore.ErrNoSuchAddress):
		c.recipientRefused(to, refusedUnknown)
		return replyUnknownUser.about(to)
	case err != nil:
		c.srv.rare.Error(c.log, "cannot look up recipient", "message", c.tx.id, "recipient", to,
			"error", err)
		return replyTrouble
	}
	if c.srv.opts.RejectSuspended && rcpt.User.State == mailstore.UserSuspended {
		c.recipientRefused(to, refusedSuspended)
		return reply{550, "5.2.1", "mailbox is suspended"}.about(to) // RFC 3463 section 3.3
	}
	need := quota.Usage{Bytes: max(c.tx.size, 1), Messages: 1}
	// Tells early what the delivery's own charge decides in the end.
	if !rcpt.User.Fits(need) {
		c.recipientRefused(to, refusedQuota)
		return c.srv.overQuota().about(to)
	}
	c.tx.recipients = append(c.tx.recipients, recipient{address: to, user: rcpt.User, mailbox: box})
	return reply{250, "2.1.5", "OK"}
}

// recipientRefused counts and logs a refusal at RCPT.
func (c *conn) recipientRefused(to, reason string) {
	c.srv.refusal(reason)
	c.log.Info("recipient refused", "message", c.tx.id, "from", c.tx.from, "recipient", to,
		"declared_size", c.tx.size, "reason", reason)
}

// lookUp finds the mailbox of an address. An address of the postmaster that no user has leads to
// the configured one.
func (s *Server) lookUp(
	ctx context.Context, to string, postmaster bool,
) (*mailstore.Recipient, mailkey.Mailbox, error) {
	rcpt, err := s.store.ResolveAddress(ctx, to)
	if postmaster && errors.Is(err, mailstore.ErrNoSuchAddress) && s.opts.Postmaster != "" {
		rcpt, err = s.store.ResolveAddress(ctx, s.opts.Postmaster)
	}
	if err != nil {
		return nil, mailkey.Mailbox{}, err
	}
	box, err := s.mailboxOf(ctx, rcpt)
	if err != nil {
		return nil, mailkey.Mailbox{}, fmt.Errorf("mailbox %s of %s: %w", inbox, rcpt.User.Username, err)
	}
	return rcpt, box, nil
}

// mailboxOf returns the mailbox for a recipient: INBOX, or with DetailMailboxes the one that the
// detail names. A sender cannot reach the mailboxes with a special use, such as Sent.
func (s *Server) mailboxOf(ctx context.Context, rcpt *mailstore.Recipient) (mailkey.Mailbox, error) {
	if s.opts.DetailMailboxes && rcpt.Detail != "" {
		box, err := s.store.MailboxByPath(ctx, rcpt.User.ID, rcpt.Detail)
		switch {
		case err == nil && box.SpecialUse == "":
			return box.Key, nil
		case err != nil && !errors.Is(err, mailstore.ErrNoSuchMailbox):
			return mailkey.Mailbox{}, err
		}
	}
	return s.store.Inbox(ctx, rcpt.User.ID)
}

// badPath is the reply to a path that cannot be used; status is 5.1.7 for senders and 5.1.3 for
// recipients (RFC 3463 section 3.2).
func badPath(err error, status string) reply {
	switch {
	case errors.Is(err, mailpath.ErrUTF8):
		return reply{553, "5.6.7", "Non-ASCII address without SMTPUTF8"} // RFC 6531 section 3.5
	case errors.Is(err, mailpath.ErrLength):
		return reply{501, status, "Address too long"}
	}
	return reply{501, status, "Bad address syntax"}
}
