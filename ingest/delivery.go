package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/emersion/go-smtp"

	"gadwall/internal/contents"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/quota"
)

// inbox is where all mail goes.
const inbox = "INBOX"

// store is what a session needs of the mail store. Tests make it fail.
type store interface {
	ResolveAddress(ctx context.Context, address string) (*mailstore.Recipient, error)
	MailboxByPath(ctx context.Context, user mailkey.UserID, path string) (*mailstore.Mailbox, error)
	NewWriter(ctx context.Context) contentWriter
	Deliver(ctx context.Context, stored *contents.Stored, to []mailstore.Delivery) ([]mailstore.Delivered, error)
}

// contentWriter is *contents.Writer.
type contentWriter interface {
	io.Writer
	Finish(ctx context.Context, refs int) (*contents.Stored, error)
	Abort(ctx context.Context)
}

type mailStore struct{ *mailstore.Store }

func (m mailStore) NewWriter(ctx context.Context) contentWriter { return m.Contents().NewWriter(ctx) }

// delivery is the way of one body into the mailboxes of its recipients.
type delivery struct {
	srv     *Server
	tx      *transaction
	log     *slog.Logger
	started time.Time
}

// run stores what r gives and delivers it. The results are those of the
// recipients, *smtp.SMTPError, also for success. An error is the answer to the
// whole body; then nothing was delivered and nothing is left behind, but r may
// not be at its end.
func (d *delivery) run(r io.Reader) ([]error, error) {
	bodies := d.srv.opts.Metrics.bodies
	reading, stop := context.WithCancel(d.srv.base)
	defer stop()
	w := d.srv.store.NewWriter(reading)
	finished := false
	defer func() {
		if !finished {
			// Also when the server is stopping: what was written must not stay.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(d.srv.base), abortTimeout)
			defer cancel()
			w.Abort(ctx)
		}
	}()

	size, err := d.copy(w, r)
	switch {
	case errors.Is(err, errTooLarge):
		bodies.WithLabelValues(d.srv.proto, "refused").Inc()
		d.log.Info("message refused: too large", "from", d.tx.from, "limit", d.srv.opts.MaxMessageSize)
		return nil, errTooLarge
	case errors.Is(err, errWrite):
		bodies.WithLabelValues(d.srv.proto, "failed").Inc()
		d.log.Error("cannot store message", "from", d.tx.from, "error", err)
		return nil, trouble(err)
	case err != nil:
		// Any error of the reader, not just EOF within the body, is an abort.
		bodies.WithLabelValues(d.srv.proto, "aborted").Inc()
		d.log.Info("message not completed by the client", "from", d.tx.from, "error", err)
		return nil, errAborted
	}

	// The client has done its part: from here on its going away stops nothing.
	ctx, cancel := context.WithTimeout(d.srv.base, deliverTimeout)
	defer cancel()
	targets := d.targets()
	stored, err := w.Finish(ctx, len(targets))
	if err != nil {
		bodies.WithLabelValues(d.srv.proto, "failed").Inc()
		d.log.Error("cannot store message", "from", d.tx.from, "size", size, "error", err)
		return nil, trouble(err)
	}
	finished = true
	bodies.WithLabelValues(d.srv.proto, "stored").Inc()
	d.srv.opts.Metrics.bytes.WithLabelValues(d.srv.proto).Add(float64(size))
	return d.deliver(ctx, stored, targets), nil
}

// errWrite marks trouble of ours while a body comes in.
var errWrite = errors.New("write content")

// copy reads the body to its end, unless it is larger than the limit or cannot
// be written.
func (d *delivery) copy(w io.Writer, r io.Reader) (size int64, err error) {
	buf := make([]byte, copyBuffer)
	for {
		n, err := r.Read(buf)
		if size += int64(n); size > d.srv.opts.MaxMessageSize {
			return size, errTooLarge
		}
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return size, fmt.Errorf("%w: %w", errWrite, err)
			}
		}
		if err == io.EOF {
			return size, nil
		}
		if err != nil {
			return size, err
		}
	}
}

// target is one message to be made, and the recipients whom it stands for.
type target struct {
	first      recipient
	recipients []int // indexes into the transaction's recipients
}

// targets merges recipients that are the same mailbox.
func (d *delivery) targets() []target {
	var list []target
	seen := make(map[mailkey.Mailbox]int, len(d.tx.recipients))
	for i, rcpt := range d.tx.recipients {
		at, ok := seen[rcpt.mailbox]
		if !ok {
			at = len(list)
			seen[rcpt.mailbox] = at
			list = append(list, target{first: rcpt})
		}
		list[at].recipients = append(list[at].recipients, i)
	}
	return list
}

// deliver makes the messages. It always returns a result for every recipient.
func (d *delivery) deliver(ctx context.Context, stored *contents.Stored, targets []target) []error {
	now := time.Now()
	list := make([]mailstore.Delivery, len(targets))
	for i, t := range targets {
		list[i] = mailstore.Delivery{
			Mailbox:      t.first.mailbox,
			InternalDate: now,
			Prefix:       d.tx.trace.prefix(d.tx.from, t.first.address, now),
			Magic:        stored.Magics[i],
		}
	}
	delivered, err := d.srv.store.Deliver(ctx, stored, list)
	if err == nil && len(delivered) != len(list) {
		err = fmt.Errorf("%d results for %d deliveries", len(delivered), len(list))
	}
	results := make([]error, len(d.tx.recipients))
	for i, t := range targets {
		rerr := err
		if err == nil {
			rerr = delivered[i].Err
		}
		answer := d.answer(t.first, rerr, stored.Size+int64(len(list[i].Prefix)))
		for _, r := range t.recipients {
			results[r] = answer
		}
	}
	return results
}

// answer turns the result of one delivery into its reply, and into the log.
func (d *delivery) answer(rcpt recipient, err error, size int64) *smtp.SMTPError {
	log := d.log.With("user", rcpt.user.Username, "recipient", rcpt.address, "from", d.tx.from, "size", size)
	count := d.srv.opts.Metrics.deliveries
	switch {
	case err == nil:
		count.WithLabelValues(d.srv.proto, "ok").Inc()
		log.Info("delivered", "took", time.Since(d.started).Round(time.Millisecond))
		return reply(250, 2, 1, 5, d.tx.id+" delivered")
	case errors.Is(err, quota.ErrOverQuota):
		count.WithLabelValues(d.srv.proto, "quota").Inc()
		log.Info("not delivered: over quota")
		return overQuota(d.srv.opts.RejectOverQuota, "mailbox full")
	case errors.Is(err, mailstore.ErrNoSuchMailbox):
		// INBOX cannot be deleted, but the user can, between RCPT and now.
		count.WithLabelValues(d.srv.proto, "failed").Inc()
		log.Info("not delivered: user deleted meanwhile")
		return errGone
	}
	count.WithLabelValues(d.srv.proto, "failed").Inc()
	log.Error("not delivered", "error", err)
	return trouble(err)
}
