package mailstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/mailkey"
)

// A Survey says how much mail there is, and who has the most of it.
type Survey struct {
	// Users are those with a mailbox.
	Users, Mailboxes, Messages, Bytes int64
	// LargestUsers and LargestMailboxes descend by Bytes.
	LargestUsers     []Large
	LargestMailboxes []Large
}

// A Large is a user, or a mailbox, with much mail.
type Large struct {
	User mailkey.UserID
	// Username is empty if the user was deleted meanwhile.
	Username string
	// Mailbox is the number of the mailbox, and Path its path; of a user 0 and "".
	Mailbox         uint32
	Path            string
	Messages, Bytes int64
}

// Survey reads the counters of all mailboxes, in the order of their keys, a batch at a time. After each
// batch it rests as long as the batch took, so that it never takes more than half of a connection.
func (s *Store) Survey(ctx context.Context, largest int) (*Survey, error) {
	return s.survey(ctx, largest, surveyBatch)
}

func (s *Store) survey(ctx context.Context, largest, batch int) (*Survey, error) {
	v := &surveyor{most: largest}
	after := mailkey.Mailbox{}
	for {
		begun := time.Now()
		n, err := s.surveyBatch(ctx, v, &after, batch)
		if err != nil {
			return nil, fmt.Errorf("survey of mailboxes: %w", err)
		}
		if n < batch {
			break
		}
		rest := time.NewTimer(time.Since(begun))
		select {
		case <-rest.C:
		case <-ctx.Done():
			rest.Stop()
			return nil, ctx.Err()
		}
	}
	v.endUser()
	if err := s.nameLarge(ctx, v); err != nil {
		return nil, fmt.Errorf("survey of mailboxes: %w", err)
	}
	return &v.found, nil
}

// surveyBatch adds the mailboxes after a key, and moves the key behind them.
func (s *Store) surveyBatch(ctx context.Context, v *surveyor, after *mailkey.Mailbox, batch int) (n int, err error) {
	cursor, err := s.mailboxes.Find(ctx,
		bson.D{{Key: "_id", Value: bson.D{{Key: "$gt", Value: after.Binary()}}}},
		options.Find().SetHint(byKey).SetSort(byKey).SetLimit(int64(batch)).SetProjection(bson.D{
			{Key: boxPath, Value: 1}, {Key: boxMessages, Value: 1}, {Key: boxSize, Value: 1},
			{Key: boxDeleting, Value: 1}}))
	if err != nil {
		return 0, err
	}
	defer cursor.Close(context.WithoutCancel(ctx))
	for cursor.Next(ctx) {
		n++
		_, raw, _ := cursor.Current.Lookup("_id").BinaryOK()
		if len(raw) != len(after) {
			continue // damage, which a check finds
		}
		*after = mailkey.Mailbox(raw)
		if deleting, _ := cursor.Current.Lookup(boxDeleting).BooleanOK(); deleting {
			continue
		}
		path, _ := cursor.Current.Lookup(boxPath).StringValueOK()
		messages, _ := cursor.Current.Lookup(boxMessages).AsInt64OK()
		size, _ := cursor.Current.Lookup(boxSize).AsInt64OK()
		v.add(*after, path, messages, size)
	}
	return n, cursor.Err()
}

// nameLarge looks up the names of the users who have much.
func (s *Store) nameLarge(ctx context.Context, v *surveyor) error {
	names := make(map[mailkey.UserID]string)
	var ids bson.A
	for _, list := range [][]Large{v.found.LargestUsers, v.found.LargestMailboxes} {
		for _, l := range list {
			if _, known := names[l.User]; !known {
				names[l.User] = ""
				ids = append(ids, l.User.Binary())
			}
		}
	}
	if len(ids) == 0 {
		return nil
	}
	cursor, err := s.users.Find(ctx,
		bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}, notSet(userDeleting)},
		options.Find().SetHint(byKey).SetProjection(bson.D{{Key: userName, Value: 1}}))
	if err != nil {
		return err
	}
	defer cursor.Close(context.WithoutCancel(ctx))
	for cursor.Next(ctx) {
		_, raw, _ := cursor.Current.Lookup("_id").BinaryOK()
		if len(raw) == len(mailkey.UserID{}) {
			names[mailkey.UserID(raw)], _ = cursor.Current.Lookup(userName).StringValueOK()
		}
	}
	for _, list := range [][]Large{v.found.LargestUsers, v.found.LargestMailboxes} {
		for i := range list {
			list[i].Username = names[list[i].User]
		}
	}
	return cursor.Err()
}

// A surveyor adds up mailboxes, which come in the order of their keys: so those of a user follow one
// another, and memory has no more than the largest ones.
type surveyor struct {
	most  int
	user  Large // whose mailboxes come just now
	found Survey
}

func (v *surveyor) add(key mailkey.Mailbox, path string, messages, size int64) {
	if v.found.Mailboxes == 0 || v.user.User != key.User() {
		v.endUser()
		v.user = Large{User: key.User()}
	}
	v.user.Messages += messages
	v.user.Bytes += size
	v.found.Mailboxes++
	v.found.Messages += messages
	v.found.Bytes += size
	v.found.LargestMailboxes = v.keep(v.found.LargestMailboxes,
		Large{User: key.User(), Mailbox: key.Number(), Path: path, Messages: messages, Bytes: size})
}

func (v *surveyor) endUser() {
	if v.found.Mailboxes == 0 {
		return
	}
	v.found.Users++
	v.found.LargestUsers = v.keep(v.found.LargestUsers, v.user)
}

// keep puts an entry into a list, if it is one of the largest.
func (v *surveyor) keep(list []Large, l Large) []Large {
	if l.Bytes == 0 || len(list) == v.most && list[v.most-1].Bytes >= l.Bytes {
		return list
	}
	at, _ := slices.BinarySearchFunc(list, l, func(a, b Large) int { return cmp.Compare(b.Bytes, a.Bytes) })
	list = slices.Insert(list, at, l)
	return list[:min(len(list), v.most)]
}
