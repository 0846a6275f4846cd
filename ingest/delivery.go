package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"gadwall/internal/activity"
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
	Inbox(ctx context.Context, user mailkey.UserID) (mailkey.Mailbox, error)
	MailboxByPath(ctx context.Context, user mailkey.UserID, path string) (*mailstore.Mailbox, error)
	NewWriter(ctx context.Context) contentWriter
	Deliver(
		ctx context.Context, stored *contents.Stored, to []mailstore.Delivery,
	) ([]mailstore.Delivered, error)
}

// contentWriter is *contents.Writer.
type contentWriter interface {
	io.Writer
	Finish(ctx context.Context, refs int) (*contents.Stored, error)
	Abort(ctx context.Context)
}

type mailStore struct{ *mailstore.Store }

func (m mailStore) NewWriter(ctx context.Context) contentWriter {
	return m.Contents().NewWriter(ctx)
}

// delivery is the way of one body into the mailboxes of its recipients.
type delivery struct {
	srv     *Server
	tx      *transaction
	log     *slog.Logger
	started time.Time
	size    int64 // octets received
	head    head

	w       contentWriter // nil after its end
	stop    func()        // ends the writer's context
	refusal *reply        // the answer to a body that cannot be taken; the rest of it is thrown away
}

func (s *Server) newDelivery(tx *transaction, log *slog.Logger) *delivery {
	d := &delivery{srv: s, tx: tx, log: log.With("message", tx.id), started: time.Now()}
	ctx, stop := context.WithCancel(s.base)
	d.w, d.stop = s.store.NewWriter(ctx), stop
	return d
}

// copyBuffers holds the buffers of deliveries between receiving.
var copyBuffers = sync.Pool{New: func() any { return new([copyBuffer]byte) }}

// receive stores what r gives. What is larger than the limit, or cannot be stored, is read to its
// end all the same. An error is r's, and means that the body will never be complete.
func (d *delivery) receive(r io.Reader) error {
	buf := copyBuffers.Get().(*[copyBuffer]byte)
	defer copyBuffers.Put(buf)
	for {
		n, err := r.Read(buf[:])
		d.take(buf[:n])
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// take stores a piece of the body, unless the body is refused.
func (d *delivery) take(p []byte) {
	d.size += int64(len(p))
	d.head.take(p)
	if d.refusal != nil || len(p) == 0 {
		return
	}
	if d.size > d.srv.opts.MaxMessageSize {
		d.log.Info("message refused", "from", d.tx.from, "limit", d.srv.opts.MaxMessageSize,
			"queue_id", d.head.queueID(), "reason", refusedSize)
		d.refuse("refused", replyTooLarge)
		return
	}
	if _, err := d.w.Write(p); err != nil {
		d.log.Error("cannot store message", "from", d.tx.from, "error", err)
		d.refuse("failed", trouble(err))
	}
}

// refuse notes the answer to the whole body, and gives up what was stored of it.
func (d *delivery) refuse(result string, answer reply) {
	d.srv.opts.Metrics.bodies.WithLabelValues(d.srv.role.name, result).Inc()
	d.refusal = &answer
	d.abort()
}

// abandon gives up a body of which the client will not send the rest.
func (d *delivery) abandon(why error) {
	if d.refusal == nil {
		d.srv.opts.Metrics.bodies.WithLabelValues(d.srv.role.name, "aborted").Inc()
		d.srv.delivery.Done(activity.Aborted, time.Since(d.started))
		d.log.Info("message not completed by the client", "from", d.tx.from, "size", d.size, "error", why)
	}
	d.abort()
}

// abort gives up what was stored, also when the server is stopping: it must not stay.
func (d *delivery) abort() {
	if d.w == nil {
		return
	}
	w := d.w
	d.w = nil
	d.stop()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(d.srv.base), abortTimeout)
	defer cancel()
	w.Abort(ctx)
}

// finish delivers the body, which is complete. The results are those of the recipients. From here
// on the client has done its part: its going away stops nothing.
func (d *delivery) finish() (results []reply) {
	defer d.abort()
	defer func() { d.srv.delivery.Done(resultOf(results), time.Since(d.started)) }()
	if d.refusal != nil {
		return d.all(*d.refusal)
	}
	ctx, cancel := context.WithTimeout(d.srv.base, deliverTimeout)
	defer cancel()
	targets := d.targets()
	d.log = d.log.With("queue_id", d.head.queueID())
	stored, err := d.w.Finish(ctx, len(targets))
	if err != nil {
		d.log.Error("cannot store message", "from", d.tx.from, "size", d.size, "error", err)
		d.refuse("failed", trouble(err))
		return d.all(*d.refusal)
	}
	d.w = nil
	d.stop()
	d.log = d.log.With("message_id", messageID(stored))
	d.srv.opts.Metrics.bodies.WithLabelValues(d.srv.role.name, "stored").Inc()
	d.srv.opts.Metrics.bytes.WithLabelValues(d.srv.role.name).Add(float64(d.size))
	return d.deliver(ctx, stored, targets)
}

// all is the same result for every recipient.
func (d *delivery) all(r reply) []reply {
	results := make([]reply, len(d.tx.recipients))
	for i := range results {
		results[i] = r
	}
	return results
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
func (d *delivery) deliver(ctx context.Context, stored *contents.Stored, targets []target) []reply {
	now := time.Now()
	list := make([]mailstore.Delivery, len(targets))
	for i, t := range targets {
		list[i] = mailstore.Delivery{
			Mailbox:      t.first.mailbox,
			Inbox:        true,
			InternalDate: now,
			Prefix:       d.tx.trace.prefix(d.tx.from, t.first.address, now),
			Magic:        stored.Magics[i],
		}
	}
	delivered, err := d.srv.store.Deliver(ctx, stored, list)
	if err == nil && len(delivered) != len(list) {
		err = fmt.Errorf("%d results for %d deliveries", len(delivered), len(list))
	}
	results := make([]reply, len(d.tx.recipients))
	for i, t := range targets {
		done := mailstore.Delivered{Err: err}
		if err == nil {
			done = delivered[i]
		}
		answer := d.answer(t.first, done, stored.Size+int64(len(list[i].Prefix)))
		for _, r := range t.recipients {
			results[r] = answer
		}
	}
	return results
}

// answer turns the result of one delivery into its reply, and into the log.
func (d *delivery) answer(rcpt recipient, done mailstore.Delivered, size int64) reply {
	err := done.Err
	log := d.log.With("user", rcpt.user.Username, "recipient", rcpt.address,
		"from", d.tx.from, "size", size)
	count := d.srv.opts.Metrics.deliveries
	switch {
	case err == nil:
		count.WithLabelValues(d.srv.role.name, "ok").Inc()
		log.Info("delivered", "mailbox", inbox, "uid", done.UID, "took", time.Since(d.started).Round(time.Millisecond))
		return reply{250, "2.1.5", d.tx.id + " delivered"}
	case errors.Is(err, quota.ErrOverQuota):
		count.WithLabelValues(d.srv.role.name, "quota").Inc()
		log.Info("not delivered: over quota")
		return d.srv.overQuota()
	case errors.Is(err, mailstore.ErrNoSuchMailbox):
		// INBOX cannot be deleted, but the user can, between RCPT and now.
		count.WithLabelValues(d.srv.role.name, "failed").Inc()
		log.Info("not delivered: user deleted meanwhile")
		return replyGone
	}
	count.WithLabelValues(d.srv.role.name, "failed").Inc()
	log.Error("not delivered", "error", err)
	return trouble(err)
}
