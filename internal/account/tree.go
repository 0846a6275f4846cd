package account

import (
	"context"

	"gadwall/internal/mailstore"
)

// Mailboxes returns the mailboxes that the actor may see, in byte order of their paths.
func (a *Account) Mailboxes(ctx context.Context) ([]*mailstore.Mailbox, error) {
	if !a.rights.Has(Lookup) {
		return nil, nil
	}
	return a.store.Mailboxes(a.chain(ctx), a.user)
}

// Subscriptions returns all names the user is subscribed to, sorted, with or without a mailbox.
func (a *Account) Subscriptions(ctx context.Context) ([]string, error) {
	return a.store.Subscriptions(a.chain(ctx), a.user)
}

// Status returns the mailbox with this path as it is now. It needs Read. Errors:
// mailstore.ErrNoSuchMailbox, ErrNoRight.
func (a *Account) Status(ctx context.Context, path string) (*mailstore.Mailbox, error) {
	if err := a.rights.check(Read); err != nil {
		return nil, err
	}
	return a.store.MailboxByPath(a.chain(ctx), a.user, path)
}

// Create makes an empty mailbox. It needs CreateMailbox. Errors: ErrNoRight, and those of
// mailstore.Store.CreateMailbox.
func (a *Account) Create(
	ctx context.Context, path string, o mailstore.CreateOptions,
) (*mailstore.Mailbox, error) {
	if err := a.rights.check(CreateMailbox); err != nil {
		return nil, err
	}
	return a.store.CreateMailbox(a.chain(ctx), a.user, path, o)
}

// Rename renames a mailbox and those below it. It needs DeleteMailbox for the old name and
// CreateMailbox for the new one (RFC 4314 section 4). Errors: ErrNoRight, and those of
// mailstore.Store.RenameMailbox.
func (a *Account) Rename(ctx context.Context, from, to string) error {
	if err := a.rights.check(DeleteMailbox | CreateMailbox); err != nil {
		return err
	}
	return a.store.RenameMailbox(a.chain(ctx), a.user, from, to)
}

// Delete removes a mailbox with its messages. It needs DeleteMailbox. Errors: ErrNoRight, and those
// of mailstore.Store.DeleteMailbox.
func (a *Account) Delete(ctx context.Context, path string) error {
	if err := a.rights.check(DeleteMailbox); err != nil {
		return err
	}
	return a.store.DeleteMailbox(a.chain(ctx), a.user, path)
}

// Subscribe adds a name to the user's subscriptions or removes it. A name needs no mailbox and no
// right (RFC 3501 section 6.3.6). Errors are those of mailstore.Store.Subscribe.
func (a *Account) Subscribe(ctx context.Context, path string, subscribed bool) error {
	return a.store.Subscribe(a.chain(ctx), a.user, path, subscribed)
}
