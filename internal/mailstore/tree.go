package mailstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/mailkey"
)

// Every change of a user's list of mailboxes writes the user's document first (touchUser), so that
// no change sees another one half done.

// CreateMailbox makes an empty mailbox. Superior names are not created: they exist as names only,
// as long as something is below them. Errors: ErrInvalidName, ErrMailboxExists, ErrSpecialUse,
// ErrTooMany, ErrNoSuchUser.
func (s *Store) CreateMailbox(ctx context.Context, user mailkey.UserID, path string,
	o CreateOptions) (*Mailbox, error) {
	path, err := NormalizePath(path)
	if err != nil {
		return nil, err
	}
	if o.SpecialUse != "" && !slices.Contains(SpecialUses, o.SpecialUse) {
		return nil, invalid(ErrSpecialUse, "%s is not supported", o.SpecialUse)
	}
	var box *Mailbox
	var note int64
	err = s.transactFor(ctx, user, func(ctx context.Context) error {
		c, err := s.allocateMailbox(ctx, user)
		if err != nil {
			return err
		}
		if err := s.checkFree(ctx, user, path); err != nil {
			return err
		}
		if err := s.checkMailboxes(ctx, user); err != nil {
			return err
		}
		if o.SpecialUse != "" {
			_, err := s.MailboxBySpecialUse(ctx, user, o.SpecialUse)
			if err == nil {
				return invalid(ErrSpecialUse, "another mailbox is the one for %s", o.SpecialUse)
			}
			if !errors.Is(err, ErrNoSuchMailbox) {
				return err
			}
		}
		subscribed, err := s.takeSubscription(ctx, user, path)
		if err != nil {
			return err
		}
		acl, err := s.inherited(ctx, user, path)
		if err != nil {
			return err
		}
		box = &Mailbox{Key: user.Mailbox(uint32(c.Mailboxes)), Path: path, UIDValidity: uint32(c.UIDValidity),
			SpecialUse: o.SpecialUse, Subscribed: subscribed, Created: now(), ACL: acl}
		if _, err = s.mailboxes.InsertOne(ctx, newMailboxDoc(box)); err != nil {
			return err
		}
		note = c.Notes
		return s.writeNotes(ctx, user, note, noteCreated(box))
	})
	if err != nil {
		return nil, fmt.Errorf("create mailbox: %w", err)
	}
	s.publishList(ctx, user, note)
	return box, nil
}

// touchTree begins a change of the list of mailboxes. The caller writes the notes.
func (s *Store) touchTree(ctx context.Context, user mailkey.UserID) (userCounters, error) {
	return s.touchUser(ctx, user, bson.D{{Key: userTree, Value: int64(1)}, {Key: userNotes, Value: int64(1)}})
}

// allocateMailbox takes the next mailbox number and UIDVALIDITY of a user. Neither is ever given
// out again; the latter is the time in seconds, or the next value if that is taken. The caller
// writes the notes.
func (s *Store) allocateMailbox(ctx context.Context, user mailkey.UserID) (userCounters, error) {
	c, err := s.touchUser(ctx, user, bson.D{
		{Key: userMailboxes, Value: int64(1)}, {Key: userUIDValidity, Value: int64(1)},
		{Key: userTree, Value: int64(1)}, {Key: userNotes, Value: int64(1)}})
	if err != nil {
		return c, err
	}
	if t := now().Unix(); t > c.UIDValidity {
		c.UIDValidity = t
		if _, err := s.users.UpdateOne(ctx, byID(user.Binary()), bson.D{{Key: "$set", Value: bson.D{
			{Key: userUIDValidity, Value: t}}}}); err != nil {
			return c, fmt.Errorf("update user: %w", err)
		}
	}
	return c, nil
}

// checkMailboxes returns ErrTooMany if the user can have no further mailbox.
func (s *Store) checkMailboxes(ctx context.Context, user mailkey.UserID) error {
	n, err := s.countUpTo(ctx, s.mailboxes, bson.D{{Key: boxUser, Value: user.Binary()}}, MaxMailboxes)
	if err == nil && n >= MaxMailboxes {
		err = invalid(ErrTooMany, "a user can have %d mailboxes", MaxMailboxes)
	}
	return err
}

// checkFree returns ErrMailboxExists if the user has a mailbox with this path.
func (s *Store) checkFree(ctx context.Context, user mailkey.UserID, path string) error {
	switch _, err := s.findMailboxDoc(ctx, atPath(user, path)); {
	case err == nil:
		return fmt.Errorf("%w: %s", ErrMailboxExists, path)
	case errors.Is(err, ErrNoSuchMailbox):
		return nil
	default:
		return err
	}
}

// below returns the mailboxes whose paths are inferior to path.
func (s *Store) below(ctx context.Context, user mailkey.UserID, path string) ([]*mailboxDoc, error) {
	from, to := children(path)
	return s.findMailboxes(ctx, bson.D{{Key: boxUser, Value: user.Binary()},
		{Key: boxPath, Value: bson.D{{Key: "$gte", Value: from}, {Key: "$lt", Value: to}}}})
}

// RenameMailbox renames a mailbox and all that are inferior to it, in one transaction; a name
// without a mailbox is renamed if something is below it. A mailbox that has others below it, or
// such a name, takes no name that exists or has mailboxes below it: two trees never become one.
// Keys, UIDs and subscriptions stay with the mailboxes. Of INBOX only the messages get another name
// (RFC 9051 section 6.3.6): the mailbox becomes the new one, with its key and UIDs, and an empty
// INBOX with a UIDVALIDITY of its own takes its place. Errors: ErrInvalidName, ErrNoSuchMailbox,
// ErrMailboxExists, ErrTooMany, ErrTooManyEntries, ErrNoSuchUser.
func (s *Store) RenameMailbox(ctx context.Context, user mailkey.UserID, from, to string) error {
	from, err := NormalizePath(from)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoSuchMailbox, err)
	}
	to, err = NormalizePath(to)
	if err != nil {
		return err
	}
	switch {
	case from == to || to == Inbox:
		return fmt.Errorf("rename mailbox: %w: %s", ErrMailboxExists, to)
	case from != Inbox && strings.HasPrefix(to, from+Separator):
		return fmt.Errorf("rename mailbox: %w", invalid(ErrInvalidName, "it is inferior to the old name"))
	}
	var note int64
	err = s.transactFor(ctx, user, func(ctx context.Context) error {
		var err error
		if from == Inbox {
			note, err = s.renameInbox(ctx, user, to)
		} else {
			note, err = s.renameTree(ctx, user, from, to)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("rename mailbox: %w", err)
	}
	s.publishList(ctx, user, note)
	return nil
}

// renameTree returns the number of the entry in the user's journal, as renameInbox does.
func (s *Store) renameTree(ctx context.Context, user mailkey.UserID, from, to string) (note int64, err error) {
	c, err := s.touchTree(ctx, user)
	if err != nil {
		return 0, err
	}
	boxes, err := s.below(ctx, user, from)
	if err != nil {
		return 0, err
	}
	switch own, err := s.findMailboxDoc(ctx, atPath(user, from)); {
	case err == nil:
		boxes = slices.Insert(boxes, 0, own)
	case !errors.Is(err, ErrNoSuchMailbox) || len(boxes) == 0:
		return 0, err
	}
	if len(boxes) > maxBatch {
		return 0, invalid(ErrTooMany, "%d mailboxes would be renamed, %d can be at a time", len(boxes), maxBatch)
	}
	moving := make(map[string]bool)
	for _, b := range boxes {
		moving[b.Path] = true
	}
	if len(boxes) > 1 || boxes[0].Path != from {
		// A tree takes the place of nothing: what exists below the new name would be mixed with it.
		there, err := s.below(ctx, user, to)
		if err != nil {
			return 0, err
		}
		if slices.ContainsFunc(there, func(b *mailboxDoc) bool { return !moving[b.Path] }) {
			return 0, fmt.Errorf("%w: %s has mailboxes below it", ErrMailboxExists, to)
		}
		if !moving[to] {
			if err := s.checkFree(ctx, user, to); err != nil {
				return 0, err
			}
		}
	}
	// The renames follow the order of paths, because a new name may be one that was just given up
	// (a/a to a).
	var notes []Note
	for _, b := range boxes {
		path, err := NormalizePath(to + strings.TrimPrefix(b.Path, from))
		if err != nil {
			return 0, err
		}
		if !moving[path] {
			if err := s.checkFree(ctx, user, path); err != nil {
				return 0, err
			}
		}
		if err := s.setPath(ctx, user, b, path); err != nil {
			return 0, err
		}
		notes = append(notes, b.noteRenamed(path))
	}
	return c.Notes, s.writeNotes(ctx, user, c.Notes, notes...)
}

func (s *Store) renameInbox(ctx context.Context, user mailkey.UserID, to string) (note int64, err error) {
	c, err := s.allocateMailbox(ctx, user)
	if err != nil {
		return 0, err
	}
	inbox, err := s.findMailboxDoc(ctx, atPath(user, Inbox))
	if err != nil {
		return 0, err
	}
	if err := s.checkFree(ctx, user, to); err != nil {
		return 0, err
	}
	if err := s.checkMailboxes(ctx, user); err != nil {
		return 0, err
	}
	if err := s.setPath(ctx, user, inbox, to); err != nil {
		return 0, err
	}
	box := &Mailbox{Key: user.Mailbox(uint32(c.Mailboxes)), Path: Inbox, UIDValidity: uint32(c.UIDValidity),
		Subscribed: inbox.Subscribed, Created: now()}
	if _, err := s.mailboxes.InsertOne(ctx, newMailboxDoc(box)); err != nil {
		return 0, err
	}
	// The metadata is then of both (RFC 5464 section 4.1). Nobody but the owner can use the new INBOX, so
	// private entries of others stay where they are.
	if err := s.copyMetadata(ctx, mailkey.Mailbox(inbox.ID.Data), box.Key); err != nil {
		return 0, err
	}
	return c.Notes, s.writeNotes(ctx, user, c.Notes, inbox.noteRenamed(to), noteCreated(box))
}

// setPath renames one mailbox. A subscription to the new name becomes the mailbox's own.
func (s *Store) setPath(ctx context.Context, user mailkey.UserID, box *mailboxDoc, path string) error {
	set := bson.D{{Key: boxPath, Value: path}}
	subscribed, err := s.takeSubscription(ctx, user, path)
	if err != nil {
		return err
	}
	if subscribed {
		set = append(set, bson.E{Key: boxSubscribed, Value: true})
	}
	if _, err := s.mailboxes.UpdateOne(ctx, byOwner(box.ID), bson.D{{Key: "$set", Value: set}}); err != nil {
		return fmt.Errorf("set path: %w", err)
	}
	return nil
}

// DeleteMailbox removes a mailbox with its messages. Mailboxes inferior to it stay, and so does a
// subscription to its name (RFC 9051 section 6.3.5). The name is free at once; should the removal
// of the messages be interrupted, it is resumed, see deletions.go. Errors: ErrNoSuchMailbox,
// ErrInboxUndeletable, ErrHasChildren, ErrNoSuchUser.
func (s *Store) DeleteMailbox(ctx context.Context, user mailkey.UserID, path string) error {
	path, err := NormalizePath(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoSuchMailbox, err)
	}
	if path == Inbox {
		return ErrInboxUndeletable
	}
	var key mailkey.Mailbox
	var note int64
	err = s.transactFor(ctx, user, func(ctx context.Context) error {
		c, err := s.touchTree(ctx, user)
		if err != nil {
			return err
		}
		doc, err := s.findMailboxDoc(ctx, atPath(user, path))
		if errors.Is(err, ErrNoSuchMailbox) {
			inferior, err := s.below(ctx, user, path)
			switch {
			case err != nil:
				return err
			case len(inferior) > 0:
				return ErrHasChildren
			}
			return ErrNoSuchMailbox
		}
		if err != nil {
			return err
		}
		if doc.Subscribed {
			if _, err := s.keepSubscription(ctx, user, path); err != nil {
				return err
			}
		}
		key = mailkey.Mailbox(doc.ID.Data)
		if err := s.markDeleting(ctx, key); err != nil {
			return err
		}
		note = c.Notes
		return s.writeNotes(ctx, user, note, doc.noteDeleted())
	})
	if err != nil {
		return fmt.Errorf("delete mailbox: %w", err)
	}
	s.publishList(ctx, user, note)
	// The mailbox is gone for everybody, so the answer does not depend on the rest any more.
	// Waiting a while for it lets the caller see its quota freed, unless there is very much.
	s.inBackground(ctx, deleteWait, func(ctx context.Context) {
		if err := s.purgeMailbox(ctx, key); err != nil {
			s.log.Warn("removal of a deleted mailbox's messages was interrupted", "mailbox", key.String(), "error", err)
		}
	})
	return nil
}
