package webhooks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/mailkey"
)

// Fields of letters; _id is that of the delivery.
const (
	letterHook    = "h"
	letterUser    = "u"
	letterAt      = "t" // date
	letterError   = "e"
	letterBody    = "b" // string: JSON
	letterExpires = "x" // date at which the TTL index removes the letter

	indexHook = "hook"
)

// ErrNoSuchLetter reports an id of which there is no letter.
var ErrNoSuchLetter = errors.New("no such delivery")

// A Letter is a delivery that was given up.
type Letter struct {
	ID    string
	Hook  string
	User  mailkey.UserID
	At    time.Time // when it was given up
	Error string    // of the latest attempt
	Body  string    // JSON, a Delivery
}

type letterDoc struct {
	ID    string      `bson:"_id"`
	Hook  string      `bson:"h"`
	User  bson.Binary `bson:"u"`
	At    time.Time   `bson:"t"`
	Error string      `bson:"e"`
	Body  string      `bson:"b"`
}

func (d *letterDoc) letter() Letter {
	l := Letter{ID: d.ID, Hook: d.Hook, At: d.At.UTC(), Error: d.Error, Body: d.Body}
	copy(l.User[:], d.User.Data)
	return l
}

// KeepLetter keeps a delivery that is given up now. The oldest ones of the hook make room.
func (r *Registry) KeepLetter(ctx context.Context, l Letter) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	now := r.now()
	if len(l.Body) > maxLetter {
		l.Body, l.Error = `{}`, fmt.Sprintf("%s; its %d octets are too many to keep", l.Error, len(l.Body))
	}
	_, err := r.letters.UpdateOne(ctx, bson.D{{Key: "_id", Value: l.ID}}, bson.D{{Key: "$set", Value: bson.D{
		{Key: letterHook, Value: l.Hook}, {Key: letterUser, Value: l.User.Binary()}, {Key: letterAt, Value: now},
		{Key: letterError, Value: l.Error}, {Key: letterBody, Value: l.Body},
		{Key: letterExpires, Value: now.Add(letterKept)}}}}, options.UpdateOne().SetUpsert(true))
	if err != nil {
		return fmt.Errorf("keep letter: %w", err)
	}
	cursor, err := r.letters.Find(ctx, bson.D{{Key: letterHook, Value: l.Hook}}, options.Find().
		SetHint(indexHook).SetSort(latestFirst()).SetSkip(MaxLetters).SetLimit(removeBatch).
		SetProjection(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		return fmt.Errorf("find old letters: %w", err)
	}
	var old []letterDoc
	if err := cursor.All(ctx, &old); err != nil {
		return fmt.Errorf("find old letters: %w", err)
	}
	for _, l := range old {
		if _, err := r.letters.DeleteOne(ctx, bson.D{{Key: "_id", Value: l.ID}}); err != nil {
			return fmt.Errorf("delete old letter: %w", err)
		}
	}
	return nil
}

// latestFirst is the order of letters of one hook, by the index.
func latestFirst() bson.D {
	return bson.D{{Key: letterHook, Value: -1}, {Key: letterAt, Value: -1}}
}

// Letters returns the deliveries of a hook that were given up, the latest first, with their bodies
// if whole is true.
func (r *Registry) Letters(ctx context.Context, hook string, limit int, whole bool) ([]Letter, error) {
	if _, err := r.Hook(ctx, hook); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if limit <= 0 || limit > MaxLetters {
		limit = MaxLetters
	}
	opts := options.Find().SetHint(indexHook).SetLimit(int64(limit)).SetSort(latestFirst())
	if !whole {
		opts.SetProjection(bson.D{{Key: letterBody, Value: 0}})
	}
	cursor, err := r.letters.Find(ctx, bson.D{{Key: letterHook, Value: hook}}, opts)
	if err != nil {
		return nil, fmt.Errorf("list letters: %w", err)
	}
	var docs []letterDoc
	if err := cursor.All(ctx, &docs); err != nil {
		return nil, fmt.Errorf("list letters: %w", err)
	}
	list := make([]Letter, len(docs))
	for i := range docs {
		list[i] = docs[i].letter()
	}
	return list, nil
}

// Letter returns a delivery of a hook that was given up. Errors: ErrNoSuchLetter.
func (r *Registry) Letter(ctx context.Context, hook, id string) (*Letter, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var doc letterDoc
	err := r.letters.FindOne(ctx, bson.D{{Key: "_id", Value: id}, {Key: letterHook, Value: hook}}).Decode(&doc)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, ErrNoSuchLetter
	}
	if err != nil {
		return nil, fmt.Errorf("find letter: %w", err)
	}
	l := doc.letter()
	return &l, nil
}

// Resend sends a delivery once more that was given up, to the URL that the hook has now, and forgets
// it if that works. Errors: ErrNoSuchHook, ErrNoSuchLetter, an *AnswerError, or what kept the
// request from being answered.
func (r *Registry) Resend(ctx context.Context, hook, id string) error {
	h, err := r.Hook(ctx, hook)
	if err != nil {
		return err
	}
	l, err := r.Letter(ctx, hook, id)
	if err != nil {
		return err
	}
	if err := post(ctx, newClient(), h, l.ID, []byte(l.Body), r.now()); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	if _, err := r.letters.DeleteOne(ctx, bson.D{{Key: "_id", Value: l.ID}}); err != nil {
		return fmt.Errorf("forget letter: %w", err)
	}
	return nil
}
