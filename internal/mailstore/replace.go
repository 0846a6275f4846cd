package mailstore

import (
	"context"

	"gadwall/internal/contents"
	"gadwall/internal/events"
	"gadwall/internal/mailkey"
	"gadwall/internal/uidset"
	"gadwall/quota"
)

// Replace stores a message and removes another one, which may be in another mailbox, in one
// transaction (RFC 8508): there are always either the old or the new message, never both and never
// none. The quota needs room for the difference (RFC 8508 section 3.4). If the mailboxes belong to
// different users, two transactions store and then remove: if the second one fails, there are both.
// Errors are those of Append, and ErrNoSuchMessage if the message that is to be replaced is gone;
// then nothing is changed.
func (s *Store) Replace(
	ctx context.Context, item AppendItem, box mailkey.Mailbox, uid uint32,
) (Delivered, error) {
	if item.delivery.Mailbox.User() != box.User() {
		return s.replaceElsewhere(ctx, item, box, uid)
	}
	results, err := s.appendItems(ctx, []AppendItem{item}, &replacement{box: box, uid: uid})
	if err != nil {
		return Delivered{}, err
	}
	return results[0], nil
}

// replaceElsewhere is Replace for mailboxes of different users.
func (s *Store) replaceElsewhere(
	ctx context.Context, item AppendItem, box mailkey.Mailbox, uid uint32,
) (Delivered, error) {
	old := uidset.Of(uidset.Range{First: uid, Last: uid})
	there, err := s.UIDs(ctx, box, Query{UIDs: old})
	if err == nil && len(there) == 0 {
		err = ErrNoSuchMessage
	}
	if err != nil {
		s.releaseUnused(ctx, []contents.Ref{item.Ref()}, item.Since())
		return Delivered{}, err
	}
	results, err := s.Append(ctx, []AppendItem{item})
	if err != nil {
		return Delivered{}, err
	}
	if _, _, err := s.removeBatch(ctx, box, old, nil); err != nil {
		return Delivered{}, err
	}
	return results[0], nil
}

// replacement is a message that goes when a bundle is stored.
type replacement struct {
	box mailkey.Mailbox
	uid uint32

	removed *removal // what the transaction removes
	state   *boxState
}

// removeReplaced removes, within the transaction, what the bundles replace.
func (g *groupWrite) removeReplaced(ctx context.Context) error {
	for i, b := range g.bundles {
		if g.over[i] || b.replaces == nil {
			continue
		}
		if err := g.store.removeOne(ctx, b.replaces); err != nil {
			return err
		}
	}
	return nil
}

// findReplaced reads, within the transaction, what the bundles replace.
func (g *groupWrite) findReplaced(ctx context.Context) (err error) {
	for _, b := range g.bundles {
		r := b.replaces
		if r == nil {
			continue
		}
		uids := uidset.Set{{First: r.uid, Last: r.uid}}
		if r.removed, err = g.store.removable(ctx, r.box, uids, nil, 1); err != nil {
			return err
		}
		if len(r.removed.uids) == 0 {
			return &refusedBundles{map[*bundle]error{b: ErrNoSuchMessage}}
		}
	}
	return nil
}

// growth is what a bundle adds to the quota, less what it replaces.
func (g *groupWrite) growth(b *bundle) quota.Usage {
	usage := g.usage(b)
	if b.replaces != nil {
		usage = usage.Sub(b.replaces.removed.usage)
	}
	return usage
}

// removeOne removes a message that was found. The quota was charged for the difference.
func (s *Store) removeOne(ctx context.Context, r *replacement) (err error) {
	if r.state, err = s.changeMailbox(ctx, r.box, r.removed.boxChange); err != nil {
		return err
	}
	if err := s.remove(ctx, r.box, r.removed.uids); err != nil {
		return err
	}
	return s.writeJournal(ctx, r.box, r.state, journalled{expunged: r.removed.uids})
}

// publishReplaced publishes the removals, after the commit, and releases their references.
func (g *groupWrite) publishReplaced(ctx context.Context) {
	var refs []contents.Ref
	for i, b := range g.bundles {
		if g.over[i] || b.replaces == nil {
			continue
		}
		refs = append(refs, b.replaces.removed.refs...)
		g.store.publish(ctx, b.replaces.box, events.Changed, uint64(b.replaces.state.ModSeq), nil)
	}
	g.store.release(ctx, refs)
}
