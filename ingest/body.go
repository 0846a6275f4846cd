package ingest

import (
	"errors"
	"io"
	"strconv"
	"strings"
	"time"
)

// data answers DATA and takes the body (RFC 5321 section 4.1.1.4).
func (c *conn) data(string) error {
	switch {
	case c.tx == nil || len(c.tx.recipients) == 0:
		return c.reply(replyNoRecipient)
	case c.tx.body != nil: // RFC 3030 section 2
		return c.reply(replyInBody)
	}
	if r := c.beginBody(); r.failed() {
		return c.reply(r)
	}
	if err := c.reply(reply{code: 354, text: "End the message with <CR><LF>.<CR><LF>"}); err != nil {
		return err
	}
	if err := c.receive(&dataReader{in: &c.in}); err != nil {
		return err
	}
	return c.deliver()
}

// bdat takes a chunk of a body (RFC 3030 section 2). The octets of a chunk that is refused are read
// and thrown away.
func (c *conn) bdat(arg string) error {
	size, last, ok := parseChunk(arg)
	if !ok {
		// Nobody knows how much of what follows is the chunk.
		return c.hangUp(replyBadChunk)
	}
	chunk := &chunkReader{in: &c.in, left: size}
	if c.tx == nil || len(c.tx.recipients) == 0 {
		if err := c.throwAway(chunk); err != nil {
			return err
		}
		return c.reply(replyNoRecipient)
	}
	if c.tx.body == nil {
		if r := c.beginBody(); r.failed() {
			if err := c.throwAway(chunk); err != nil {
				return err
			}
			return c.reply(r)
		}
	}
	if err := c.receive(chunk); err != nil {
		return err
	}
	if last {
		return c.deliver()
	}
	return c.reply(reply{250, "2.0.0", strconv.FormatInt(size, 10) + " octets received"})
}

// parseChunk parses the argument of BDAT.
func parseChunk(arg string) (size int64, last, ok bool) {
	digits, rest, _ := strings.Cut(arg, " ")
	rest = strings.TrimSpace(rest)
	last = strings.EqualFold(rest, "LAST")
	// Messages have at most as many octets as 32 bits can count.
	n, err := strconv.ParseUint(digits, 10, 32)
	return int64(n), last, err == nil && (last || rest == "")
}

// beginBody makes ready for a body. If the reply has failed, there is no transaction any more.
func (c *conn) beginBody() reply {
	tx := c.tx
	if tx.submitted == nil {
		tx.body = c.srv.newDelivery(tx, c.log)
	} else {
		if err := tx.submitted.Start(); err != nil {
			c.tx = nil
			return submissionReply(err)
		}
		tx.body = &submittedBody{tx.submitted, len(tx.recipients)}
	}
	tx.bodyEnd = time.Now().Add(bodyTimeout)
	return replyOK
}

// receive takes what r gives for the body. An error means that the client is gone, or as good as.
func (c *conn) receive(r io.Reader) error {
	c.bodyEnd = c.tx.bodyEnd
	c.in.enlarge()
	err := c.tx.body.receive(r)
	if err != nil {
		c.tx.body.abandon(err)
		c.tx = nil
		return err
	}
	c.bodyEnd = time.Time{}
	return nil
}

// throwAway reads a chunk of no transaction.
func (c *conn) throwAway(r io.Reader) error {
	c.bodyEnd = time.Now().Add(bodyTimeout)
	c.in.enlarge()
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	c.bodyEnd = time.Time{}
	return nil
}

// deliver ends the transaction, whose body has come in whole, and answers it.
func (c *conn) deliver() error {
	tx := c.tx
	c.tx = nil
	results := tx.body.finish()
	c.mistakes, c.idle = 0, 0
	if tx.submitted != nil {
		return c.answer(results[0])
	}
	if !c.srv.role.perRecipient {
		return c.answer(single(tx, results))
	}
	// RFC 2033 section 4.2: a reply for each RCPT that was accepted, in their order.
	var err error
	for i, r := range results {
		err = errors.Join(err, c.answer(r.about(tx.recipients[i].address)))
	}
	return err
}

// single is the one answer of SMTP for all recipients: a failure if there is one, and a temporary
// one first.
func single(tx *transaction, results []reply) reply {
	worst := results[0]
	for i, r := range results {
		if !r.failed() {
			continue
		}
		if len(results) > 1 {
			r = r.about(tx.recipients[i].address)
		}
		if !worst.failed() || i == 0 || r.temporary() && !worst.temporary() {
			worst = r
		}
	}
	return worst
}
