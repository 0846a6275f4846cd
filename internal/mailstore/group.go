package mailstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"gadwall/internal/events"
	"gadwall/internal/mailkey"
	"gadwall/quota"
)

// groupWrite is one transaction that stores several units of a user. Each attempt of write computes
// everything anew.
type groupWrite struct {
	store *Store
	user  mailkey.UserID
	units []*unit

	over    []bool // by unit: not stored, does not fit into the quota
	crossed []quota.Crossing
	outcome [][]Delivered // by unit and message
	boxes   []*boxWrite   // in the order of their keys
}

// boxWrite is the part of the transaction for one mailbox.
type boxWrite struct {
	key      mailkey.Mailbox
	change   boxChange
	messages []target
	state    *boxState
}

// target is where a message of a unit goes in the results.
type target struct {
	unit, index int
}

// refusedUnits is the error of a transaction that could store all units but these.
type refusedUnits struct{ units map[*unit]error }

func (e *refusedUnits) Error() string { return fmt.Sprintf("%d units refused", len(e.units)) }

// write is the body of the transaction. The user's document comes first, so that a unit over quota
// fails by one update, and a conflict shows before the work is done. Then the mailboxes, in the
// order of their keys, and the messages.
func (g *groupWrite) write(ctx context.Context) error {
	if err := g.charge(ctx); err != nil {
		return err
	}
	g.assign()
	if len(g.boxes) == 0 {
		return nil
	}
	docs := make([]any, 0, len(g.units))
	for _, b := range g.boxes {
		var err error
		b.state, err = g.store.changeMailbox(ctx, b.key, b.change)
		if errors.Is(err, ErrNoSuchMailbox) || errors.Is(err, ErrUIDsExhausted) {
			return g.refuse(b, err)
		}
		if err != nil {
			return err
		}
		boxDocs, err := g.documents(ctx, b)
		if err != nil {
			return err
		}
		docs = append(docs, boxDocs...)
	}
	if _, err := g.store.messages.InsertMany(ctx, docs); err != nil {
		return fmt.Errorf("insert messages: %w", err)
	}
	return nil
}

// charge takes the quota for all units or, if that does not fit, for those that fit in their order.
func (g *groupWrite) charge(ctx context.Context) error {
	g.over = make([]bool, len(g.units))
	g.crossed = nil
	var total quota.Usage
	for _, u := range g.units {
		total = total.Add(u.usage)
	}
	account, err := g.store.quota.Charge(ctx, g.user, total)
	if errors.Is(err, quota.ErrOverQuota) {
		total = quota.Usage{}
		for i, u := range g.units {
			if g.over[i] = !account.Limits.Fit(account.Usage.Add(total), u.usage); !g.over[i] {
				total = total.Add(u.usage)
			}
		}
		if total == (quota.Usage{}) {
			return nil
		}
		account, err = g.store.quota.Charge(ctx, g.user, total)
	}
	if errors.Is(err, quota.ErrNoSuchUser) {
		// Without the user, the mailbox is gone, too.
		return g.refuseAll(ErrNoSuchMailbox)
	}
	g.crossed = g.store.quota.Policy().Levels.Crossed(account, total)
	return err
}

// assign sorts the messages into mailboxes.
func (g *groupWrite) assign() {
	byKey := make(map[mailkey.Mailbox]*boxWrite)
	g.boxes = nil
	g.outcome = make([][]Delivered, len(g.units))
	for i, u := range g.units {
		if g.over[i] {
			continue
		}
		g.outcome[i] = make([]Delivered, len(u.messages))
		for j, p := range u.messages {
			b := byKey[p.mailbox]
			if b == nil {
				b = &boxWrite{key: p.mailbox}
				byKey[p.mailbox] = b
				g.boxes = append(g.boxes, b)
			}
			b.messages = append(b.messages, target{i, j})
			b.change.uids++
			b.change.add(1, p.flags, p.size)
		}
	}
	slices.SortFunc(g.boxes, func(a, b *boxWrite) int { return bytes.Compare(a.key[:], b.key[:]) })
}

// documents makes the documents of a mailbox's new messages, and their results.
func (g *groupWrite) documents(ctx context.Context, b *boxWrite) ([]any, error) {
	var fresh []string
	docs := make([]any, len(b.messages))
	uid := uint32(b.state.UIDNext - b.change.uids)
	saved := now()
	for i, t := range b.messages {
		p := g.units[t.unit].messages[t.index]
		known := slices.Concat(b.state.Keywords, fresh)
		spelled, unknown := spellings(known, p.keywords)
		if len(known)+len(unknown) > MaxMailboxKeywords {
			err := errManyKeywords
			return nil, &refusedUnits{map[*unit]error{g.units[t.unit]: err}}
		}
		fresh = append(fresh, unknown...)
		docs[i] = p.document(b.key.Message(uid), b.state.ModSeq, spelled, saved)
		g.outcome[t.unit][t.index] = Delivered{
			UIDValidity: uint32(b.state.UIDValidity), UID: uid, ModSeq: uint64(b.state.ModSeq)}
		uid++
	}
	return docs, g.store.addKeywords(ctx, b.key, b.state, fresh)
}

// refuse ends the transaction because of one mailbox.
func (g *groupWrite) refuse(b *boxWrite, err error) error {
	refused := &refusedUnits{make(map[*unit]error)}
	for _, t := range b.messages {
		refused.units[g.units[t.unit]] = err
	}
	return refused
}

func (g *groupWrite) refuseAll(err error) error {
	refused := &refusedUnits{make(map[*unit]error)}
	for _, u := range g.units {
		refused.units[u] = err
	}
	return refused
}

// publish publishes the events of the new messages, after the commit.
func (g *groupWrite) publish(ctx context.Context) {
	for _, b := range g.boxes {
		uids := make([]uint32, len(b.messages))
		for i, t := range b.messages {
			uids[i] = g.outcome[t.unit][t.index].UID
		}
		g.store.publish(ctx, b.key, events.New, uint64(b.state.ModSeq), uids)
	}
	g.store.warn(ctx, g.user, g.crossed)
}
