package submission

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"time"

	"gadwall/internal/account"
	"gadwall/internal/mailpath"
	"gadwall/internal/mailstore"
	"gadwall/internal/smarthost"
)

// Envelope is how a message begins. Addresses are as package mailpath has them.
type Envelope struct {
	From     string // empty: the null reverse-path
	Size     int64  // announced; 0 if it is not known
	UTF8     bool   // SMTPUTF8
	Body8Bit bool   // BODY=8BITMIME
	// Return and ID are RET and ENVID of RFC 3461, if the client gave them.
	Return, ID string
	// Received is the trace line, with its line end (RFC 5321 section 4.4).
	Received func(recipients []string) string
	Logger   *slog.Logger // knows the client and the message
}

// Recipient is who is to get a message.
type Recipient struct {
	Address string
	// Notify and the original recipient are NOTIFY and ORCPT of RFC 3461, if the client gave them.
	Notify                     []string
	OriginalType, OriginalText string
}

// Message is one message on its way: Begin, Rcpt, Start, Write, Finish; Abort whenever that ends
// early. One goroutine uses it.
type Message struct {
	service  *Service
	who      *account.Account
	envelope Envelope
	ctx      context.Context
	log      *slog.Logger
	began    time.Time

	relay      relay // nil after its end
	recipients []string
	counted    *mailstore.SendingSlot
	split      *splitter
	wire       *bufio.Writer
	saved      *account.SentCopy // nil without copies
	size       int64
	messageID  string
	refusal    *Refusal // the message is not taken; the rest of it is thrown away
	over       bool
}

// relay is *smarthost.Transaction.
type relay interface {
	io.Writer
	Rcpt(smarthost.Recipient) error
	Data() error
	End() (text string, err error)
	Abort()
	ServerTurn()
	ClientTurn()
}

// serve begins the server's own work on the message, which is not the client's time. The caller calls
// the result at its end: it is the client's turn.
func (m *Message) serve() (done func()) {
	if m.relay == nil {
		return func() {}
	}
	relay := m.relay
	relay.ServerTurn()
	return relay.ClientTurn
}

// Sent says what became of a message that the smarthost took.
type Sent struct {
	Text      string // of the smarthost
	MessageID string
	// Copy says where the copy is; nil if there is none, or none yet.
	Copy *account.Saved
}

// wireBuffer gathers the pieces of a header.
const wireBuffer = 4 << 10

// Begin checks the sender and begins a message. ctx is for all of it. The error is a *Refusal.
func (s *Service) Begin(ctx context.Context, who *account.Account, e Envelope) (*Message, error) {
	m := &Message{service: s, who: who, envelope: e, ctx: ctx, began: time.Now(), log: e.Logger}
	if m.log == nil {
		m.log = s.log
	}
	m.log = m.log.With("user", who.Username(), "from", e.From)
	if e.Size > s.opts.MaxMessageSize {
		return nil, m.refused(errSize)
	}
	if e.From != "" {
		mine, err := m.mayUse(s.opts.Senders, e.From)
		if err != nil {
			return nil, m.refused(err)
		}
		if !mine {
			return nil, m.refused(errSender)
		}
	}
	relay, err := s.opts.Smarthost.Begin(ctx, smarthost.Envelope{
		User: who.Username(), From: mailpath.Quote(e.From), Size: e.Size, UTF8: e.UTF8, Body8Bit: e.Body8Bit,
		Return: e.Return, ID: e.ID})
	if err != nil {
		return nil, m.refused(err)
	}
	m.relay = relay
	return m, nil
}

// mayUse reports whether the user may send as an address, by the rule.
func (m *Message) mayUse(rule Senders, address string) (bool, error) {
	ctx, cancel := context.WithTimeout(m.ctx, queryTimeout)
	defer cancel()
	return m.service.mayUse(ctx, m.who, rule, address)
}

// refused counts and logs what is not taken, once, and returns what the client is told.
func (m *Message) refused(err error) *Refusal {
	r := refusalOf(err)
	m.service.opts.Metrics.messages.WithLabelValues(result(r)).Inc()
	m.tell("message refused", err, r)
	return r
}

// tell logs a refusal. Trouble may be that of every message.
func (m *Message) tell(what string, err error, r *Refusal, more ...any) {
	args := append([]any{"error", err}, more...)
	var own *Refusal
	var theirs *smarthost.Refusal
	if errors.As(err, &own) || errors.Is(err, smarthost.ErrSlow) || errors.As(err, &theirs) && r != errSmarthost {
		m.log.Info(what, args...)
		return
	}
	m.service.rare.Error(m.log, what, args...)
}

// Rcpt asks the smarthost whether it takes a recipient. The error is a *Refusal.
func (m *Message) Rcpt(to Recipient) error {
	err := m.relay.Rcpt(smarthost.Recipient{
		Address: mailpath.Quote(to.Address), Notify: to.Notify,
		OriginalType: to.OriginalType, OriginalText: to.OriginalText})
	if err != nil {
		r := refusalOf(err)
		m.service.opts.Metrics.recipients.WithLabelValues(result(r)).Inc()
		m.tell("recipient refused", err, r, "recipient", to.Address)
		return r
	}
	m.service.opts.Metrics.recipients.WithLabelValues("accepted").Inc()
	m.recipients = append(m.recipients, to.Address)
	return nil
}

// Recipients are those that the smarthost takes.
func (m *Message) Recipients() []string { return m.recipients }

// Start prepares for the message itself. The error is a *Refusal; then the message is over.
func (m *Message) Start() error {
	defer m.serve()()
	if err := m.start(); err != nil {
		r := m.refused(err)
		m.Abort()
		return r
	}
	return nil
}

func (m *Message) start() error {
	ctx, cancel := context.WithTimeout(m.ctx, queryTimeout)
	defer cancel()
	by := mailstore.Sending{Messages: 1, Recipients: int64(len(m.recipients))}
	if limit := m.who.SendingLimit(m.service.opts.Limit); limit != (mailstore.Sending{}) {
		counted, err := m.who.CountSending(ctx, by, limit)
		if errors.Is(err, mailstore.ErrRate) {
			return errRate
		}
		if err != nil {
			return err
		}
		m.counted = &counted
	}
	if !m.service.opts.NoCopy {
		if err := m.checkRoom(ctx, max(1, m.envelope.Size)); err != nil {
			return err
		}
		m.saved = m.who.NewSentCopy(m.ctx)
	}
	if err := m.relay.Data(); err != nil {
		return err
	}
	m.wire = bufio.NewWriterSize(m.relay, wireBuffer)
	var saved io.Writer = io.Discard
	if m.saved != nil {
		saved = m.saved
	}
	m.split = newSplitter(m.wire, saved, m.missing, m.checkHeader)
	_, err := m.wire.WriteString(m.envelope.Received(m.recipients))
	return err
}

// checkRoom tells early what the quota decides when the copy is saved.
func (m *Message) checkRoom(ctx context.Context, size int64) error {
	room, err := m.who.HasRoom(ctx, size)
	if err == nil && !room {
		err = errQuota
	}
	return err
}

// missing makes a field that the message lacks.
func (m *Message) missing(name string) string {
	if name == fieldDate {
		return "Date: " + time.Now().UTC().Format("Mon, 02 Jan 2006 15:04:05 -0700") + "\r\n"
	}
	m.messageID = "<" + rand.Text() + "@" + m.service.opts.Hostname + ">"
	return "Message-ID: " + m.messageID + "\r\n"
}

// checkHeader checks who the message says that it is from.
func (m *Message) checkHeader(h *header) error {
	m.messageID = h.messageID
	if m.service.opts.From == AnySender {
		return nil
	}
	if h.tooLong || len(h.from) == 0 {
		return errFromSyntax
	}
	for _, field := range h.from {
		list := addresses(field.Bytes())
		if len(list) == 0 {
			return errFromSyntax
		}
		for _, address := range list {
			if address == m.envelope.From && m.service.opts.Senders <= m.service.opts.From {
				continue // Begin has asked
			}
			mine, err := m.mayUse(m.service.opts.From, address)
			if err != nil {
				return err
			}
			if !mine {
				return errFrom
			}
		}
	}
	return nil
}

// Write takes the next piece of the message. It never fails: a message that cannot be taken is read
// to its end all the same, and Finish tells why.
func (m *Message) Write(p []byte) (int, error) {
	m.size += int64(len(p))
	if m.refusal != nil {
		return len(p), nil
	}
	defer m.serve()()
	var err error
	if m.size > m.service.opts.MaxMessageSize {
		err = errSize
	} else {
		_, err = m.split.Write(p)
	}
	if err != nil {
		m.giveUp(err)
	}
	return len(p), nil
}

// giveUp refuses the message while it comes in.
func (m *Message) giveUp(err error) {
	m.refusal = m.refused(err)
	m.Abort()
}

// Finish hands the end of the message to the smarthost, and saves the copy. The message is over. The
// error is a *Refusal.
func (m *Message) Finish() (*Sent, error) {
	defer m.serve()()
	ctx, cancel := context.WithTimeout(m.ctx, finishTimeout)
	defer cancel()
	if m.refusal == nil {
		if err := m.complete(ctx); err != nil {
			m.giveUp(err)
		}
	}
	if m.refusal != nil {
		return nil, m.refusal
	}
	asked := time.Now()
	text, err := m.relay.End()
	m.service.opts.Metrics.seconds.Observe(time.Since(asked).Seconds())
	m.relay = nil
	if err != nil {
		m.giveUp(err)
		return nil, m.refusal
	}
	m.over = true
	m.service.opts.Metrics.messages.WithLabelValues("relayed").Inc()
	m.log = m.log.With("message_id", loggable(m.messageID))
	sent := &Sent{Text: text, MessageID: m.messageID}
	if m.saved != nil {
		sent.Copy = m.service.copies.save(m.ctx, m.saved, m.log)
	}
	m.log.Info("relayed", "recipients", len(m.recipients), "size", m.size, "answer", text,
		"took", time.Since(m.began).Round(time.Millisecond))
	return sent, nil
}

// complete makes the copy durable and sends all but the end of the message.
func (m *Message) complete(ctx context.Context) error {
	if err := m.split.end(); err != nil {
		return err
	}
	if m.saved != nil {
		if err := m.saved.Finish(ctx); err != nil {
			return err
		}
		if size := m.saved.Size(); size > m.envelope.Size {
			if err := m.checkRoom(ctx, size); err != nil {
				return err
			}
		}
	}
	return m.wire.Flush()
}

// Abort gives the message up. It does nothing after the message is over.
func (m *Message) Abort() {
	if m.over {
		return
	}
	m.over = true
	if m.relay != nil {
		m.relay.Abort()
		m.relay = nil
	}
	if m.saved != nil {
		m.saved.Discard(m.ctx)
	}
	if m.counted == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(m.ctx), undoTimeout)
	defer cancel()
	if err := m.who.UncountSending(ctx, *m.counted); err != nil {
		m.service.rare.Warn(m.log, "a message that was not sent stays counted", "error", err)
	}
}

// Abandoned counts and logs a message of which the client did not send the end, and gives it up.
func (m *Message) Abandoned(why error) {
	if !m.over {
		m.service.opts.Metrics.messages.WithLabelValues("abandoned").Inc()
		m.log.Info("message not completed by the client", "size", m.size, "error", why)
	}
	m.Abort()
}

// loggable returns an identifier as log lines may have it.
func loggable(id string) string {
	const most = 200
	for i := range len(id) {
		if id[i] <= ' ' || id[i] >= 0x7f || i >= most {
			return ""
		}
	}
	return id
}
