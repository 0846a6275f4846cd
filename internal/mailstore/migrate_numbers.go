package mailstore

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/contents"
	"gadwall/internal/envelope"
	"gadwall/internal/mailkey"
	"gadwall/internal/ranges"
	"gadwall/mimestream"
)

// migrateNumbers gives messages that were stored before there were numbers their number, thread and
// links, as a delivery does.
func (s *Store) migrateNumbers(ctx context.Context, g *ranges.Range) error {
	return s.migrateMessages(ctx, g, bson.D{{Key: DocContent, Value: 1}, {Key: DocNumber, Value: 1}},
		func(doc bson.Raw) bool {
			_, err := doc.LookupErr(DocNumber)
			return err != nil
		},
		func(ctx context.Context, docs []bson.Raw) ([]mongo.WriteModel, error) {
			links, err := s.linksOfContents(ctx, docs)
			if err != nil {
				return nil, err
			}
			for len(docs) > 0 {
				key, err := messageKey(docs[0].Lookup(DocID))
				if err != nil {
					return nil, err
				}
				n := 1 // messages of the same user
				for n < len(docs) {
					next, err := messageKey(docs[n].Lookup(DocID))
					if err != nil {
						return nil, err
					}
					if next.Mailbox().User() != key.Mailbox().User() {
						break
					}
					n++
				}
				if err := s.numberMessages(ctx, key.Mailbox().User(), docs[:n], links); err != nil {
					return nil, err
				}
				docs = docs[n:]
			}
			return nil, nil
		})
}

// linksOfContents reads what the headers of old messages say of message identifiers. A content that
// cannot be read says nothing that is certain.
func (s *Store) linksOfContents(ctx context.Context, docs []bson.Raw) (map[contents.ID]*linkIDs, error) {
	var ids []contents.ID
	links := make(map[contents.ID]*linkIDs)
	for _, doc := range docs {
		if id, ok := contentOf(doc); ok && links[id] == nil {
			links[id] = &linkIDs{kept: []linkHash{newLinkHash(linkOdd, "")}}
			ids = append(ids, id)
		}
	}
	err := s.headers(ctx, ids, func(id contents.ID, header []byte) {
		root := mimestream.Parse(header)
		f := envelope.Fields(root)
		l := newLinkIDs(root, &f)
		links[id] = &l
	})
	return links, err
}

// numberMessages numbers messages of one user in one transaction.
func (s *Store) numberMessages(
	ctx context.Context, user mailkey.UserID, docs []bson.Raw, links map[contents.ID]*linkIDs,
) error {
	return s.transactFor(ctx, user, func(ctx context.Context) error {
		var last struct {
			Numbers int64 `bson:"nums"`
		}
		err := s.users.FindOneAndUpdate(ctx, byID(user.Binary()),
			bson.D{{Key: "$inc", Value: bson.D{{Key: userNumbers, Value: int64(len(docs))}}}},
			options.FindOneAndUpdate().SetReturnDocument(options.After).
				SetProjection(bson.D{{Key: userNumbers, Value: 1}})).Decode(&last)
		if errors.Is(err, mongo.ErrNoDocuments) {
			return nil // the messages go with the user
		}
		if err != nil {
			return fmt.Errorf("number messages: %w", err)
		}
		odd := &linkIDs{kept: []linkHash{newLinkHash(linkOdd, "")}}
		own := make([]*linkIDs, len(docs))
		var asked []linkHash
		seen := make(map[linkHash]bool)
		for i, doc := range docs {
			id, _ := contentOf(doc)
			if own[i] = links[id]; own[i] == nil {
				own[i] = odd
			}
			for _, h := range own[i].asked {
				if !seen[h] {
					seen[h] = true
					asked = append(asked, h)
				}
			}
		}
		t := threads{user: user}
		if err := t.read(ctx, s, asked); err != nil {
			return err
		}
		updates := make([]mongo.WriteModel, len(docs))
		next := Number(last.Numbers) - Number(len(docs)) + 1
		for i, doc := range docs {
			place := t.place(next, own[i])
			next++
			updates[i] = mongo.NewUpdateOneModel().
				SetFilter(bson.D{{Key: DocID, Value: doc.Lookup(DocID)},
					{Key: DocContent, Value: doc.Lookup(DocContent)}, notSet(DocNumber)}).
				SetUpdate(bson.D{{Key: "$set", Value: bson.D{
					{Key: DocNumber, Value: int64(place.number)}, {Key: DocThread, Value: int64(place.thread)},
					{Key: DocLinks, Value: own[i].stored(user)}}}}).
				SetHint(bson.D{{Key: "_id", Value: 1}})
		}
		if _, err := s.messages.BulkWrite(ctx, updates, options.BulkWrite().SetOrdered(true)); err != nil {
			return fmt.Errorf("number messages: %w", err)
		}
		return nil
	})
}
