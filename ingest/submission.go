package ingest

import (
	"errors"
	"io"
	"strings"
	"time"

	"gadwall/internal/mailpath"
	"gadwall/internal/submission"
)

// submissionParameters are what MAIL says beside what every role knows.
type submissionParameters struct {
	body8Bit   bool
	ret, envid string // RFC 3461 sections 4.3 and 4.4
}

// submit begins a submitted message (RFC 6409 section 6.1), and returns the reply to MAIL.
func (c *conn) submit(tx *transaction) reply {
	message, err := c.srv.opts.Submission.Begin(c.srv.base, c.account, submission.Envelope{
		From: tx.from, Size: tx.size, UTF8: tx.utf8, Body8Bit: tx.more.body8Bit,
		Return: tx.more.ret, ID: tx.more.envid,
		Received: func(recipients []string) string { return tx.trace.received(recipients, time.Now()) },
		Logger:   c.log.With("message", tx.id),
	})
	if err != nil {
		return submissionReply(err)
	}
	tx.submitted = message
	return reply{250, "2.1.0", "OK"}
}

// submissionReply is a refusal as the client gets it.
func submissionReply(err error) reply {
	var r *submission.Refusal
	if !errors.As(err, &r) {
		return replyTrouble
	}
	return reply{r.Code, r.Status, r.Text}
}

// submitTo answers RCPT of a submitted message: as the smarthost does.
func (c *conn) submitTo(to string, parameters []parameter) reply {
	rcpt := submission.Recipient{Address: to}
	if !strings.Contains(to, "@") { // the postmaster (RFC 5321 section 4.1.1.3)
		rcpt.Address += "@" + c.srv.opts.Hostname
	}
	for _, p := range parameters {
		if r := c.rcptParameter(&rcpt, p); r != nil {
			return *r
		}
	}
	if err := c.tx.submitted.Rcpt(rcpt); err != nil {
		return submissionReply(err)
	}
	c.tx.recipients = append(c.tx.recipients, recipient{address: rcpt.Address})
	return reply{250, "2.1.5", "OK"}
}

// rcptParameter notes a parameter of RCPT; it returns why it is refused.
func (c *conn) rcptParameter(rcpt *submission.Recipient, p parameter) *reply {
	switch {
	case p.name == "NOTIFY" && c.offersDSN(): // RFC 3461 section 4.1
		rcpt.Notify = strings.Split(strings.ToUpper(p.value), ",")
		for i, n := range rcpt.Notify {
			never := n == "NEVER" && len(rcpt.Notify) == 1
			if !never && n != "SUCCESS" && n != "FAILURE" && n != "DELAY" || i > 2 {
				return &reply{501, "5.5.4", "Syntax: NOTIFY=NEVER or a list of SUCCESS, FAILURE, DELAY"}
			}
		}
		return nil
	case p.name == "ORCPT" && c.offersDSN(): // RFC 3461 section 4.2, RFC 6533 section 3
		kind, text, found := strings.Cut(p.value, ";")
		decoded, ok := decodeXtext(text)
		kind = strings.ToUpper(kind)
		switch {
		case !found || !ok || text == "" || len(decoded) > mailpath.MaxLength:
		case kind == "RFC822":
			rcpt.OriginalType, rcpt.OriginalText = kind, decoded
			return nil
		case kind == "UTF-8":
			// Its own encoding is another one; the smarthost can do without it.
			return nil
		}
		return &reply{501, "5.5.4", "Syntax: ORCPT=type;address"}
	}
	return unknownParameter(p)
}

// offersDSN reports whether the client may use the parameters of RFC 3461: the smarthost honours
// them.
func (c *conn) offersDSN() bool {
	return c.srv.role == roleSubmission && c.srv.opts.Submission.Offers("DSN")
}

// mailDSN notes a parameter of RFC 3461; ok is false for others.
func (c *conn) mailDSN(tx *transaction, p parameter) (refusal *reply, ok bool) {
	switch {
	case !c.offersDSN():
		return nil, false
	case p.name == "RET":
		tx.more.ret = strings.ToUpper(p.value)
		if tx.more.ret != "FULL" && tx.more.ret != "HDRS" {
			return &reply{501, "5.5.4", "Syntax: RET=FULL or RET=HDRS"}, true
		}
		return nil, true
	case p.name == "ENVID":
		id, ok := decodeXtext(p.value)
		if !ok || id == "" || len(id) > maxEnvelopeID {
			return &reply{501, "5.5.4", "Syntax: ENVID=xtext"}, true
		}
		tx.more.envid = id
		return nil, true
	}
	return nil, false
}

// decodeXtext decodes xtext (RFC 3461 section 4), of printable ASCII.
func decodeXtext(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '+' {
			if i+2 >= len(s) {
				return "", false
			}
			high, low := strings.IndexByte(hexDigits, s[i+1]), strings.IndexByte(hexDigits, s[i+2])
			if high < 0 || low < 0 {
				return "", false
			}
			c = byte(high<<4 | low)
			i += 2
		}
		if c < ' ' || c > '~' {
			return "", false
		}
		b.WriteByte(c)
	}
	return b.String(), true
}

const hexDigits = "0123456789ABCDEF"

// submittedBody is the body of a submitted message.
type submittedBody struct {
	message *submission.Message
	count   int // recipients
}

// receive hands on what r gives. An error is r's.
func (b *submittedBody) receive(r io.Reader) error {
	buf := copyBuffers.Get().(*[copyBuffer]byte)
	defer copyBuffers.Put(buf)
	for {
		n, err := r.Read(buf[:])
		_, _ = b.message.Write(buf[:n]) // Finish tells
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// finish sends the message. The result is the same for all recipients.
func (b *submittedBody) finish() []reply {
	answer := reply{code: 250, status: "2.0.0"}
	if sent, err := b.message.Finish(); err != nil {
		answer = submissionReply(err)
	} else {
		answer.text = sent.Text
	}
	results := make([]reply, b.count)
	for i := range results {
		results[i] = answer
	}
	return results
}

func (b *submittedBody) abandon(why error) { b.message.Abandoned(why) }
