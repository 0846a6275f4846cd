package webhooks

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/mailkey"
)

// Fields of reader documents; _id is the readerKey.
const (
	readerHook     = "h" // id of the hook
	readerPosition = "p" // of package feed
	// readerDue is the date from which on there may be something to send; absent while there is not.
	readerDue = "d"
	// readerWakes counts how often the reader became due. A sender that has read to the end makes the
	// reader idle only if it has not become due meanwhile.
	readerWakes  = "w"
	readerNotYet = "b" // date before which a delivery that failed is not tried again
	readerTries  = "t" // int32: how often it failed
	readerFailed = "f" // date of the first failure
	readerError  = "e" // text of the latest one

	indexDue = "due"
)

// readerKey is the user's id and the hook's.
type readerKey [16]byte

func newReaderKey(user mailkey.UserID, hook string) (k readerKey) {
	copy(k[:], user[:])
	// The id of a hook is made by Add: it has 16 digits.
	_, _ = hex.Decode(k[len(user):], []byte(hook))
	return k
}

func (k readerKey) user() mailkey.UserID { return mailkey.UserID(k[:8]) }
func (k readerKey) binary() bson.Binary  { return bson.Binary{Data: k[:]} }
func (k readerKey) filter() bson.D       { return bson.D{{Key: "_id", Value: k.binary()}} }

// reader is where a hook is with a user.
type reader struct {
	key      readerKey
	position string
	wakes    int64
	notYet   time.Time
	tries    int
	failed   time.Time // zero: the latest delivery worked
}

type readerDoc struct {
	ID       bson.Binary `bson:"_id"`
	Position string      `bson:"p"`
	Wakes    int64       `bson:"w"`
	NotYet   time.Time   `bson:"b"`
	Tries    int32       `bson:"t"`
	Failed   time.Time   `bson:"f"`
}

// insertReader makes a reader, unless there is one. A hook may have been removed by another process
// that has found what was left of it before. So insertReader looks for the hook after the reader is
// there: if it finds the hook, a later removal finds the reader.
func (r *Registry) insertReader(ctx context.Context, key readerKey, since string) error {
	_, err := r.readers.InsertOne(ctx, bson.D{{Key: "_id", Value: key.binary()},
		{Key: readerHook, Value: hex.EncodeToString(key[8:])}, {Key: readerPosition, Value: since}})
	if mongo.IsDuplicateKeyError(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("make reader: %w", err)
	}
	there, err := r.hooks.CountDocuments(ctx, byHook(hex.EncodeToString(key[8:])), options.Count().SetLimit(1))
	if err != nil {
		return fmt.Errorf("find webhook: %w", err)
	}
	if there == 0 {
		return r.deleteReader(ctx, key)
	}
	return nil
}

func (r *Registry) deleteReader(ctx context.Context, key readerKey) error {
	if _, err := r.readers.DeleteOne(ctx, key.filter()); err != nil {
		return fmt.Errorf("delete reader: %w", err)
	}
	return nil
}

// markDue makes readers due. One that is due already, or that is being read, is read once more.
func (r *Registry) markDue(ctx context.Context, keys bson.A) error {
	filter := bson.D{{Key: "_id", Value: keys[0]}}
	update := bson.D{{Key: "$inc", Value: bson.D{{Key: readerWakes, Value: int64(1)}}},
		{Key: "$min", Value: bson.D{{Key: readerDue, Value: r.now()}}}}
	var err error
	if len(keys) == 1 {
		_, err = r.readers.UpdateOne(ctx, filter, update)
	} else {
		filter[0].Value = bson.D{{Key: "$in", Value: keys}}
		_, err = r.readers.UpdateMany(ctx, filter, update)
	}
	if err != nil {
		return fmt.Errorf("mark readers as due: %w", err)
	}
	return nil
}

// due returns readers of a hook that are due, the earliest first. Those whose pause is not over are
// due again when it is.
func (r *Registry) due(ctx context.Context, hook string) ([]*reader, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	now := r.now()
	cursor, err := r.readers.Find(ctx, dueAt(hook, now), options.Find().SetHint(indexDue).
		SetSort(bson.D{{Key: readerHook, Value: 1}, {Key: readerDue, Value: 1}}).SetLimit(maxDue))
	if err != nil {
		return nil, fmt.Errorf("find readers: %w", err)
	}
	var docs []readerDoc
	if err := cursor.All(ctx, &docs); err != nil {
		return nil, fmt.Errorf("find readers: %w", err)
	}
	var list []*reader
	for _, d := range docs {
		if len(d.ID.Data) != len(readerKey{}) {
			return nil, fmt.Errorf("reader with the key %x", d.ID.Data)
		}
		key := readerKey(d.ID.Data)
		if d.NotYet.After(now) {
			// It became due because something else happened. It keeps its pause.
			if err := r.update(ctx, key, bson.D{{Key: readerDue, Value: d.NotYet}}); err != nil {
				return nil, err
			}
			continue
		}
		list = append(list, &reader{key, d.Position, d.Wakes, d.NotYet, int(d.Tries), d.Failed})
	}
	return list, nil
}

func dueAt(hook string, now time.Time) bson.D {
	return bson.D{{Key: readerHook, Value: hook},
		{Key: readerDue, Value: bson.D{{Key: "$lte", Value: now}}}}
}

func (r *Registry) update(ctx context.Context, key readerKey, set bson.D) error {
	if _, err := r.readers.UpdateOne(ctx, key.filter(), bson.D{{Key: "$set", Value: set}}); err != nil {
		return fmt.Errorf("update reader: %w", err)
	}
	return nil
}

// moveOn notes that what is before a position was sent.
func (r *Registry) moveOn(ctx context.Context, rd *reader, position string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	update := bson.D{{Key: "$set", Value: bson.D{{Key: readerPosition, Value: position}}}}
	if rd.tries > 0 {
		update = append(update, bson.E{Key: "$unset", Value: worksAgain()})
	}
	if _, err := r.readers.UpdateOne(ctx, rd.key.filter(), update); err != nil {
		return fmt.Errorf("update reader: %w", err)
	}
	rd.position, rd.tries, rd.failed = position, 0, time.Time{}
	return nil
}

func worksAgain() bson.D {
	return bson.D{{Key: readerNotYet, Value: ""}, {Key: readerTries, Value: ""}, {Key: readerFailed, Value: ""},
		{Key: readerError, Value: ""}}
}

// rest notes that the reader has read to the end.
func (r *Registry) rest(ctx context.Context, rd *reader, position string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	set := bson.E{Key: "$set", Value: bson.D{{Key: readerPosition, Value: position}}}
	var wakes any = rd.wakes
	if rd.wakes == 0 {
		wakes = bson.D{{Key: "$exists", Value: false}}
	}
	unset := append(worksAgain(), bson.E{Key: readerDue, Value: ""})
	res, err := r.readers.UpdateOne(ctx, append(rd.key.filter(), bson.E{Key: readerWakes, Value: wakes}),
		bson.D{set, {Key: "$unset", Value: unset}})
	if err == nil && res.MatchedCount == 0 {
		// It became due meanwhile, and stays so.
		_, err = r.readers.UpdateOne(ctx, rd.key.filter(), bson.D{set, {Key: "$unset", Value: worksAgain()}})
	}
	if err != nil {
		return fmt.Errorf("update reader: %w", err)
	}
	return nil
}

// postpone notes that a delivery failed.
func (r *Registry) postpone(ctx context.Context, rd *reader, cause error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	now := r.now()
	if rd.tries++; rd.tries == 1 {
		rd.failed = now
	}
	pause := pauseAfter(rd.tries)
	var answer *AnswerError
	if errors.As(cause, &answer) {
		pause = max(pause, answer.RetryAfter)
	}
	next := now.Add(pause)
	return r.update(ctx, rd.key, bson.D{
		{Key: readerDue, Value: next}, {Key: readerNotYet, Value: next}, {Key: readerTries, Value: int32(rd.tries)},
		{Key: readerFailed, Value: rd.failed}, {Key: readerError, Value: shortText(cause)}})
}

// pauseAfter is the pause after so many failures in a row.
func pauseAfter(tries int) time.Duration {
	pause := firstRetry
	for range tries - 1 {
		if pause *= 2; pause >= lastRetry {
			return lastRetry
		}
	}
	return pause
}

func shortText(err error) string {
	text := err.Error()
	if len(text) > maxError {
		text = string([]rune(text[:maxError]))
	}
	return text
}
