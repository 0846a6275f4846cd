package mailstore

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/contents"
	"gadwall/internal/events"
	"gadwall/internal/mailkey"
	"gadwall/internal/uidset"
	"gadwall/quota"
)

// copyMoveWrite is the transaction of one batch.
type copyMoveWrite struct {
	*copyMove
	messages     []storedMessage
	crossed      []quota.Crossing
	source, dest *boxState
	destUIDs     []uint32
	places       []threadPlace // of messages that come from another user
}

// drop takes what the copies lose from the messages.
func (w *copyMoveWrite) drop() {
	if w.dropped == (Dropped{}) {
		return
	}
	for i := range w.messages {
		m := &w.messages[i]
		if w.dropped.Keywords {
			m.keywords = nil
		}
		m.setFlags(m.flags&^w.dropped.Flags, m.keywords)
	}
}

// charge takes the quota for the copies.
func (w *copyMoveWrite) charge(ctx context.Context) error {
	s, user := w.store, w.to.Key.User()
	if w.others {
		return w.place(ctx)
	}
	account, err := s.quota.Charge(ctx, user, w.usage())
	if err != nil {
		return err
	}
	w.crossed = s.quota.Policy().Levels.Crossed(account, w.usage())
	return s.noteQuota(ctx, user, w.crossed)
}

// usage is what the messages of the batch take.
func (w *copyMoveWrite) usage() quota.Usage {
	var u quota.Usage
	for _, m := range w.messages {
		u = u.Add(quota.Usage{Bytes: m.size, Messages: 1})
	}
	return u
}

// incoming is the change of the destination.
func (w *copyMoveWrite) incoming() boxChange {
	c := boxChange{uids: int64(len(w.messages))}
	for _, m := range w.messages {
		c.add(1, m.flags, m.size)
	}
	return c
}

// changeBoth changes source and destination in the order of their keys, so that moves in opposite
// directions conflict at their first write.
func (w *copyMoveWrite) changeBoth(ctx context.Context) (err error) {
	s, from, to := w.store, w.from.Key, w.to.Key
	if from == to {
		w.dest, err = s.changeMailbox(ctx, to, boxChange{uids: int64(len(w.messages)), expunges: true})
		w.source = w.dest
		return err
	}
	outgoing := boxChange{expunges: true}
	for _, m := range w.messages {
		outgoing.add(-1, m.flags, m.size)
	}
	if bytes.Compare(from[:], to[:]) < 0 {
		if w.source, err = s.changeMailbox(ctx, from, outgoing); err == nil {
			w.dest, err = s.changeMailbox(ctx, to, w.incoming())
		}
		return err
	}
	if w.dest, err = s.changeMailbox(ctx, to, w.incoming()); err == nil {
		w.source, err = s.changeMailbox(ctx, from, outgoing)
	}
	return err
}

// firstUID is that of the first message in the destination.
func (w *copyMoveWrite) firstUID() uint32 { return uint32(w.dest.UIDNext) - uint32(len(w.messages)) }

// origin is that of the messages in the destination.
func (w *copyMoveWrite) origin() Origin {
	if w.source != nil {
		return newOrigin(Moved, NoLesson, w.dest.ModSeq)
	}
	return newOrigin(Copied, w.lesson(), w.dest.ModSeq)
}

// insert writes the messages into the destination.
func (w *copyMoveWrite) insert(ctx context.Context) error {
	saved, origin := now(), w.origin()
	uid := w.firstUID()
	docs := make([]any, len(w.messages))
	var fresh []string
	w.destUIDs = make([]uint32, len(w.messages))
	for i := range w.messages {
		m := &w.messages[i]
		key := w.to.Key.Message(uid)
		m.set(DocID, key.Binary())
		m.set(DocMailbox, w.to.Key.Binary())
		m.set(DocModSeq, w.dest.ModSeq)
		m.set(DocSaveDate, saved)
		m.unset(DocSubmitted)
		if w.others {
			m.settle(w.to.Key.User(), w.places[i])
		}
		m.set(DocOrigin, int64(origin))
		if len(m.keywords) > 0 {
			known := slices.Concat(w.dest.Keywords, fresh)
			spelled, unknown := spellings(known, m.keywords)
			fresh = append(fresh, unknown...)
			m.set(DocKeywords, spelled)
		}
		docs[i] = m.doc
		w.destUIDs[i] = uid
		uid++
	}
	if _, err := w.store.messages.InsertMany(ctx, docs); err != nil {
		return fmt.Errorf("insert messages: %w", err)
	}
	return w.store.addKeywords(ctx, w.to.Key, w.dest, fresh)
}

// done takes over the result of a committed batch and tells the world.
func (w *copyMoveWrite) done(ctx context.Context) {
	if len(w.messages) == 0 {
		return
	}
	for _, m := range w.messages {
		w.result.Source = append(w.result.Source, m.uid)
	}
	w.result.Dest = append(w.result.Dest, w.destUIDs...)
	w.result.ModSeq = uint64(w.dest.ModSeq)
	s := w.store
	s.publish(ctx, w.to.Key, events.New, w.result.ModSeq, w.destUIDs)
	w.tellStored()
	if w.source != nil {
		w.result.SourceModSeq = uint64(w.source.ModSeq)
		s.publish(ctx, w.from.Key, events.Changed, w.result.SourceModSeq, nil)
	}
	if kind, ok := w.lesson().event(); ok {
		s.publish(ctx, w.to.Key, kind, w.result.ModSeq, w.destUIDs)
	}
	s.warn(ctx, w.to.Key.User(), w.crossed)
}

// lesson is what a spam filter can learn from the copy or move, if anything. That junk is thrown away
// says nothing new.
func (w *copyMoveWrite) lesson() Lesson {
	const trash = `\Trash`
	from, to := w.from.SpecialUse, w.to.SpecialUse
	switch {
	case from != useJunk && to == useJunk:
		return Junk
	case from == useJunk && to != useJunk && to != trash:
		return NotJunk
	}
	return NoLesson
}

// storedMessage is a message document that is to be written elsewhere, with fields that this
// version may not know.
type storedMessage struct {
	doc      bson.D
	uid      uint32
	flags    Flags
	keywords []string
	size     int64
	content  contents.ID
	header   *Message // what the document says of the header, and the prefix
}

func (m *storedMessage) set(field string, value any) {
	for i := range m.doc {
		if m.doc[i].Key == field {
			m.doc[i].Value = value
			return
		}
	}
	m.doc = append(m.doc, bson.E{Key: field, Value: value})
}

// unset removes a field, if the document has it.
func (m *storedMessage) unset(field string) {
	m.doc = slices.DeleteFunc(m.doc, func(e bson.E) bool { return e.Key == field })
}

// setFlags gives the message these flags, and all fields that follow from them.
func (m *storedMessage) setFlags(flags Flags, keywords []string) {
	m.flags = flags
	for _, field := range []string{DocKeywords, DocUnseen, DocDeleted} {
		m.unset(field)
	}
	for _, e := range appendFlags(nil, flags, keywords) {
		m.set(e.Key, e.Value)
	}
}

// documents reads whole messages in ascending order of their UIDs, until they come to
// maxBatchBytes. What is left of the ranges then is returned.
func (s *Store) documents(ctx context.Context, box mailkey.Mailbox,
	ranges uidset.Set) (list []storedMessage, rest uidset.Set, err error) {
	bytes := 0
	for raw, err := range s.find(ctx, box, Query{UIDs: ranges}, nil, batchDocuments) {
		if err != nil {
			return nil, nil, fmt.Errorf("read messages: %w", err)
		}
		m, err := decodeMessage(raw)
		if err != nil {
			return nil, nil, err
		}
		if bytes += len(raw); bytes > maxBatchBytes && len(list) > 0 {
			return list, ranges.From(m.UID), nil
		}
		stored := storedMessage{uid: m.UID, flags: m.Flags, keywords: m.Keywords, size: m.Size,
			content: m.Content, header: m}
		if err := bson.Unmarshal(raw, &stored.doc); err != nil {
			return nil, nil, fmt.Errorf("message document: %w", err)
		}
		list = append(list, stored)
	}
	return list, nil, nil
}
