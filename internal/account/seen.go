package account

import (
	"context"
	"iter"

	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/internal/search"
	"gadwall/internal/uidset"
)

// \Seen in mailboxes of others is the reader's own with Options.SeenApart: then what the store has of
// the actor takes the place of the flag in all that an opened mailbox tells and changes.

// seenBy is the user whose \Seen it is, or nil if it is the flag of the messages.
func (a *Account) seenBy() *mailkey.UserID {
	if a.visitor == nil || !a.shared.seenApart {
		return nil
	}
	return &a.visitor.user
}

// SeenApart reports whether \Seen in mailboxes of others is the reader's own.
func (a *Account) SeenApart() bool { return a.shared.seenApart }

// SharedSeen reports whether \Seen is the same for all users of the mailbox.
func (m *Mailbox) SharedSeen() bool { return m.account.seenBy() == nil }

// seen returns the messages that the actor has seen.
func (m *Mailbox) seen(ctx context.Context) (uidset.Set, error) {
	return m.account.store.SeenBy(m.account.chain(ctx), m.key, *m.account.seenBy())
}

// SearchKey returns what a search of the mailbox is for.
func (m *Mailbox) SearchKey(ctx context.Context, key *search.Key) (*search.Key, error) {
	if m.SharedSeen() {
		return key, nil
	}
	seen, err := m.seen(ctx)
	if err != nil {
		return nil, err
	}
	return key.WithSeen(seen), nil
}

func seenFlags(flags mailstore.Flags, uid uint32, seen uidset.Set) mailstore.Flags {
	if flags &^= mailstore.Seen; seen.Contains(uid) {
		flags |= mailstore.Seen
	}
	return flags
}

// counted is the mailbox with the actor's own count of unseen messages.
func (a *Account) counted(ctx context.Context, box *mailstore.Mailbox) (*mailstore.Mailbox, error) {
	user := a.seenBy()
	if user == nil {
		return box, nil
	}
	seen, err := a.store.SeenBy(a.chain(ctx), box.Key, *user)
	if err != nil {
		return nil, err
	}
	there := int64(0)
	if len(seen) > 0 {
		if there, err = a.store.Count(a.chain(ctx), box.Key, mailstore.Query{UIDs: seen}); err != nil {
			return nil, err
		}
	}
	shown := *box
	shown.Unseen = max(box.Messages-there, 0)
	return &shown, nil
}

// seenChanges has the actor's flags in the place of those of the messages.
func (m *Mailbox) seenChanges(ctx context.Context, changes *mailstore.Changes) (*mailstore.Changes, error) {
	if len(changes.Changed) == 0 {
		return changes, nil
	}
	seen, err := m.seen(ctx)
	if err != nil {
		return nil, err
	}
	own := *changes
	own.Changed = make([]mailstore.FlagState, len(changes.Changed))
	for i, f := range changes.Changed {
		f.Flags = seenFlags(f.Flags, f.UID, seen)
		own.Changed[i] = f
	}
	return &own, nil
}

func (m *Mailbox) seenMessages(
	ctx context.Context, messages iter.Seq2[*mailstore.Message, error],
) iter.Seq2[*mailstore.Message, error] {
	return func(yield func(*mailstore.Message, error) bool) {
		seen, err := m.seen(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		for msg, err := range messages {
			if err == nil {
				own := *msg
				own.Flags = seenFlags(msg.Flags, msg.UID, seen)
				msg = &own
			}
			if !yield(msg, err) {
				return
			}
		}
	}
}

func (m *Mailbox) seenOpening(ctx context.Context, o Opening) (Opening, error) {
	if m.SharedSeen() {
		return o, nil
	}
	seen, err := m.seen(ctx)
	if err != nil {
		return Opening{}, err
	}
	o.FirstUnseen = 0
	for _, uid := range o.UIDs {
		if !seen.Contains(uid) {
			o.FirstUnseen = uid
			break
		}
	}
	return o, nil
}

// markSeen notes that the actor has seen messages that an Import has brought.
func (m *Mailbox) markSeen(ctx context.Context, result *Imported, seen []int) {
	uids := make([]uint32, len(seen))
	for i, n := range seen {
		uids[i] = result.UIDs[n]
	}
	m.see(ctx, uids)
}

// see sets \Seen of messages, ascending, as it is in this mailbox. The messages came in by a
// transaction before, and a client that was told of a failure would bring them once more. So they stay
// unseen if this fails, and the log says so.
func (m *Mailbox) see(ctx context.Context, uids []uint32) {
	if len(uids) == 0 {
		return
	}
	_, err := m.account.store.StoreFlags(m.account.chain(ctx), m.key, uidset.FromAscending(uids),
		mailstore.FlagChange{Op: mailstore.Add, Flags: mailstore.Seen, SeenBy: m.account.seenBy()})
	if err != nil {
		m.account.log.Warn("messages that came in are not marked as seen", "mailbox", m.key.String(),
			"messages", len(uids), "error", err)
	}
}

// put copies or moves messages. Where \Seen is each user's own on either side, the actor has seen the
// copies of what the actor has seen.
func (m *Mailbox) put(ctx context.Context, uids uidset.Set, to *Mailbox, progress func(messages int),
	put func(context.Context, *mailstore.Mailbox, uidset.Set, *mailstore.Mailbox, mailstore.Dropped, func(int)) (
		*mailstore.CopyResult, error),
) (*mailstore.CopyResult, error) {
	dropped := to.dropped()
	apart := !m.SharedSeen() || !to.SharedSeen()
	seen := make(map[uint32]bool)
	if apart && to.rights().Has(KeepSeen) {
		for msg, err := range m.Messages(ctx, mailstore.Query{UIDs: uids}, mailstore.FieldFlags) {
			if err != nil {
				return nil, err
			}
			seen[msg.UID] = msg.Flags&mailstore.Seen != 0
		}
	}
	if apart {
		dropped.Flags |= mailstore.Seen
	}
	result, err := put(m.account.chain(ctx), m.at, uids, to.at, dropped, progress)
	err = to.account.owned(err)
	if result == nil || !apart {
		return result, err
	}
	var copies []uint32
	for i, uid := range result.Source {
		if seen[uid] {
			copies = append(copies, result.Dest[i])
		}
	}
	to.see(ctx, copies)
	return result, err // of a move, some messages may have moved
}
