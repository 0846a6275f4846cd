package mailstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/dedupe"
	"gadwall/internal/contents"
	"gadwall/internal/mailkey"
	"gadwall/quota"
)

// Once says when a new message is one that its mailbox has already. Submission saves a copy of what
// a client sends, and many clients save one themselves, before or after. Two messages are the same
// if they have the same Message-ID and the same text of From, and came into the same mailbox within
// onceWindow. The transaction of the second finds the first: transactions of a user conflict, so
// this holds between instances, too.
type Once uint8

const (
	// Always stores the message, whatever the mailbox has.
	Always Once = iota
	// UnlessSubmitted is for the message of a client: it is not stored if submission has saved the
	// same one.
	UnlessSubmitted
	// Submitted is for the message of submission: it is not stored if the mailbox has the same one,
	// which then becomes \Seen and gets DocSubmitted.
	Submitted
)

// onceKey is what the same message has in common.
type onceKey struct {
	box      mailkey.Mailbox
	id, from string
}

// onceKey returns the key of a message, if there is a rule for it.
func (p *pending) onceKey() (key onceKey, ok bool) {
	return onceKey{p.mailbox, p.template.messageID, p.template.from},
		p.once != Always && p.template.messageID != ""
}

// savedMessage is a message that a new one may be the same as.
type savedMessage struct {
	key       mailkey.Message
	modSeq    uint64
	flags     Flags
	number    Number
	thread    Number
	submitted bool
}

// sameAs are the messages of the group that are not stored, since their mailboxes have them.
type sameAs map[*pending]*savedMessage

// hasSame reports whether several bundles have the same message. They do not share a transaction.
func hasSame(bundles []*bundle) bool {
	seen := make(map[onceKey]bool)
	for _, b := range bundles {
		for _, p := range b.messages {
			if key, ok := p.onceKey(); ok {
				if seen[key] {
					return true
				}
				seen[key] = true
			}
		}
	}
	return false
}

// recognise finds the messages that their mailboxes have already, within the transaction.
func (g *groupWrite) recognise(ctx context.Context) error {
	g.same = nil
	var hashes []linkHash
	asked := make(map[onceKey]bool)
	for _, b := range g.bundles {
		for _, p := range b.messages {
			if key, ok := p.onceKey(); ok && !asked[key] {
				asked[key] = true
				hashes = append(hashes, newLinkHash(linkOwn, key.id))
			}
		}
	}
	if len(hashes) == 0 {
		return nil
	}
	saved, err := g.saved(ctx, hashes, asked)
	if err != nil {
		return err
	}
	g.same = make(sameAs)
	for _, b := range g.bundles {
		for _, p := range b.messages {
			key, ok := p.onceKey()
			if !ok {
				continue
			}
			for _, m := range saved[key] {
				if r := b.replaces; r != nil && m.key == r.box.Message(r.uid) {
					continue // it goes
				}
				if p.once == Submitted || m.submitted {
					g.same[p] = m
					break
				}
			}
		}
	}
	return nil
}

// saved reads the messages that came into their mailboxes lately and have one of the keys, those of
// submission first.
func (g *groupWrite) saved(
	ctx context.Context, hashes []linkHash, asked map[onceKey]bool,
) (map[onceKey][]*savedMessage, error) {
	filter := append(linkedFilter(g.user, hashes),
		bson.E{Key: DocSaveDate, Value: bson.D{{Key: "$gte", Value: now().Add(-onceWindow)}}})
	fields := projection(FieldFlags | FieldNumber | FieldThread | FieldSubmitted)
	fields = append(fields, bson.E{Key: DocMessageID, Value: 1}, bson.E{Key: DocFrom, Value: 1})
	opts := options.Find().SetHint(indexLinks).SetProjection(fields).SetLimit(maxLinked)
	found := make(map[onceKey][]*savedMessage)
	var failed error
	g.store.walk(ctx, filter, opts, func(doc bson.Raw, err error) bool {
		var m *Message
		var key mailkey.Message
		if err == nil {
			m, err = decodeMessage(doc)
		}
		if err == nil {
			key, err = messageKey(doc.Lookup(DocID))
		}
		if failed = err; err != nil {
			return false
		}
		of := onceKey{key.Mailbox(), m.MessageID, m.From}
		if asked[of] {
			found[of] = append(found[of], &savedMessage{key: key, modSeq: m.ModSeq, flags: m.Flags,
				number: m.Number, thread: m.Thread, submitted: m.Submitted > 0})
		}
		return true
	})
	if failed != nil {
		return nil, fmt.Errorf("find the same message: %w", failed)
	}
	for _, list := range found {
		slices.SortFunc(list, func(a, b *savedMessage) int {
			switch {
			case a.submitted && !b.submitted:
				return -1
			case b.submitted && !a.submitted:
				return 1
			}
			return int(int64(a.key.UID()) - int64(b.key.UID()))
		})
	}
	return found, nil
}

// usage is what is stored of a bundle.
func (g *groupWrite) usage(b *bundle) quota.Usage {
	if len(g.same) == 0 {
		return b.usage
	}
	var sum quota.Usage
	for _, p := range b.messages {
		if g.same[p] == nil {
			sum = sum.Add(quota.Usage{Bytes: p.size, Messages: 1})
		}
	}
	return sum
}

// marks reports whether the message that p is the same as must be written.
func (g *groupWrite) marks(p *pending) bool {
	m := g.same[p]
	return m != nil && p.once == Submitted && !m.submitted
}

// mark gives DocSubmitted and \Seen to the messages of a mailbox that submission would have stored. The
// journal says that they were sent.
func (g *groupWrite) mark(ctx context.Context, b *boxWrite) error {
	var uids []uint32
	for _, at := range b.marked {
		m := g.same[g.message(at)]
		m.modSeq = uint64(b.state.ModSeq)
		set := bson.D{{Key: DocModSeq, Value: b.state.ModSeq}, {Key: DocSubmitted, Value: b.state.ModSeq}}
		res, err := g.store.messages.UpdateOne(ctx, byID(m.key.Binary()), bson.D{
			{Key: "$set", Value: set},
			{Key: "$unset", Value: bson.D{{Key: DocUnseen, Value: ""}}},
			{Key: "$bit", Value: bson.D{{Key: DocFlags, Value: bson.D{{Key: "or", Value: int32(Seen)}}}}}},
			options.UpdateOne().SetHint(byKey))
		if err != nil {
			return fmt.Errorf("mark message as submitted: %w", err)
		}
		if res.MatchedCount != 1 {
			return fmt.Errorf("mark message as submitted: %d messages", res.MatchedCount)
		}
		uids = append(uids, m.key.UID())
	}
	if uids == nil {
		return nil
	}
	slices.Sort(uids)
	return g.store.writeJournal(ctx, b.key, b.state, journalled{lesson: WasSent, taught: slices.Compact(uids)})
}

// noteSame sets the results of messages that are not stored.
func (g *groupWrite) noteSame(ctx context.Context) error {
	if len(g.same) == 0 {
		return nil
	}
	validity := make(map[mailkey.Mailbox]int64)
	for _, b := range g.boxes {
		validity[b.key] = b.state.UIDValidity
	}
	for i, b := range g.bundles {
		for j, p := range b.messages {
			m := g.same[p]
			if m == nil || g.over[i] {
				continue
			}
			if _, ok := validity[p.mailbox]; !ok {
				box, err := g.store.findMailboxDoc(ctx, byBox(p.mailbox))
				if errors.Is(err, ErrNoSuchMailbox) {
					return &refusedBundles{map[*bundle]error{b: err}}
				}
				if err != nil {
					return err
				}
				validity[p.mailbox] = box.UIDValidity
			}
			g.outcome[i][j] = Delivered{UIDValidity: uint32(validity[p.mailbox]), UID: m.key.UID(),
				ModSeq: m.modSeq, Number: m.number, Thread: m.thread, Existed: true}
		}
	}
	return nil
}

// releaseSame gives up the references of messages that were not stored, after the commit.
func (g *groupWrite) releaseSame(ctx context.Context) {
	for i, b := range g.bundles {
		if g.over[i] {
			continue // released with the bundle
		}
		var refs []contents.Ref
		for _, p := range b.messages {
			if g.same[p] != nil {
				refs = append(refs, p.ref)
			}
		}
		if len(refs) > 0 {
			g.store.releaseUnused(ctx, refs, b.since)
		}
	}
}

// To returns the item for another mailbox.
func (it AppendItem) To(box mailkey.Mailbox) AppendItem {
	it.delivery.Mailbox = box
	return it
}

// Renew returns an item that Append failed to store with a new reference on its content, so that
// Append can try again. If the content is gone by then, the error is a *dedupe.MissingError.
func (s *Store) Renew(ctx context.Context, it AppendItem) (AppendItem, error) {
	since := time.Now()
	ref := contents.Ref{ID: it.template.id, Magic: dedupe.NewMagic()}
	if err := s.contents.AddRefs(ctx, []contents.Ref{ref}); err != nil {
		return AppendItem{}, fmt.Errorf("renew the reference of a message: %w", err)
	}
	fresh := *it.template
	fresh.since = since
	it.template, it.delivery.Magic = &fresh, ref.Magic
	return it, nil
}
