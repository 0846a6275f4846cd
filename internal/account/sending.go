package account

import (
	"context"
	"errors"
	"time"

	"gadwall/dedupe"
	"gadwall/internal/contents"
	"gadwall/internal/mailstore"
	"gadwall/quota"
)

// Owning says how an address is the user's.
type Owning uint8

const (
	Foreign  Owning = iota // not at all
	CatchAll               // since nobody else has it, and the user has the domain's other addresses
	Own                    // the user name, an alias, or one of both with a +detail
)

// Owns tells whether an address is the user's.
func (a *Account) Owns(ctx context.Context, address string) (Owning, error) {
	normal, err := mailstore.NormalizeAddress(address)
	if err != nil {
		return Foreign, nil
	}
	if normal == a.name {
		return Own, nil
	}
	rcpt, err := a.store.ResolveAddress(a.chain(ctx), address)
	switch {
	case errors.Is(err, mailstore.ErrNoSuchAddress), err == nil && rcpt.User.ID != a.user:
		return Foreign, nil
	case err != nil:
		return Foreign, err
	case rcpt.CatchAll:
		return CatchAll, nil
	}
	return Own, nil
}

// SendingLimit is the limit in force for what the user sends: the own one, or usual in place of
// Default. 0 is no limit.
func (a *Account) SendingLimit(usual mailstore.Sending) mailstore.Sending {
	inForce := func(own, usual int64) int64 {
		switch own {
		case quota.Default:
			return usual
		case quota.Unlimited:
			return 0
		}
		return own
	}
	return mailstore.Sending{Messages: inForce(a.sending.Messages, usual.Messages),
		Recipients: inForce(a.sending.Recipients, usual.Recipients)}
}

// CountSending counts what the user is about to send. See mailstore.Store.CountSending.
func (a *Account) CountSending(ctx context.Context, by, limit mailstore.Sending) (mailstore.SendingSlot, error) {
	return a.store.CountSending(ctx, a.user, by, limit)
}

// UncountSending takes back what was counted and then not sent.
func (a *Account) UncountSending(ctx context.Context, at mailstore.SendingSlot) error {
	return a.store.UncountSending(ctx, at)
}

// HasRoom reports whether the user's quota has room for a message of this size.
func (a *Account) HasRoom(ctx context.Context, size int64) (bool, error) {
	limits, usage, err := a.Quota(ctx)
	return err == nil && limits.Fit(usage, quota.Usage{Bytes: size, Messages: 1}), err
}

// useSent is the special use of the mailbox for sent messages (RFC 6154), and pathSent its path if
// the user has none yet.
const (
	useSent  = `\Sent`
	pathSent = "Sent"
)

// SentCopy is the copy of a message that the user sends, on its way into the mailbox of use \Sent:
// Write, Finish, then Save until it succeeds; or Discard. What Save needs is small. One goroutine
// uses it.
type SentCopy struct {
	account *Account
	w       *contents.Writer
	item    mailstore.AppendItem // after Finish
	size    int64                // likewise
	state   copyState
}

type copyState uint8

const (
	copyWriting  copyState = iota
	copyFinished           // the item has a reference
	copyFailed             // it has none any more
	copyEnded
)

// NewSentCopy begins a copy. The context is for its bytes until Finish.
func (a *Account) NewSentCopy(ctx context.Context) *SentCopy {
	return &SentCopy{account: a, w: a.store.Contents().NewWriter(ctx)}
}

// Write stores a piece of the message.
func (c *SentCopy) Write(p []byte) (int, error) { return c.w.Write(p) }

// Finish makes the bytes durable. Save or Discard must follow.
func (c *SentCopy) Finish(ctx context.Context) error {
	stored, err := c.w.Finish(ctx, 1)
	if err != nil {
		return err
	}
	c.item = mailstore.NewAppendItem(stored, mailstore.Delivery{
		Flags: mailstore.Seen, Once: mailstore.Submitted, Magic: stored.Magics[0]})
	c.size, c.state, c.w = stored.Size, copyFinished, nil
	return nil
}

// Size is that of the message, after Finish.
func (c *SentCopy) Size() int64 { return c.size }

// Saved says where the copy is.
type Saved struct {
	Path        string
	UIDValidity uint32
	UID         uint32
	// Existed says that the message was there already: the client had saved it, or an earlier try.
	Existed bool
}

// Save puts the copy into the mailbox, which it makes if there is none, with \Seen. After an error it
// may be called again. If the error is that of the context, the copy may be saved all the same; the
// next call then finds it. Errors that do not pass: quota.ErrOverQuota, and *dedupe.MissingError.
func (c *SentCopy) Save(ctx context.Context) (*Saved, error) {
	ctx = c.account.chain(ctx)
	box, err := c.account.sentMailbox(ctx)
	if err != nil {
		return nil, err
	}
	item := c.item.To(box.Key)
	if c.state == copyFailed {
		if item, err = c.account.store.Renew(ctx, item); err != nil {
			return nil, err
		}
	}
	c.state = copyFailed // Append releases the reference if it fails
	delivered, err := c.account.store.Append(ctx, []mailstore.AppendItem{item})
	if err != nil {
		return nil, err
	}
	c.state = copyEnded
	d := delivered[0]
	return &Saved{Path: box.Path, UIDValidity: d.UIDValidity, UID: d.UID, Existed: d.Existed}, nil
}

// sentMailbox returns the mailbox of use \Sent. Without one it is the mailbox Sent, which is made if
// there is none.
func (a *Account) sentMailbox(ctx context.Context) (*mailstore.Mailbox, error) {
	box, err := a.store.MailboxBySpecialUse(ctx, a.user, useSent)
	if !errors.Is(err, mailstore.ErrNoSuchMailbox) {
		return box, err
	}
	box, err = a.store.CreateMailbox(ctx, a.user, pathSent, mailstore.CreateOptions{SpecialUse: useSent})
	switch {
	case errors.Is(err, mailstore.ErrMailboxExists):
		return a.store.MailboxByPath(ctx, a.user, pathSent)
	case errors.Is(err, mailstore.ErrSpecialUse): // somebody else made it meanwhile
		return a.store.MailboxBySpecialUse(ctx, a.user, useSent)
	case err != nil:
		return nil, err
	}
	// A failure leaves a mailbox that the user does not see in some clients.
	if err := a.store.Subscribe(ctx, a.user, pathSent, true); err != nil {
		a.log.Warn("the mailbox for sent mail is not subscribed", "error", err)
	}
	return box, nil
}

// Discard gives up a copy that is not saved.
func (c *SentCopy) Discard(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardTimeout)
	defer cancel()
	switch c.state {
	case copyWriting:
		c.w.Abort(ctx)
	case copyFinished:
		c.release(ctx)
	}
	c.state = copyEnded
}

func (c *SentCopy) release(ctx context.Context) {
	if time.Since(c.item.Since()) > dedupe.MaxHold {
		return // left for the audit
	}
	err := c.account.store.Contents().ReleaseRefs(ctx, []contents.Ref{c.item.Ref()})
	if err != nil {
		c.account.log.Warn("the reference of a message that was not sent stays until the next check", "error", err)
	}
}
