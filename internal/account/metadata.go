package account

import (
	"context"
	"slices"

	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
)

// annotating are the rights of which one is needed, beside Lookup, to read and change the
// annotations of a mailbox (RFC 5464 section 3.3).
const annotating = Read | KeepSeen | Write | Insert | Post

// checkMetadata fails unless r allows to read and change annotations.
func (r Rights) checkMetadata() error {
	if err := r.check(Lookup); err != nil {
		return err
	}
	if r&annotating == 0 {
		return &RightError{Missing: Read}
	}
	return nil
}

// Annotate reports whether r allows to read and change annotations.
func (r Rights) Annotate() bool { return r.checkMetadata() == nil }

// Metadata returns the annotations of the mailbox with this path that the actor has a use for, or
// with an empty path those on the server: all, or with names those with one of the names. Errors:
// mailstore.ErrNoSuchMailbox, ErrNoRight.
func (a *Account) Metadata(
	ctx context.Context, path string, names []string,
) ([]mailstore.MetadataEntry, error) {
	if path == "" {
		return a.store.MailboxMetadata(a.chain(ctx), a.user.Mailbox(0), a.user, names)
	}
	to, box, err := a.annotated(ctx, path)
	if err != nil {
		return nil, err
	}
	entries, err := to.store.MailboxMetadata(to.chain(ctx), box.Key, a.user, names)
	if err != nil {
		return nil, err
	}
	return withSpecialUse(entries, to.named(box), names), nil
}

// withSpecialUse adds the annotation whose value is in the mailbox's document.
func withSpecialUse(
	entries []mailstore.MetadataEntry, box *mailstore.Mailbox, names []string,
) []mailstore.MetadataEntry {
	if box.SpecialUse == "" {
		return entries
	}
	use := mailstore.MetadataEntry{Mailbox: box.Key.Number(), Name: mailstore.SpecialUseMetadata,
		Value: []byte(box.SpecialUse)}
	if names == nil {
		return append(entries, use)
	}
	for _, name := range names {
		if name == use.Name {
			return append(entries, use)
		}
	}
	return entries
}

// annotated returns a mailbox whose annotations the actor may read and change, and its account.
func (a *Account) annotated(ctx context.Context, path string) (*Account, *mailstore.Mailbox, error) {
	to, box, err := a.find(ctx, path, 0)
	if err != nil {
		return nil, nil, err
	}
	return to, box, to.rightsOn(box).checkMetadata()
}

// ListMetadata returns the annotations with these names of mailboxes, which the caller has from Own
// and Others, by their keys. It asks the database once for each user whose mailboxes they are.
func (a *Account) ListMetadata(
	ctx context.Context, boxes []Listed, names []string,
) (map[mailkey.Mailbox][]mailstore.MetadataEntry, error) {
	owners := make(map[mailkey.UserID]bool)
	found := make(map[mailkey.Mailbox][]mailstore.MetadataEntry)
	for _, box := range boxes {
		owner := box.Key.User()
		if !box.Rights.Annotate() || owners[owner] {
			continue
		}
		owners[owner] = true
		entries, err := a.store.UserMetadata(a.chain(ctx), owner, a.user, names)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			key := owner.Mailbox(e.Mailbox)
			found[key] = append(found[key], e)
		}
	}
	for _, box := range boxes {
		if !box.Rights.Annotate() {
			delete(found, box.Key)
		} else if with := withSpecialUse(found[box.Key], box.Mailbox, names); with != nil {
			found[box.Key] = with
		}
	}
	return found, nil
}

// SetMetadata sets all of these annotations or none, and removes those without a value. The path
// is as in Metadata. It returns the owner of the mailbox, and
// the number of the change. Errors: ErrNoRight, and those of
// mailstore.Store.SetMetadata.
func (a *Account) SetMetadata(
	ctx context.Context, path string, entries []mailstore.MetadataEntry,
) (owner mailkey.UserID, change int64, err error) {
	if path == "" {
		change, err = a.store.SetMetadata(a.chain(ctx), a.user.Mailbox(0), a.user, entries)
		return a.user, change, err
	}
	to, box, err := a.annotated(ctx, path)
	if err != nil {
		return owner, 0, err
	}
	change, err = to.store.SetMetadata(to.chain(ctx), box.Key, a.user, entries)
	return to.user, change, err
}

// AnnotationOwners returns the user, and the other users on whose mailboxes the actor may read
// annotations: at most max of these.
func (a *Account) AnnotationOwners(ctx context.Context, max int) ([]mailkey.UserID, error) {
	owners := []mailkey.UserID{a.user}
	others, err := a.Others(ctx)
	if err != nil {
		return nil, err
	}
	for _, box := range others {
		owner := box.Key.User()
		if box.Rights.Annotate() && !slices.Contains(owners, owner) && len(owners) <= max {
			owners = append(owners, owner)
		}
	}
	return owners, nil
}

// MetadataChanges returns which annotations of an owner's mailboxes changed after the change with
// this number, and the number from which the next call goes on: the same when there is nothing
// more. The owner is one of AnnotationOwners. The caller leaves out mailboxes that the actor may
// not look at.
func (a *Account) MetadataChanges(
	ctx context.Context, owner mailkey.UserID, since int64,
) (changed []mailstore.MetadataEntry, last int64, err error) {
	return a.store.MetadataChanges(a.chain(ctx), owner, a.user, since)
}

// LastMetadataChange returns the number of the latest change of annotations of an owner's
// mailboxes.
func (a *Account) LastMetadataChange(ctx context.Context, owner mailkey.UserID) (int64, error) {
	return a.store.LastMetadataChange(a.chain(ctx), owner)
}
