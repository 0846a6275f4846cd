package account

import (
	"context"
	"errors"
	"iter"
	"sync/atomic"

	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/internal/search"
	"gadwall/internal/uidset"
	"gadwall/quota"
)

// Access says what a mailbox is opened for.
type Access uint8

const (
	ReadWrite Access = iota // all that the actor has rights for
	ReadOnly                // nothing that changes the mailbox (EXAMINE)
)

// Mailbox is an opened mailbox. Nothing needs to be closed. It is safe for concurrent use, but for
// Contents.
type Mailbox struct {
	account  *Account
	key      mailkey.Mailbox
	at       *mailstore.Mailbox // as it was when it was opened
	granted  atomic.Uint32      // Rights
	readOnly bool
	contents *Contents
}

// Open opens the mailbox with this path, and returns it with its document at that moment. It needs
// Read. Errors: mailstore.ErrNoSuchMailbox, ErrNoRight.
func (a *Account) Open(
	ctx context.Context, path string, access Access,
) (*Mailbox, *mailstore.Mailbox, error) {
	to, box, err := a.find(ctx, path, Read)
	if err != nil {
		return nil, nil, err
	}
	return to.opened(box, access), to.named(box), nil
}

// OpenKey is Open for a mailbox that the caller knows by its key.
func (a *Account) OpenKey(
	ctx context.Context, key mailkey.Mailbox, access Access,
) (*Mailbox, *mailstore.Mailbox, error) {
	to, err := a.of(ctx, key.User())
	if err != nil {
		return nil, nil, err
	}
	if to.visitor == nil {
		if err := to.rights.check(Read); err != nil {
			return nil, nil, err
		}
	}
	box, err := to.store.MailboxByKey(to.chain(ctx), key)
	if err == nil {
		err = to.rightsOn(box).check(Read)
	}
	if err != nil {
		return nil, nil, err
	}
	return to.opened(box, access), to.named(box), nil
}

// of returns the account by which the actor uses the mail of a user. The error is
// mailstore.ErrNoSuchMailbox if there is no way.
func (a *Account) of(ctx context.Context, owner mailkey.UserID) (*Account, error) {
	if owner == a.user {
		return a, nil
	}
	if !a.shared.sharing || a.visitor != nil {
		return nil, mailstore.ErrNoSuchMailbox
	}
	user, err := a.store.UserByID(a.chain(ctx), owner)
	if errors.Is(err, mailstore.ErrNoSuchUser) {
		return nil, mailstore.ErrNoSuchMailbox
	}
	if err != nil {
		return nil, err
	}
	return a.visit(ctx, user)
}

// Destination opens the mailbox with this path to put messages into it. It needs Insert, and not
// Read: an actor may have a mailbox that only takes. Errors: mailstore.ErrNoSuchMailbox,
// ErrNoRight.
func (a *Account) Destination(ctx context.Context, path string) (*Mailbox, error) {
	to, box, err := a.find(ctx, path, Insert)
	if err != nil {
		return nil, err
	}
	return to.opened(box, ReadWrite), nil
}

func (a *Account) opened(box *mailstore.Mailbox, access Access) *Mailbox {
	key, at := box.Key, *box
	at.Keywords = nil // may be long
	m := &Mailbox{
		account: a, key: key, at: &at, readOnly: access == ReadOnly,
		contents: newContents(a.store.Contents(), a.log.With("mailbox", key.String())),
	}
	m.granted.Store(uint32(a.rightsOn(box)))
	return m
}

// Foreign reports whether the mailbox is another user's.
func (m *Mailbox) Foreign() bool { return m.account.visitor != nil }

// Refresh looks which rights the actor has now on a mailbox of another user, and reports whether
// they are others than before. The error is mailstore.ErrNoSuchMailbox if the actor may not read the
// mailbox any more, or if it is gone. On a mailbox of the actor's own it does nothing.
func (m *Mailbox) Refresh(ctx context.Context) (changed bool, err error) {
	a := m.account
	if a.visitor == nil {
		return false, nil
	}
	if err := a.visitor.recall(ctx); err != nil {
		return false, err
	}
	box, err := a.store.MailboxByKey(a.chain(ctx), m.key)
	if err != nil {
		return false, err
	}
	now := a.rightsOn(box)
	changed = m.granted.Swap(uint32(now)) != uint32(now)
	if !now.Has(Read) {
		return changed, mailstore.ErrNoSuchMailbox
	}
	return changed, nil
}

func (m *Mailbox) rights() Rights { return Rights(m.granted.Load()) }

// Key names the mailbox. It stays when the mailbox is renamed.
func (m *Mailbox) Key() mailkey.Mailbox { return m.key }

// ReadOnly reports whether the mailbox was opened for reading.
func (m *Mailbox) ReadOnly() bool { return m.readOnly }

// Rights are what the actor may do with the mailbox as it was opened.
func (m *Mailbox) Rights() Rights {
	if m.readOnly {
		return m.rights() &^ changing
	}
	return m.rights()
}

// Check fails unless the actor may do what needs these rights. All operations check by themselves;
// a caller checks before them to refuse early.
func (m *Mailbox) Check(needed Rights) error {
	if err := m.rights().check(needed); err != nil {
		return err
	}
	if m.readOnly && needed&changing != 0 {
		return ErrReadOnly
	}
	return nil
}

// Contents reads the contents of the mailbox's messages.
func (m *Mailbox) Contents() *Contents { return m.contents }

// Status returns the mailbox's document as it is now. The error is mailstore.ErrNoSuchMailbox if
// the mailbox was deleted.
func (m *Mailbox) Status(ctx context.Context) (*mailstore.Mailbox, error) {
	if err := m.Check(Read); err != nil {
		return nil, err
	}
	box, err := m.account.store.MailboxByKey(m.account.chain(ctx), m.key)
	if err != nil {
		return nil, err
	}
	return m.account.counted(ctx, m.account.named(box))
}

// HighestModSeqs returns the highest mod-sequences of mailboxes that are open, of those that still
// exist. It asks for all of them at once. They may be of any accounts of the same Accounts.
func HighestModSeqs(
	ctx context.Context, boxes map[mailkey.Mailbox]*Mailbox,
) (map[mailkey.Mailbox]uint64, error) {
	var store *mailstore.Store
	keys := make([]mailkey.Mailbox, 0, len(boxes))
	for key, m := range boxes {
		store, keys = m.account.store, append(keys, key)
	}
	if store == nil {
		return nil, nil
	}
	return store.HighestModSeqs(ctx, keys)
}

// Changes returns what changed after the mod-sequence since. See mailstore.Store.Changes.
func (m *Mailbox) Changes(ctx context.Context, since uint64) (*mailstore.Changes, error) {
	if err := m.Check(Read); err != nil {
		return nil, err
	}
	changes, err := m.account.shared.columns.Changes(m.account.chain(ctx), m.key, since)
	if err != nil || m.account.seenBy() == nil {
		return changes, err
	}
	return m.seenChanges(ctx, changes)
}

// Messages iterates over messages. See mailstore.Store.Messages. Queries for flags, internal dates
// and sizes are answered from the columns that all sessions share (package mailcolumns).
func (m *Mailbox) Messages(
	ctx context.Context, q mailstore.Query, fields mailstore.Fields,
) iter.Seq2[*mailstore.Message, error] {
	if err := m.Check(Read); err != nil {
		return func(yield func(*mailstore.Message, error) bool) { yield(nil, err) }
	}
	ctx = m.account.chain(ctx)
	return func(yield func(*mailstore.Message, error) bool) {
		messages, ok, err := m.account.shared.columns.Messages(ctx, m.key, q, fields)
		if err != nil {
			yield(nil, err)
			return
		}
		if !ok {
			messages = m.account.store.Messages(ctx, m.key, q, fields)
		}
		if m.account.seenBy() != nil && fields&mailstore.FieldFlags != 0 {
			messages = m.seenMessages(ctx, messages)
		}
		messages(yield)
	}
}

// UIDs returns the UIDs of the messages that Messages would iterate over.
func (m *Mailbox) UIDs(ctx context.Context, q mailstore.Query) ([]uint32, error) {
	if err := m.Check(Read); err != nil {
		return nil, err
	}
	return m.account.store.UIDs(m.account.chain(ctx), m.key, q)
}

// Opening is what a client is told when it opens a mailbox.
type Opening struct {
	Mailbox     *mailstore.Mailbox // the document of the moment
	UIDs        []uint32           // of the messages that it counts, ascending
	FirstUnseen uint32             // the least UID of a message without \Seen, 0 if there is none
}

// Opening returns what there is to tell of the mailbox, whose document Open returned just now. What
// happens later Changes tells, from Opening.Mailbox.HighestModSeq on.
func (m *Mailbox) Opening(ctx context.Context, box *mailstore.Mailbox) (Opening, error) {
	if err := m.Check(Read); err != nil {
		return Opening{}, err
	}
	ctx = m.account.chain(ctx)
	at, uids, first, ok, err := m.account.shared.columns.Opened(ctx, box)
	if err != nil {
		return Opening{}, err
	}
	if ok {
		m.account.store.KeepRoll(ctx, at, uids)
		return m.seenOpening(ctx, Opening{m.account.named(at), uids, first})
	}
	o := Opening{Mailbox: box}
	if o.UIDs, err = m.account.store.UIDsOf(ctx, box); err != nil {
		return Opening{}, err
	}
	if o.FirstUnseen, err = m.account.store.FirstUnseen(ctx, m.key); err != nil {
		return Opening{}, err
	}
	return m.seenOpening(ctx, o)
}

// UIDsOf returns the UIDs of the messages that the mailbox's document counts, which was read just now.
// See mailstore.Store.UIDsOf.
func (m *Mailbox) UIDsOf(ctx context.Context, box *mailstore.Mailbox) ([]uint32, error) {
	if err := m.Check(Read); err != nil {
		return nil, err
	}
	return m.account.store.UIDsOf(m.account.chain(ctx), box)
}

// Search iterates over the messages that the request's plan finds, by ascending UID. The plan is
// for this mailbox, whatever it says.
func (m *Mailbox) Search(
	ctx context.Context, req search.Request,
) iter.Seq2[search.Found, error] {
	if err := m.Check(Read); err != nil {
		return func(yield func(search.Found, error) bool) { yield(search.Found{}, err) }
	}
	m.prepare(&req)
	return m.account.shared.searcher.Run(m.account.chain(ctx), req)
}

// CountFound returns how many messages Search would find, without finding them where it can.
func (m *Mailbox) CountFound(ctx context.Context, req search.Request) (int64, error) {
	if err := m.Check(Read); err != nil {
		return 0, err
	}
	m.prepare(&req)
	return m.account.shared.searcher.Count(m.account.chain(ctx), req)
}

// prepare makes the request one for this mailbox.
func (m *Mailbox) prepare(req *search.Request) {
	req.Plan.Mailbox, req.Contents = m.key, m.contents
	req.Rows = func(ctx context.Context, q mailstore.Query) (
		iter.Seq2[*mailstore.Message, error], bool, error,
	) {
		return m.account.shared.columns.Loaded(ctx, m.key, q)
	}
	req.Numbers = func(ctx context.Context, set uidset.Set, cut func(*mailstore.FlagState) bool,
		f func(uid uint32, number mailstore.Number)) (bool, error) {
		return m.account.shared.columns.Numbers(ctx, m.key, set, cut, f)
	}
}

// StoreFlags changes flags. It needs KeepSeen for \Seen, DeleteMessages for \Deleted, and Write for
// all others. Flags that the actor may not change stay as they are, and the call fails only if none
// of those named may be changed (RFC 4314 section 4, STORE). See mailstore.Store.StoreFlags.
func (m *Mailbox) StoreFlags(
	ctx context.Context, uids uidset.Set, c mailstore.FlagChange,
) (*mailstore.FlagResult, error) {
	needed := flagRights(c.Flags, len(c.Keywords) > 0)
	if c.Op == mailstore.Set {
		needed = KeepSeen | Write | DeleteMessages
	}
	granted := m.rights()
	if needed &= granted; needed == 0 {
		needed = flagRights(mailstore.AllFlags, true) // the error names what would help
	}
	if err := m.Check(needed); err != nil {
		return nil, err
	}
	c.SeenBy = m.account.seenBy()
	c.Flags &= granted.Flags()
	c.Keep = mailstore.AllFlags &^ granted.Flags()
	if !granted.Has(Write) {
		c.Keywords, c.KeepKeywords = nil, true
	}
	return m.account.store.StoreFlags(m.account.chain(ctx), m.key, uids, c)
}

// Copy copies messages to a mailbox, which may be another user's. It needs Read here and Insert there.
// Flags that the actor may not set there do not come with the messages (RFC 4314 section 4, COPY). See
// mailstore.Store.CopyBetween, also for progress, which may be nil.
func (m *Mailbox) Copy(
	ctx context.Context, uids uidset.Set, to *Mailbox, progress func(messages int),
) (*mailstore.CopyResult, error) {
	if err := m.Check(Read); err != nil {
		return nil, err
	}
	if err := to.Check(Insert); err != nil {
		return nil, err
	}
	return m.put(ctx, uids, to, progress, m.account.store.CopyBetween)
}

// dropped is what messages lose that the actor puts into the mailbox.
func (m *Mailbox) dropped() mailstore.Dropped {
	r := m.rights()
	return mailstore.Dropped{Flags: mailstore.AllFlags &^ r.Flags(), Keywords: !r.Has(Write)}
}

// owned is the error of a call that charges the quota. An actor learns that there is no room in the
// mail of another user, and not how much there was.
func (a *Account) owned(err error) error {
	if a.visitor != nil && errors.Is(err, quota.ErrOverQuota) {
		return &mailstore.InvalidError{Err: quota.ErrOverQuota, Reason: "that of the mailbox's owner"}
	}
	return err
}

// Move moves messages to a mailbox, which may be another user's. It needs what Copy, setting \Deleted and
// Expunge need (RFC 6851 section 4.2). On error, some may have been moved, and the result, if it is
// not nil, names them. See mailstore.Store.MoveBetween.
func (m *Mailbox) Move(
	ctx context.Context, uids uidset.Set, to *Mailbox, progress func(messages int),
) (*mailstore.CopyResult, error) {
	if err := m.Check(Read | DeleteMessages | Expunge); err != nil {
		return nil, err
	}
	if err := to.Check(Insert); err != nil {
		return nil, err
	}
	return m.put(ctx, uids, to, progress, m.account.store.MoveBetween)
}

// Expunge removes the messages with \Deleted among uids (nil means all) for good. It needs the
// right Expunge. removed is called after each transaction with the UIDs, ascending, and the
// mailbox's mod-sequence; its error ends the rest, and is returned. See
// mailstore.Store.ExpungeEach.
func (m *Mailbox) Expunge(
	ctx context.Context, uids uidset.Set, removed func(uids []uint32, modseq uint64) error,
) error {
	if err := m.Check(Expunge); err != nil {
		return err
	}
	return m.account.store.ExpungeEach(m.account.chain(ctx), m.key, uids, removed)
}
