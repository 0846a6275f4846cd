package mailstore

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/contents"
	"gadwall/internal/mailkey"
)

// A StoredMail is a new one, of which the store tells after its transaction.
type StoredMail struct {
	User    mailkey.UserID
	Number  Number
	Content contents.ID
	Prefix  []byte
}

// tellStored tells of the new mails of a committed transaction.
func (g *groupWrite) tellStored() {
	if g.store.stored == nil {
		return
	}
	var list []StoredMail
	for i, b := range g.bundles {
		for j, p := range b.messages {
			if !g.over[i] && g.same[p] == nil {
				list = append(list, StoredMail{g.user, g.places[i][j].number, p.ref.ID, p.prefix})
			}
		}
	}
	g.store.stored(list)
}

// LastNumber returns the last number that was given out to a message of a user; 0 for none. The
// error is ErrNoSuchUser.
func (s *Store) LastNumber(ctx context.Context, user mailkey.UserID) (Number, error) {
	var doc struct {
		Numbers int64 `bson:"nums"`
	}
	err := s.users.FindOne(ctx, byID(user.Binary()),
		options.FindOne().SetProjection(bson.D{{Key: userNumbers, Value: 1}})).Decode(&doc)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return 0, ErrNoSuchUser
	}
	if err != nil {
		return 0, fmt.Errorf("find user: %w", err)
	}
	return Number(doc.Numbers), nil
}

// UserMessages iterates over all messages of a user, mailbox by mailbox, loading only the fields
// asked for. After an error, which comes with a nil message, the iteration ends.
func (s *Store) UserMessages(
	ctx context.Context, user mailkey.UserID, fields Fields,
) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		opts := options.Find().SetSort(bson.D{{Key: DocID, Value: 1}}).SetProjection(projection(fields)).
			SetBatchSize(batchSize(fields))
		s.walk(ctx, userRange(user), opts, func(doc bson.Raw, err error) bool {
			var m *Message
			if err == nil {
				m, err = decodeMessage(doc)
			}
			if err != nil {
				yield(nil, fmt.Errorf("find messages: %w", err))
				return false
			}
			return yield(m, nil)
		})
	}
}
