package account

import (
	"context"
	"errors"
	"strings"

	"gadwall/internal/mailstore"
)

// Mailboxes returns the mailboxes of the user that the actor may see, in byte order of their paths.
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

// find returns the mailbox to which a name of the actor's leads, on which the actor has the needed
// rights, and its account. Errors: mailstore.ErrNoSuchMailbox, ErrNoRight.
func (a *Account) find(ctx context.Context, name string, needed Rights) (*Account, *mailstore.Mailbox, error) {
	to, path, err := a.at(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	if to.visitor == nil {
		if err := to.rights.check(needed); err != nil {
			return nil, nil, err
		}
	}
	box, err := to.store.MailboxByPath(to.chain(ctx), to.user, path)
	if err != nil {
		return nil, nil, err
	}
	return to, box, to.rightsOn(box).check(needed)
}

// Status returns the mailbox with this path as it is now. It needs Read. Errors:
// mailstore.ErrNoSuchMailbox, ErrNoRight.
func (a *Account) Status(ctx context.Context, path string) (*mailstore.Mailbox, error) {
	to, box, err := a.find(ctx, path, Read)
	if err != nil {
		return nil, err
	}
	return to.counted(ctx, to.named(box))
}

// Create makes an empty mailbox. It needs CreateMailbox, in the mail of another user on the nearest
// mailbox above (RFC 4314 section 4). Errors: ErrNoRight, and those of
// mailstore.Store.CreateMailbox.
func (a *Account) Create(
	ctx context.Context, path string, o mailstore.CreateOptions,
) (*mailstore.Mailbox, error) {
	to, path, err := a.place(ctx, path)
	if err != nil {
		return nil, err
	}
	if to.visitor != nil && o.SpecialUse != "" {
		return nil, &mailstore.InvalidError{Err: mailstore.ErrSpecialUse,
			Reason: "mailboxes of others have none"}
	}
	box, err := to.store.CreateMailbox(to.chain(ctx), to.user, path, o)
	if err != nil {
		return nil, err
	}
	return to.named(box), nil
}

// place returns the account and the path to which the name of a new mailbox leads, if the actor may
// create it. All that cannot be is a missing right in the mail of others: no error tells which users
// and mailboxes there are.
func (a *Account) place(ctx context.Context, name string) (*Account, string, error) {
	name = strings.TrimSuffix(name, mailstore.Separator)
	to, path, err := a.at(ctx, name)
	if errors.Is(err, mailstore.ErrNoSuchMailbox) {
		return nil, "", &RightError{Missing: CreateMailbox}
	}
	if err != nil {
		return nil, "", err
	}
	if to.visitor == nil {
		return to, path, to.rights.check(CreateMailbox)
	}
	if path, err = mailstore.NormalizePath(path); err != nil {
		return nil, "", err
	}
	parent, err := to.store.NearestParent(to.chain(ctx), to.user, path)
	if errors.Is(err, mailstore.ErrNoSuchMailbox) || err == nil && !to.rightsOn(parent).Has(CreateMailbox) {
		return nil, "", &RightError{Missing: CreateMailbox}
	}
	return to, path, err
}

// Rename renames a mailbox and those below it, within the mail of one user. It needs DeleteMailbox
// for the old name and CreateMailbox for the new one (RFC 4314 section 4). Errors: ErrNoRight, and
// those of mailstore.Store.RenameMailbox.
func (a *Account) Rename(ctx context.Context, from, to string) error {
	source, old, err := a.at(ctx, from)
	if err != nil {
		return err
	}
	if source.visitor == nil {
		if err := source.rights.check(DeleteMailbox); err != nil {
			return err
		}
	} else if _, _, err := a.find(ctx, from, DeleteMailbox); err != nil {
		return err
	}
	dest, path, err := a.place(ctx, to)
	if err != nil {
		return err
	}
	if dest.user != source.user {
		return &mailstore.InvalidError{Err: mailstore.ErrInvalidName,
			Reason: "a mailbox cannot go to another user"}
	}
	return a.store.RenameMailbox(a.chain(ctx), source.user, old, path)
}

// Delete removes a mailbox with its messages. It needs DeleteMailbox. Errors: ErrNoRight, and those
// of mailstore.Store.DeleteMailbox.
func (a *Account) Delete(ctx context.Context, path string) error {
	to, inner, err := a.at(ctx, path)
	if err != nil {
		return err
	}
	if to.visitor == nil {
		err = to.rights.check(DeleteMailbox)
	} else {
		_, _, err = a.find(ctx, path, DeleteMailbox)
	}
	if err != nil {
		return err
	}
	return to.store.DeleteMailbox(to.chain(ctx), to.user, inner)
}

// SetExpiry says after how many days in the mailbox messages go. It needs Expunge. Errors:
// mailstore.ErrNoSuchMailbox, ErrNoRight, and those of mailstore.Store.SetExpiry.
func (a *Account) SetExpiry(ctx context.Context, path string, days *int64) error {
	to, box, err := a.find(ctx, path, Expunge)
	if err != nil {
		return err
	}
	return to.store.SetExpiry(to.chain(ctx), box.Key, days)
}

// Subscribe adds a name to the user's subscriptions or removes it. A name needs no mailbox and no
// right (RFC 3501 section 6.3.6). Errors are those of mailstore.Store.Subscribe.
func (a *Account) Subscribe(ctx context.Context, path string, subscribed bool) error {
	return a.store.Subscribe(a.chain(ctx), a.user, path, subscribed)
}
