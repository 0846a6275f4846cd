package mailstore

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/contents"
	"gadwall/internal/database"
	"gadwall/internal/envelope"
	"gadwall/internal/mailkey"
	"gadwall/internal/ranges"
	"gadwall/internal/schema"
	"gadwall/mimestream"
)

// Versions of the database, see package schema.
const (
	// versionTexts: every message has DocTextRules whose texts are whole.
	versionTexts = 2
	// versionNumbers: every message that can be read has DocNumber, DocThread and DocLinks.
	versionNumbers = 3
	// versionSubscriptions: the ids of all subscriptions have the same length.
	versionSubscriptions = 4
	// versionPreviews: every message that can be read has DocPreview.
	versionPreviews = 5
)

// Migrations returns what leads from one version of the database to the next, by ascending version.
// Only the numbers and words are of use if s is nil.
func Migrations(s *Store) []schema.Migration {
	return []schema.Migration{
		{
			Version: versionTexts, Name: "texts",
			About: "messages stored before searches could rely on their subject and addresses get them anew, " +
				"so that no search reads their headers",
			Collection: collMessages, KeySize: len(mailkey.Message{}),
			Apply: func(ctx context.Context, g *ranges.Range) error { return s.migrateTexts(ctx, g) },
		},
		{
			Version: versionNumbers, Name: "numbers",
			About: "messages stored before there were numbers get a number and a thread, so that the text index " +
				"knows them and they have an EMAILID and a THREADID",
			Collection: collMessages, KeySize: len(mailkey.Message{}),
			Apply: func(ctx context.Context, g *ranges.Range) error { return s.migrateNumbers(ctx, g) },
		},
		{
			Version: versionSubscriptions, Name: "subscriptions",
			About: "subscriptions to names without a mailbox get ids of one length, so that those of a user " +
				"are neighbours on a sharded cluster",
			Collection: collSubscriptions, KeySize: len(mailkey.UserID{}),
			Apply: func(ctx context.Context, g *ranges.Range) error { return s.migrateSubscriptions(ctx, g) },
		},
		{
			Version: versionPreviews, Name: "previews",
			About: "messages stored before there were previews get one, so that no FETCH of PREVIEW reads their " +
				"texts",
			Collection: collMessages, KeySize: len(mailkey.Message{}),
			Apply: func(ctx context.Context, g *ranges.Range) error { return s.migratePreviews(ctx, g) },
		},
	}
}

// migrationBatch is how many messages a migration reads, and changes, at a time.
const migrationBatch = 500

// migrateMessages reads the messages of the range with these fields, and calls f with batches of those
// that are old. It saves the position after each batch. f returns the updates, which run in any order.
// A message that the database cannot read is left as it is.
//
// The condition is not the server's: a query that seeks few among many messages has no bound in time.
func (s *Store) migrateMessages(ctx context.Context, g *ranges.Range, fields bson.D, old func(bson.Raw) bool,
	f func(ctx context.Context, docs []bson.Raw) ([]mongo.WriteModel, error)) error {
	scan := database.Scan{Collection: s.messages, Key: database.Key{Size: len(mailkey.Message{})},
		From: g.From(), To: g.Last(), Page: migrationBatch, Projection: fields}
	err := scan.Pages(ctx, func(docs []bson.Raw) error {
		last, err := messageKey(docs[len(docs)-1].Lookup(DocID))
		if err != nil {
			return err
		}
		n := int64(len(docs))
		docs = slices.DeleteFunc(docs, func(doc bson.Raw) bool { return !old(doc) })
		if len(docs) > 0 {
			updates, err := f(ctx, docs)
			if err == nil && len(updates) > 0 {
				_, err = s.messages.BulkWrite(ctx, updates, options.BulkWrite().SetOrdered(false))
			}
			if err != nil {
				return err
			}
		}
		return g.Save(ctx, last[:], n, nil)
	}, func(database.Gap) error { return nil })
	if err != nil {
		return fmt.Errorf("migrate messages: %w", err)
	}
	return g.Finish(ctx, 0, nil)
}

func (s *Store) migrateTexts(ctx context.Context, g *ranges.Range) error {
	stale := bson.E{Key: DocTextRules, Value: bson.D{{Key: "$ne", Value: int32(TextRules)}}}
	return s.migrateMessages(ctx, g, bson.D{{Key: DocContent, Value: 1}, {Key: DocTextRules, Value: 1}},
		func(doc bson.Raw) bool {
			rules, ok := doc.Lookup(DocTextRules).AsInt64OK()
			return !ok || rules != TextRules
		},
		func(ctx context.Context, docs []bson.Raw) ([]mongo.WriteModel, error) {
			texts, err := s.texts(ctx, docs)
			if err != nil {
				return nil, err
			}
			var updates []mongo.WriteModel
			for _, doc := range docs {
				id, ok := contentOf(doc)
				if !ok || texts[id] == nil {
					continue
				}
				// A message keeps its content for ever, unless it is gone.
				updates = append(updates, mongo.NewUpdateOneModel().
					SetFilter(bson.D{{Key: DocID, Value: doc.Lookup(DocID)},
						{Key: DocContent, Value: doc.Lookup(DocContent)}, stale}).
					SetUpdate(texts[id]).SetHint(bson.D{{Key: "_id", Value: 1}}))
			}
			return updates, nil
		})
}

func contentOf(doc bson.Raw) (contents.ID, bool) {
	_, id, ok := doc.Lookup(DocContent).BinaryOK()
	if !ok || len(id) != len(contents.ID{}) {
		return contents.ID{}, false
	}
	return contents.ID(id), true
}

// texts returns the updates that give messages their texts, by content. Contents that cannot be read,
// and those whose texts are not whole, have none.
func (s *Store) texts(ctx context.Context, docs []bson.Raw) (map[contents.ID]bson.D, error) {
	var ids []contents.ID
	updates := make(map[contents.ID]bson.D)
	for _, doc := range docs {
		if id, ok := contentOf(doc); ok {
			if _, have := updates[id]; !have {
				updates[id] = nil
				ids = append(ids, id)
			}
		}
	}
	err := s.headers(ctx, ids, func(id contents.ID, header []byte) { updates[id] = textUpdate(header) })
	return updates, err
}

// headers calls f with the headers of those contents that can be read. f may keep them.
func (s *Store) headers(ctx context.Context, ids []contents.ID, f func(id contents.ID, header []byte)) error {
	loaded, err := s.contents.Load(ctx, ids, contents.Want{RootHeader: true})
	if err != nil && !contents.IsUnreadable(err) {
		return err
	}
	for id, c := range loaded {
		var header bytes.Buffer
		err := c.WriteRange(ctx, &header, 0, c.HeaderSize())
		switch {
		case contents.IsUnreadable(err):
		case err != nil:
			return err
		default:
			f(id, header.Bytes())
		}
	}
	return nil
}

// textUpdate returns the update that gives a message the texts of its header; nil if they are not
// whole.
func textUpdate(header []byte) bson.D {
	f := envelope.Fields(mimestream.Parse(header))
	if !f.Whole {
		return nil
	}
	var set, unset bson.D
	text := func(key, value string) {
		if value != "" {
			set = append(set, bson.E{Key: key, Value: value})
		} else {
			unset = append(unset, bson.E{Key: key, Value: ""})
		}
	}
	text(DocSubject, f.Subject)
	if f.BaseSubject == f.Subject {
		f.BaseSubject = ""
	}
	text(DocBaseSubject, f.BaseSubject)
	text(DocFrom, f.From)
	text(DocTo, f.To)
	text(DocCc, f.Cc)
	text(DocBcc, f.Bcc)
	update := bson.D{{Key: "$set", Value: append(set, bson.E{Key: DocTextRules, Value: int32(TextRules)})}}
	if len(unset) > 0 {
		update = append(update, bson.E{Key: "$unset", Value: unset})
	}
	return update
}
