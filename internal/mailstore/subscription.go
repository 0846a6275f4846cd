package mailstore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/zeebo/blake3"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/database"
	"gadwall/internal/mailkey"
	"gadwall/internal/ranges"
)

// Subscribe adds a name to the user's subscriptions or removes it; there need not be a mailbox of
// that name (RFC 9051 section 6.3.7). Errors: ErrInvalidName, ErrTooMany, ErrNoSuchUser.
func (s *Store) Subscribe(ctx context.Context, user mailkey.UserID, path string, subscribed bool) error {
	path, err := NormalizePath(path)
	if err != nil {
		return err
	}
	var note int64
	err = s.transactFor(ctx, user, func(ctx context.Context) error {
		c, err := s.touchTree(ctx, user)
		if err != nil {
			return err
		}
		changed, err := s.subscribe(ctx, user, path, subscribed)
		if err != nil {
			return err
		}
		if !changed {
			return errUnchanged
		}
		note = c.Notes
		return s.writeNotes(ctx, user, note, noteSubscribed(path, subscribed))
	})
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	s.publishList(ctx, user, note)
	return nil
}

// subscribe is the part of Subscribe in the transaction. It reports whether it changed anything.
func (s *Store) subscribe(ctx context.Context, user mailkey.UserID, path string, subscribed bool) (bool, error) {
	update := bson.D{{Key: "$set", Value: bson.D{{Key: boxSubscribed, Value: true}}}}
	if !subscribed {
		update = bson.D{{Key: "$unset", Value: bson.D{{Key: boxSubscribed, Value: ""}}}}
	}
	res, err := s.mailboxes.UpdateOne(ctx, append(atPath(user, path), notSet(boxDeleting)), update)
	if err != nil {
		return false, err
	}
	if res.MatchedCount == 1 {
		return res.ModifiedCount == 1, nil
	}
	if !subscribed {
		return s.takeSubscription(ctx, user, path)
	}
	n, err := s.countUpTo(ctx, s.subscriptions,
		bson.D{{Key: subscriptionUser, Value: user.Binary()}}, MaxSubscriptions)
	if err != nil {
		return false, err
	}
	if n >= MaxSubscriptions {
		return false, invalid(ErrTooMany,
			"a user can have %d subscriptions to names without a mailbox", MaxSubscriptions)
	}
	return s.keepSubscription(ctx, user, path)
}

// subscriptionHash is how many octets of the hash of a path the id of a subscription has.
const subscriptionHash = 16

// subscriptionID returns the id of a subscription: that of the user, and a hash of the path. A
// sharded cluster orders binary values by their lengths first, so all ids have the same.
func subscriptionID(user mailkey.UserID, path string) bson.Binary {
	hash := blake3.Sum256([]byte(path))
	return bson.Binary{Data: append(slices.Clone(user[:]), hash[:subscriptionHash]...)}
}

// longSubscriptionID returns the id that subscriptions had before versionSubscriptions.
func longSubscriptionID(user mailkey.UserID, path string) bson.Binary {
	return bson.Binary{Data: append(slices.Clone(user[:]), path...)}
}

// bySubscription is the filter for the subscription to a path, whichever id it has.
func bySubscription(user mailkey.UserID, path string) bson.D {
	return bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: bson.A{
		subscriptionID(user, path), longSubscriptionID(user, path)}}}},
		{Key: subscriptionUser, Value: user.Binary()}}
}

// keepSubscription stores a subscription to a name without a mailbox. Instances of before may run
// as long as the migration is not through, and remove only documents with an id that they know. It
// reports false if there was one already.
func (s *Store) keepSubscription(ctx context.Context, user mailkey.UserID, path string) (added bool, err error) {
	id := subscriptionID(user, path)
	if !s.schema.Applied(versionSubscriptions) {
		id = longSubscriptionID(user, path)
	}
	res, err := s.subscriptions.UpdateOne(ctx,
		append(byID(id), bson.E{Key: subscriptionUser, Value: user.Binary()}),
		bson.D{{Key: "$set", Value: bson.D{{Key: subscriptionPath, Value: path}}}},
		options.UpdateOne().SetUpsert(true))
	if err != nil {
		return false, fmt.Errorf("keep subscription: %w", err)
	}
	return res.UpsertedCount == 1, nil
}

// takeSubscription removes a subscription that keepSubscription stored, and reports whether there
// was one. There may be two, one with each form of the id.
func (s *Store) takeSubscription(ctx context.Context, user mailkey.UserID, path string) (bool, error) {
	res, err := s.subscriptions.DeleteMany(ctx, bySubscription(user, path), options.DeleteMany().SetHint(byKey))
	if err != nil {
		return false, fmt.Errorf("take subscription: %w", err)
	}
	return res.DeletedCount > 0, nil
}

// migrateSubscriptions gives subscriptions of users of the range the id that they have now.
func (s *Store) migrateSubscriptions(ctx context.Context, g *ranges.Range) error {
	from, last := mailkey.UserID(g.From()), mailkey.UserID(g.Last())
	for {
		var next struct {
			User bson.Binary `bson:"u"`
		}
		err := s.subscriptions.FindOne(ctx, bson.D{{Key: subscriptionUser, Value: bson.D{
			{Key: "$gte", Value: from.Binary()}, {Key: "$lte", Value: last.Binary()}}}},
			options.FindOne().SetSort(bson.D{{Key: subscriptionUser, Value: 1}}).
				SetProjection(bson.D{{Key: subscriptionUser, Value: 1}})).Decode(&next)
		if errors.Is(err, mongo.ErrNoDocuments) {
			return g.Finish(ctx, 0, nil)
		}
		if err != nil {
			return fmt.Errorf("migrate subscriptions: %w", err)
		}
		user, err := userIDFrom(next.User)
		if err != nil {
			return err
		}
		n, err := s.shortenSubscriptions(ctx, user)
		if err != nil {
			return fmt.Errorf("migrate subscriptions: %w", err)
		}
		if err := g.Save(ctx, user[:], n, nil); err != nil || user == last {
			return err
		}
		from = nextUser(user)
	}
}

// shortenSubscriptions gives the subscriptions of a user the id that they have now, and returns how
// many the user has.
func (s *Store) shortenSubscriptions(ctx context.Context, user mailkey.UserID) (n int64, err error) {
	err = s.transactFor(ctx, user, func(ctx context.Context) error {
		docs, err := s.findSubscriptions(ctx, user)
		if err != nil {
			return err
		}
		n = int64(len(docs))
		var old bson.A
		kept := make(map[string]bool)
		for _, d := range docs {
			if d.ID.Equal(subscriptionID(user, d.Path)) {
				kept[d.Path] = true
			} else {
				old = append(old, d.ID)
			}
		}
		if len(old) == 0 {
			return errUnchanged
		}
		// Conflicts with whoever changes the subscriptions at the same time. The user may be gone.
		if _, err := s.touchUser(ctx, user, bson.D{{Key: userTree, Value: int64(1)}}); errors.Is(err, ErrNoSuchUser) {
			return errUnchanged
		} else if err != nil {
			return err
		}
		own := bson.E{Key: subscriptionUser, Value: user.Binary()}
		if _, err := s.subscriptions.DeleteMany(ctx,
			bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: old}}}, own}); err != nil {
			return err
		}
		var models []any
		for _, d := range docs {
			if !kept[d.Path] {
				kept[d.Path] = true
				models = append(models, bson.D{{Key: "_id", Value: subscriptionID(user, d.Path)}, own,
					{Key: subscriptionPath, Value: d.Path}})
			}
		}
		if len(models) == 0 {
			return nil
		}
		_, err = s.subscriptions.InsertMany(ctx, models)
		return err
	})
	return n, err
}

// Subscriptions returns all names the user is subscribed to, sorted, with or without a mailbox.
func (s *Store) Subscriptions(ctx context.Context, user mailkey.UserID) ([]string, error) {
	ctx = database.Causal(ctx)
	notes, err := s.findSubscriptions(ctx, user)
	if err != nil {
		return nil, fmt.Errorf("find subscriptions: %w", err)
	}
	boxes, err := s.findMailboxes(ctx, bson.D{{Key: boxUser, Value: user.Binary()}})
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, n := range notes {
		paths = append(paths, n.Path)
	}
	for _, b := range boxes {
		if b.Subscribed {
			paths = append(paths, b.Path)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths), nil
}

// subscriptionDoc is a subscription to a name without a mailbox.
type subscriptionDoc struct {
	ID   bson.Binary `bson:"_id"`
	Path string      `bson:"p"`
}

func (s *Store) findSubscriptions(ctx context.Context, user mailkey.UserID) ([]subscriptionDoc, error) {
	ctx, end := s.link(ctx)
	defer end()
	cursor, err := s.subscriptions.Find(ctx, bson.D{{Key: subscriptionUser, Value: user.Binary()}})
	if err != nil {
		return nil, err
	}
	var docs []subscriptionDoc
	return docs, cursor.All(ctx, &docs)
}
