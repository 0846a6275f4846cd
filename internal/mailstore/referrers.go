package mailstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/dedupe"
	"gadwall/internal/contents"
	"gadwall/internal/database"
	"gadwall/internal/mailkey"
)

// lastOf is the last key that a message of the user can have.
func lastOf(user mailkey.UserID) mailkey.Message {
	return user.Mailbox(math.MaxUint32).Message(math.MaxUint32)
}

// ContentReferrers gives the references to contents of all messages to a Tally, as an audit needs
// them: a message moves only from one mailbox of its user to another, so each user's messages are
// read from one snapshot. progress is told how many messages were read, if not nil, between
// snapshots. It may take its time; its error ends the audit.
func (s *Store) ContentReferrers(progress func(ctx context.Context,
	n int64) error) func(context.Context, *dedupe.Tally) error {
	return func(ctx context.Context, t *dedupe.Tally) error {
		r := referrers{store: s, tally: t, progress: progress, page: snapshotMessages}
		var from mailkey.UserID
		for {
			last, more, err := r.read(ctx, from)
			if err != nil {
				return fmt.Errorf("read references: %w", err)
			}
			if !more || last == lastUser {
				return nil
			}
			from = nextUser(last)
		}
	}
}

// HoldsContent reports whether the message with that key is there and has the reference.
func (s *Store) HoldsContent(ctx context.Context, message []byte, ref dedupe.Ref) (bool, error) {
	doc, err := s.messages.FindOne(ctx, byID(bson.Binary{Data: message}),
		options.FindOne().SetProjection(projection(fieldReference))).Raw()
	if errors.Is(err, mongo.ErrNoDocuments) || database.IsDamaged(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for a message: %w", err)
	}
	_, found, err := referenceOf(doc)
	return found == ref, err
}

type referrers struct {
	store    *Store
	tally    *dedupe.Tally
	progress func(context.Context, int64) error
	done     int64
	page     int // of large: snapshotMessages
}

// read gives the references of some users to the tally, from one snapshot. It returns the last user
// it has read.
func (r *referrers) read(ctx context.Context, from mailkey.UserID) (last mailkey.UserID, more bool, err error) {
	limit := snapshotMessages
	for {
		n := 0
		err = r.store.snapshot(ctx, func(ctx context.Context) error {
			r.tally.Rollback()
			n, last, more, err = r.users(ctx, from, limit)
			return err
		})
		switch {
		case err == nil:
			return last, more, r.commit(ctx, n)
		case database.IsDamaged(err):
			r.tally.Rollback()
			if n, last, more, err = r.pastDamage(ctx, from, limit); err != nil {
				return last, false, err
			}
			return last, more, r.commit(ctx, n)
		case !errors.Is(err, errSnapshotLost):
			return last, false, err
		case last == (mailkey.UserID{}):
			return last, false, err
		case limit > 0:
			limit = 0 // a single user
			continue
		}
		// That user has more messages than one snapshot can show.
		r.tally.Rollback()
		return last, true, r.large(ctx, last)
	}
}

// large reads the messages of a user without a snapshot, and then, from a snapshot, those that have a
// greater mod-sequence than their mailboxes had at the beginning. A message that is not among the
// latter was in its place all the time, so the first reading has met it. A message that moved or
// changed may be met twice: AddMoving lets it count once.
func (r *referrers) large(ctx context.Context, user mailkey.UserID) error {
	ctx = database.Causal(ctx) // the snapshot is not before what was read
	before, err := r.modSeqs(ctx, user)
	if err != nil {
		return err
	}
	first, end := user.Mailbox(0).Message(0), lastOf(user)
	scan := database.Scan{Collection: r.store.messages, Key: database.Key{Size: len(first)},
		From: first[:], To: end[:], Projection: projection(fieldReference), Page: r.page,
		BatchSize: batchSmall}
	n := 0
	if err := scan.Run(ctx, func(doc bson.Raw) error {
		r.moving(doc)
		if n++; n%r.page != 0 {
			return nil
		}
		return r.commit(ctx, r.page)
	}, func(database.Gap) error {
		r.tally.Unreadable()
		return nil
	}); err != nil {
		return err
	}
	if err := r.commit(ctx, n%r.page); err != nil {
		return err
	}
	changed := 0
	err = r.store.snapshot(ctx, func(ctx context.Context) error {
		r.tally.Rollback()
		changed = 0
		now, err := r.modSeqs(ctx, user)
		if err != nil {
			return err
		}
		for box, modseq := range now {
			if modseq == before[box] {
				continue
			}
			cur, err := r.store.messages.Find(ctx, changedFilter(box, uint64(before[box])),
				changedOptions().SetProjection(projection(fieldReference)))
			if err != nil {
				return err
			}
			if err := eachDocument(ctx, cur, func(doc bson.Raw) error {
				r.moving(doc)
				changed++
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, errSnapshotLost) || database.IsDamaged(err) {
		// Nothing can be said to be a leak without them.
		r.tally.Rollback()
		r.tally.Unreadable()
		r.store.log.Warn("a user's messages change faster than they can be read: no count will be lowered",
			"user", user.String(), "error", err)
		return nil
	}
	if err != nil {
		return err
	}
	return r.commit(ctx, changed)
}

func (r *referrers) moving(doc bson.Raw) {
	key, ref, err := referenceOf(doc)
	if err != nil {
		r.tally.Unreadable()
		return
	}
	r.tally.AddMoving(key[:], ref)
}

// commit makes what was read count, n messages.
func (r *referrers) commit(ctx context.Context, n int) error {
	if err := r.tally.Commit(ctx); err != nil {
		return err
	}
	if r.done += int64(n); r.progress == nil {
		return nil
	}
	return r.progress(ctx, r.done)
}

// modSeqs returns the mod-sequences of a user's mailboxes.
func (r *referrers) modSeqs(ctx context.Context, user mailkey.UserID) (map[mailkey.Mailbox]int64, error) {
	ctx, end := database.Link(ctx, r.store.db.Client())
	defer end()
	cur, err := r.store.mailboxes.Find(ctx, allBoxes(user),
		options.Find().SetHint(byKey).SetProjection(bson.D{{Key: boxModSeq, Value: 1}}))
	if err != nil {
		return nil, err
	}
	list := make(map[mailkey.Mailbox]int64)
	return list, eachDocument(ctx, cur, func(doc bson.Raw) error {
		id, ok := binaryID(doc, len(mailkey.Mailbox{}))
		modseq, okModSeq := doc.Lookup(boxModSeq).AsInt64OK()
		if ok && okModSeq {
			list[mailkey.Mailbox(id)] = modseq
		}
		return nil
	})
}

// pastDamage reads users whose messages cannot all be read. It has no snapshot: a database may end one
// at the first error. That a message is missed lowers no count, because Unreadable was called; one
// that moves meanwhile may count twice, which costs space if a repair believes it.
func (r *referrers) pastDamage(
	ctx context.Context, from mailkey.UserID, limit int,
) (n int, last mailkey.UserID, more bool, err error) {
	first := from.Mailbox(0).Message(0)
	u := referringUsers{referrers: r, limit: limit, began: time.Now()}
	scan := database.Scan{Collection: r.store.messages, Key: database.Key{Size: len(first)},
		From: first[:], Projection: projection(fieldReference), Page: batchSmall}
	err = scan.Run(ctx, u.message, func(g database.Gap) error {
		r.tally.Unreadable()
		if user := mailkey.Message(g.To).User(); bytes.Compare(u.last[:], user[:]) < 0 {
			u.last = user
			u.n++
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return u.n, u.last, true, nil
	}
	return u.n, u.last, false, err
}

// users reads whole users: as many as have limit messages, at least one.
func (r *referrers) users(
	ctx context.Context, from mailkey.UserID, limit int,
) (n int, last mailkey.UserID, more bool, err error) {
	first, end := from.Mailbox(0).Message(0), lastOf(lastUser)
	u := referringUsers{referrers: r, limit: limit, began: time.Now()}
	cur, err := r.store.messages.Find(ctx,
		bson.D{{Key: "_id", Value: keyRange{first[:], end[:]}.bounds()}}, options.Find().
			SetSort(bson.D{{Key: "_id", Value: 1}}).SetProjection(projection(fieldReference)).SetBatchSize(batchSmall))
	if err != nil {
		return 0, last, false, err
	}
	err = eachDocument(ctx, cur, u.message)
	if errors.Is(err, errEnough) {
		return u.n, u.last, true, nil
	}
	return u.n, u.last, false, err
}

// referringUsers is one reading of users.
type referringUsers struct {
	*referrers
	limit int
	began time.Time
	n     int
	last  mailkey.UserID
}

// message gives the reference of a message to the tally. It returns errEnough at the first message
// of a user who is to be read from the next snapshot.
func (u *referringUsers) message(doc bson.Raw) error {
	key, ref, err := referenceOf(doc)
	if key == (mailkey.Message{}) {
		u.tally.Unreadable()
		return nil
	}
	if user := key.User(); user != u.last {
		if u.n > 0 && (u.n >= u.limit || time.Since(u.began) > snapshotTime) {
			return errEnough
		}
		u.last = user
	}
	if err != nil {
		u.tally.Unreadable()
	} else {
		u.tally.Add(key[:], ref)
	}
	u.n++
	return nil
}

// ContentHolders calls f with the keys and contents of all messages that can be read.
func (s *Store) ContentHolders(ctx context.Context, f func(mailkey.Message, contents.ID) error) error {
	scan := database.Scan{Collection: s.messages, Key: database.Key{Size: len(mailkey.Message{})},
		Projection: projection(fieldReference), Page: batchSmall}
	return scan.Run(ctx, func(doc bson.Raw) error {
		key, ref, err := referenceOf(doc)
		if err != nil {
			return nil // is reported by itself
		}
		return f(key, contents.ID(ref.Hash))
	}, func(database.Gap) error { return nil })
}

// referenceOf returns the key of a message and the reference that it has. The key is zero if there
// is none.
func referenceOf(doc bson.Raw) (mailkey.Message, dedupe.Ref, error) {
	key, err := messageKey(doc.Lookup(DocID))
	if err != nil {
		return key, dedupe.Ref{}, err
	}
	_, id, ok := doc.Lookup(DocContent).BinaryOK()
	magic, okMagic := doc.Lookup(DocMagic).AsInt64OK()
	if !ok || !okMagic {
		return key, dedupe.Ref{}, fmt.Errorf("message %v has no content", key)
	}
	hash, err := dedupe.HashFromBytes(id)
	if err != nil {
		return key, dedupe.Ref{}, fmt.Errorf("message %v: %w", key, err)
	}
	return key, dedupe.Ref{Hash: hash, Magic: dedupe.Magic(magic)}, nil
}
