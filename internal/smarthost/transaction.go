package smarthost

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/emersion/go-smtp"
)

// Envelope is what MAIL says. Addresses are as SMTP writes them, without angle brackets.
type Envelope struct {
	// User has a share of the connections.
	User     string
	From     string // empty: the null reverse-path
	Size     int64  // 0 if it is not known
	UTF8     bool   // the message needs SMTPUTF8 (RFC 6531)
	Body8Bit bool   // the message needs 8BITMIME (RFC 6152)
	// Return and ID are RET and ENVID (RFC 3461), which go to a smarthost that offers DSN.
	Return, ID string
}

// Recipient is what RCPT says.
type Recipient struct {
	Address string
	// Notify and the original recipient are NOTIFY and ORCPT (RFC 3461), which go to a smarthost that
	// offers DSN.
	Notify                     []string
	OriginalType, OriginalText string
}

// Transaction is one message on its way. It is for one goroutine. While its client dawdles and others
// wait, the Host may take the connection: see yield.
type Transaction struct {
	host     *Host
	ctx      context.Context
	envelope Envelope
	over     bool

	// mu is held while the transaction uses the connection.
	mu         sync.Mutex
	conn       *conn       // nil if the Host took it, and after the end
	stop       func() bool // that the end of the context closes the connection
	recipients []Recipient // that the smarthost took
	data       *smtp.DataCommand
	failed     error // why the transaction cannot go on
	client     clientTime
	resumed    int // how often

	cr  bool   // the last octet that Write got was CR, which is not sent yet
	buf []byte // of Write
}

// Begin says MAIL. ctx is for the whole transaction: its end closes the connection. The error is a
// *Refusal, a *Trouble, or ErrUnsupported.
func (h *Host) Begin(ctx context.Context, e Envelope) (*Transaction, error) {
	if !h.admit(e.User) {
		return nil, trouble("4.3.2", ErrBusy) // RFC 3463 section 3.4: not accepting network messages
	}
	t := &Transaction{host: h, ctx: ctx, envelope: e}
	t.mu.Lock()
	defer t.done()
	if err := t.connect(); err != nil {
		h.dismiss(e.User)
		return nil, err
	}
	return t, nil
}

// connect gets a connection and says MAIL.
func (t *Transaction) connect() error {
	if err := t.host.slot(t.ctx); err != nil {
		return err
	}
	if err := t.begin(); err != nil {
		<-t.host.slots
		return err
	}
	t.host.mu.Lock()
	defer t.host.mu.Unlock()
	t.host.open[t] = struct{}{}
	return nil
}

func (t *Transaction) begin() error {
	for c := t.host.take(); c != nil; c = t.host.take() {
		if err := t.mail(c); !isLost(err) {
			return outcome(err)
		}
		// Others that are idle for as long may be closed, too.
	}
	c, err := t.host.dial(t.ctx)
	if err != nil {
		return err
	}
	return outcome(t.mail(c))
}

func outcome(err error) error {
	if err == nil || errors.Is(err, ErrUnsupported) {
		return err
	}
	return answer(err)
}

// mail says MAIL on a connection, and takes it over or disposes of it.
func (t *Transaction) mail(c *conn) error {
	e := &t.envelope
	if lacks(c, "SMTPUTF8", e.UTF8) || lacks(c, "8BITMIME", e.Body8Bit) {
		t.host.keep(c)
		return ErrUnsupported
	}
	stop := context.AfterFunc(t.ctx, func() { _ = c.raw.Close() })
	err := c.client.Mail(e.From, &smtp.MailOptions{
		Size: e.Size, UTF8: e.UTF8, Return: smtp.DSNReturn(e.Return), EnvelopeID: e.ID})
	if err == nil {
		t.conn, t.stop = c, stop
		return nil
	}
	var answered *smtp.SMTPError
	if stop() && errors.As(err, &answered) && answered.Code != 421 {
		t.host.keep(c)
	} else {
		_ = c.raw.Close()
	}
	return err
}

func lacks(c *conn, extension string, needed bool) bool {
	offered, _ := c.client.Extension(extension)
	return needed && !offered
}

// use begins a command: nobody takes the connection until done.
func (t *Transaction) use() error {
	t.mu.Lock()
	t.client.ends()
	if t.failed != nil || t.conn != nil {
		return t.failed
	}
	return t.resume()
}

// done ends what use began: it is the client's turn, unless the caller said ServerTurn.
func (t *Transaction) done() {
	t.client.begins()
	t.mu.Unlock()
}

// Rcpt says RCPT. The error is a *Refusal or a *Trouble.
func (t *Transaction) Rcpt(r Recipient) error {
	defer t.done()
	if err := t.use(); err != nil {
		return err
	}
	if err := t.conn.rcpt(r); err != nil {
		return err
	}
	t.recipients = append(t.recipients, r)
	return nil
}

func (c *conn) rcpt(r Recipient) error {
	o := &smtp.RcptOptions{OriginalRecipientType: smtp.DSNAddressType(r.OriginalType),
		OriginalRecipient: r.OriginalText}
	for _, n := range r.Notify {
		o.Notify = append(o.Notify, smtp.DSNNotify(n))
	}
	return outcome(c.client.Rcpt(r.Address, o))
}

// Data says DATA; then Write sends the message. The error is a *Refusal or a *Trouble.
func (t *Transaction) Data() error {
	defer t.done()
	if err := t.use(); err != nil {
		return err
	}
	data, err := t.conn.client.Data()
	if err != nil {
		return outcome(err)
	}
	t.data, t.client = data, clientTime{serving: t.client.serving}
	return nil
}

// Write sends a piece of the message. Lines end with CRLF; a bare LF becomes one. A bare CR becomes
// a space: no SMTP client may send it (RFC 5321 section 2.3.8), and a server that takes it for the end
// of a line would find other fields, or the end of the message. The error is a *Trouble.
func (t *Transaction) Write(p []byte) (int, error) {
	if !t.cr && bytes.IndexByte(p, '\r') < 0 {
		return len(p), t.send(p)
	}
	t.buf = t.buf[:0]
	for _, c := range p {
		if t.cr && c == '\n' {
			t.buf = append(t.buf, '\r')
		} else if t.cr {
			t.buf = append(t.buf, ' ')
		}
		if t.cr = c == '\r'; !t.cr {
			t.buf = append(t.buf, c)
		}
	}
	return len(p), t.send(t.buf)
}

func (t *Transaction) send(p []byte) error {
	defer t.done()
	if err := t.use(); err != nil {
		return err
	}
	t.client.sent += int64(len(p))
	if _, err := t.data.Write(p); err != nil {
		return trouble("4.4.2", err)
	}
	return nil
}

// End sends the end of the message, and returns the text with which the smarthost takes it. The
// transaction is over. The error is a *Refusal, or a *Trouble: then the smarthost may have taken it.
func (t *Transaction) End() (text string, err error) {
	defer t.done()
	defer t.finish()
	if err := t.use(); err != nil {
		return "", err
	}
	// A CR at the very end is left out: the end of the message has one.
	response, err := t.data.CloseWithResponse()
	t.release(err == nil || isAnswer(err))
	if err != nil {
		return "", answer(err)
	}
	return withoutStatus(oneLine(response.StatusText)), nil
}

// withoutStatus cuts an enhanced status code off (RFC 2034 section 4).
func withoutStatus(text string) string {
	first, rest, _ := strings.Cut(text, " ")
	if strings.Count(first, ".") == 2 && strings.Trim(first, "0123456789.") == "" {
		return rest
	}
	return text
}

func isAnswer(err error) bool {
	var e *smtp.SMTPError
	return errors.As(err, &e) && e.Code != 421
}

// Abort gives the transaction up. It does nothing after End.
func (t *Transaction) Abort() {
	if t.over {
		return
	}
	t.mu.Lock()
	defer t.done()
	defer t.finish()
	if t.conn != nil {
		t.release(t.data == nil && t.conn.client.Reset() == nil)
	}
}

// finish ends the transaction's count.
func (t *Transaction) finish() {
	t.over = true
	t.host.dismiss(t.envelope.User)
}

// release gives the connection back, or closes it.
func (t *Transaction) release(usable bool) {
	c := t.conn
	t.conn = nil
	if t.stop() && usable {
		t.host.keep(c)
	} else {
		_ = c.raw.Close()
	}
	t.host.mu.Lock()
	delete(t.host.open, t)
	t.host.mu.Unlock()
	<-t.host.slots
}
