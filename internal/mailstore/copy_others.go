package mailstore

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/mailkey"
	"gadwall/internal/uidset"
	"gadwall/quota"
)

// Copies and moves from one user to another. Users may be on different shards of a cluster, and a
// transaction is on one: it writes what belongs to the user who gets the messages. The messages are
// read before it, outside. What a message has of its user (number, thread, links) it gets anew.
//
// A move is a copy, and then an expunge of what was copied. Whatever happens in between, no message
// is lost: it may be in both mailboxes.

// place charges the quota and gives the messages their numbers and threads.
func (w *copyMoveWrite) place(ctx context.Context) error {
	s, user := w.store, w.to.Key.User()
	numbers := quota.Counter{Field: userNumbers, By: int64(len(w.messages))}
	account, err := s.quota.Charge(ctx, user, w.usage(), &numbers)
	if err != nil {
		return err
	}
	w.crossed = s.quota.Policy().Levels.Crossed(account, w.usage())
	if err := s.noteQuota(ctx, user, w.crossed); err != nil {
		return err
	}
	links := make([]linkIDs, len(w.messages))
	var hashes []linkHash
	for i := range w.messages {
		links[i] = w.messages[i].links()
		hashes = append(hashes, links[i].asked...)
	}
	slices.SortFunc(hashes, func(a, b linkHash) int { return slices.Compare(a[:], b[:]) })
	t := threads{user: user}
	if err := t.read(ctx, s, slices.Compact(hashes)); err != nil {
		return err
	}
	next := Number(numbers.After - numbers.By + 1)
	w.places = make([]threadPlace, len(w.messages))
	for i := range links {
		w.places[i] = t.place(next, &links[i])
		next++
	}
	return nil
}

// links are the links of a stored message, without the user.
func (m *storedMessage) links() linkIDs {
	h := m.header
	l := linkIDsOf(h.MessageID, false, h.InReplyTo, h.References, h.BaseSubject)
	var kept []linkHash
	for _, v := range m.array(DocLinks) {
		if b, ok := v.(bson.Binary); ok && len(b.Data) == len(mailkey.UserID{})+len(linkHash{}) {
			kept = append(kept, linkHash(b.Data[len(mailkey.UserID{}):]))
		}
	}
	if len(kept) > 0 { // none in mail that was stored before there were links
		l.kept = kept
	}
	return l
}

func (m *storedMessage) array(field string) bson.A {
	for _, e := range m.doc {
		if e.Key == field {
			list, _ := e.Value.(bson.A)
			return list
		}
	}
	return nil
}

// settle gives the message what it has of its new user.
func (m *storedMessage) settle(user mailkey.UserID, p threadPlace) {
	l := m.links()
	m.set(DocNumber, int64(p.number))
	m.set(DocThread, int64(p.thread))
	m.set(DocLinks, l.stored(user))
}

// tellStored tells of the mails that are new to their user.
func (w *copyMoveWrite) tellStored() {
	if !w.others || w.store.stored == nil {
		return
	}
	list := make([]StoredMail, len(w.messages))
	for i, m := range w.messages {
		list[i] = StoredMail{w.to.Key.User(), w.places[i].number, m.content, m.header.Prefix}
	}
	w.store.stored(list)
}

// moveBatchToOthers moves one batch: it copies, then it removes what was copied.
func (t *copyMove) moveBatchToOthers(ctx context.Context, ranges uidset.Set) (rest uidset.Set, err error) {
	before := len(t.result.Source)
	if rest, err = t.copyBatch(ctx, ranges); err != nil || len(t.result.Source) == before {
		return rest, err
	}
	copied := uidset.FromAscending(t.result.Source[before:])
	_, modseq, err := t.store.removeBatch(ctx, t.from.Key, copied, nil)
	if err != nil {
		// They are in both mailboxes, or the outcome is unknown: nobody was told that they moved.
		t.store.log.Warn("messages were copied to another user, and not removed then",
			"from", t.from.Key.String(), "to", t.to.Key.String(), "messages", len(t.result.Source)-before, "error", err)
		t.result.Source, t.result.Dest = t.result.Source[:before], t.result.Dest[:before]
		return rest, err
	}
	if modseq > 0 { // 0 if others have removed all of them meanwhile
		t.result.SourceModSeq = modseq
	}
	return rest, nil
}
