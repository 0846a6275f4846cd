package ingest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/emersion/go-smtp"

	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/quota"
)

// session is one connection's side of go-smtp's backend. Mail, Rcpt, Reset and
// Logout are called by the connection's goroutine; the Data methods by another
// one for LMTP and BDAT, and then possibly at the same time.
type session struct {
	srv  *Server
	conn *guard
	log  *slog.Logger

	mu sync.Mutex
	tx *transaction
}

var _ smtp.LMTPSession = (*session)(nil)

// transaction is what MAIL and RCPT have said. Once a body begins, it belongs to
// that body's goroutine.
type transaction struct {
	id         string
	from       string // empty: the null reverse-path
	utf8       bool   // MAIL had SMTPUTF8
	size       int64  // declared, 0 if not
	trace      trace
	recipients []recipient
	begun      chan struct{} // closed when its body begins
}

// recipient is one accepted RCPT.
type recipient struct {
	address string // as go-smtp understood it, quotes undone
	user    *mailstore.User
	mailbox mailkey.Mailbox
}

// sessionIDLength is enough to find a session in a log.
const sessionIDLength = 12

func newID() string { return rand.Text()[:sessionIDLength] }

func (s *Server) newSession(c *smtp.Conn) (smtp.Session, error) {
	g, ok := c.Conn().(*guard)
	if !ok {
		return nil, errors.New("ingest: connection without a guard")
	}
	id := newID()
	g.session = &session{srv: s, conn: g, log: s.log.With("session", id, "remote", g.remote.String())}
	return g.session, nil
}

// Reset implements smtp.Session.
func (s *session) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tx = nil
}

// Logout implements smtp.Session.
func (s *session) Logout() error {
	s.Reset()
	return nil
}

// Mail implements smtp.Session.
func (s *session) Mail(from string, opts *smtp.MailOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.tx != nil:
		return reply(503, 5, 5, 1, "A transaction is open already")
	case s.conn.helo == "": // after STARTTLS, which go-smtp knows nothing of
		return reply(503, 5, 5, 1, "Please introduce yourself first")
	case opts.Size > s.srv.opts.MaxMessageSize:
		return errTooLarge
	}
	if from != "" {
		if err := checkPath(from, opts.UTF8); err != nil {
			return err
		}
	}
	s.tx = &transaction{id: newID(), from: from, utf8: opts.UTF8, size: opts.Size, begun: make(chan struct{})}
	s.tx.trace = trace{
		helo:   s.conn.helo,
		remote: s.conn.remote,
		host:   s.srv.opts.Hostname,
		with:   protocolName(s.srv.opts.LMTP, s.conn.extended, s.conn.tls, opts.UTF8),
		id:     s.tx.id,
	}
	return nil
}

// Rcpt implements smtp.Session.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.mu.Lock()
	tx := s.tx
	s.mu.Unlock()
	if tx == nil {
		return reply(503, 5, 5, 1, "MAIL first")
	}
	if err := checkPath(to, tx.utf8); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.srv.base, lookupTimeout)
	defer cancel()
	to, rcpt, box, err := s.lookUp(ctx, to)
	switch {
	case errors.Is(err, mailstore.ErrNoSuchAddress):
		return reply(550, 5, 1, 1, "<"+quotePath(to)+"> no such user here")
	case err != nil:
		s.log.Error("cannot look up recipient", "message", tx.id, "recipient", to, "error", err)
		return errTrouble
	}
	need := quota.Usage{Bytes: max(tx.size, 1), Messages: 1}
	// Tells early what the delivery's own charge decides in the end.
	if !rcpt.User.Fits(need) {
		return s.overQuota(to)
	}
	tx.recipients = append(tx.recipients, recipient{address: to, user: rcpt.User, mailbox: box})
	return nil
}

func (s *session) lookUp(ctx context.Context, to string) (string, *mailstore.Recipient, mailkey.Mailbox, error) {
	rcpt, err := s.srv.store.ResolveAddress(ctx, to)
	if err != nil {
		return to, nil, mailkey.Mailbox{}, err
	}
	box, err := s.srv.store.MailboxByPath(ctx, rcpt.User.ID, inbox)
	if err != nil {
		return to, nil, mailkey.Mailbox{}, fmt.Errorf("mailbox %s of %s: %w", inbox, rcpt.User.Username, err)
	}
	return to, rcpt, box.Key, nil
}

// take hands the transaction over to the goroutine of its body.
func (s *session) take() *transaction {
	s.mu.Lock()
	defer s.mu.Unlock()
	tx := s.tx
	s.tx = nil
	if tx != nil {
		close(tx.begun)
	}
	return tx
}

// awaitBody waits for take, if go-smtp is going to call a Data method: it does so
// for every chunk when there are recipients.
func (s *session) awaitBody() {
	s.mu.Lock()
	tx := s.tx
	s.mu.Unlock()
	if tx != nil && len(tx.recipients) > 0 {
		<-tx.begun
	}
}

// Data implements smtp.Session: SMTP, with one answer for all recipients.
func (s *session) Data(r io.Reader) error {
	tx, results, err := s.receive(r)
	if err != nil {
		return err
	}
	var worst error
	for i, err := range results {
		var failure *smtp.SMTPError
		if errors.As(err, &failure) && failure.Code >= 400 {
			if len(results) > 1 {
				failure = reply(failure.Code, failure.EnhancedCode[0], failure.EnhancedCode[1], failure.EnhancedCode[2],
					"<"+quotePath(tx.recipients[i].address)+"> "+failure.Message)
			}
			if worst == nil || failure.Temporary() && !worst.(*smtp.SMTPError).Temporary() {
				worst = failure
			}
		}
	}
	if worst != nil {
		return worst
	}
	return results[0]
}

// LMTPData implements smtp.LMTPSession.
func (s *session) LMTPData(r io.Reader, status smtp.StatusCollector) error {
	tx, results, err := s.receive(r)
	if err != nil {
		return err
	}
	for i, err := range results {
		status.SetStatus(tx.recipients[i].address, err)
	}
	return nil
}

// receive reads the body and delivers it. The results belong to the
// transaction's recipients, in their order, and are *smtp.SMTPError, also for
// success. The error is for the whole body.
func (s *session) receive(r io.Reader) (*transaction, []error, error) {
	s.srv.bodies.Add(1)
	defer s.srv.bodies.Done()
	if _, chunked := r.(*io.PipeReader); !chunked {
		r = dataReader{s.conn} // go-smtp's own reader stays empty: see guard
	}
	tx := s.take()
	if tx == nil || len(tx.recipients) == 0 {
		return nil, nil, s.discard(r, reply(503, 5, 5, 1, "RCPT first"))
	}
	d := &delivery{srv: s.srv, tx: tx, log: s.log.With("message", tx.id), started: time.Now()}
	results, err := d.run(r)
	if err != nil {
		return nil, nil, s.discard(r, err)
	}
	return tx, results, nil
}

// discard reads the rest of a refused body, so that the client hears the answer
// after it, and returns refusal.
func (s *session) discard(r io.Reader, refusal error) error {
	if _, err := io.Copy(io.Discard, r); err != nil {
		s.log.Debug("connection ended within a refused body", "error", err)
	}
	return refusal
}

// checkPath refuses addresses that must not get into trace lines, and says
// what a client did wrong. What go-smtp has parsed is looser than RFC 5321 section 4.1.2.
func checkPath(address string, utf8Allowed bool) error {
	if len(address) > maxPath {
		return reply(501, 5, 1, 7, "Address too long")
	}
	at := strings.LastIndexByte(address, '@')
	if at <= 0 || at == len(address)-1 || !utf8.ValidString(address) {
		return reply(501, 5, 1, 7, "Bad address syntax")
	}
	for i, r := range address {
		switch {
		case r < ' ' || r == 0x7f, i > at && strings.ContainsRune(" <>()\\\",;", r):
			return reply(501, 5, 1, 7, "Bad address syntax")
		case r >= utf8.RuneSelf && !utf8Allowed:
			return reply(553, 5, 6, 7, "Non-ASCII address without SMTPUTF8") // RFC 6531 section 3.5
		}
	}
	return nil
}
