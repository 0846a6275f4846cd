package mailstore

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/database"
	"gadwall/internal/mailkey"
)

// strayMetadata looks for metadata of mailboxes or users that do not exist. Nothing could show it,
// and a number is never given out again, so the repair deletes it.
func (c *checker) strayMetadata(ctx context.Context) error {
	scan := database.Scan{Collection: c.s.metadata, Key: database.Key{Size: len(metadataKey{})},
		Projection: bson.D{{Key: "_id", Value: 1}}}
	return c.pages(ctx, scan, func(docs []bson.Raw) error {
		var keys []metadataKey
		var boxes []mailkey.Mailbox
		for _, doc := range docs {
			id, ok := binaryID(doc, len(metadataKey{}))
			if !ok {
				c.found(Finding{Fault: BadDocument, Detail: fmt.Sprintf("metadata key %v", doc.Lookup("_id"))})
				continue
			}
			keys = append(keys, metadataKey(id))
			boxes = append(boxes, metadataKey(id).mailbox())
		}
		there, err := c.owners(ctx, boxes)
		if err != nil {
			return err
		}
		for _, key := range keys {
			if there[key.mailbox()] {
				continue
			}
			if err := c.dropMetadata(ctx, key); err != nil {
				return err
			}
		}
		return nil
	})
}

// owners returns which of the mailboxes exist; number 0 does if the user does.
func (c *checker) owners(ctx context.Context, boxes []mailkey.Mailbox) (map[mailkey.Mailbox]bool, error) {
	there := make(map[mailkey.Mailbox]bool)
	var users []mailkey.UserID
	ids := bson.A{}
	for _, box := range boxes {
		if _, known := there[box]; known {
			continue
		}
		there[box] = false
		if box.Number() == 0 {
			users = append(users, box.User())
		} else {
			ids = append(ids, box.Binary())
		}
	}
	gone, err := c.absent(ctx, users)
	if err != nil {
		return nil, err
	}
	for _, user := range users {
		there[user.Mailbox(0)] = !gone[user]
	}
	ctx, end := c.s.link(ctx)
	defer end()
	// Those that are being deleted still own what they have.
	var docs []mailboxDoc
	cursor, err := c.s.mailboxes.Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}})
	if err == nil {
		err = cursor.All(ctx, &docs)
	}
	if database.IsDamaged(err) { // any of them may exist
		for box := range there {
			there[box] = true
		}
		return there, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find mailboxes: %w", err)
	}
	for _, d := range docs {
		m, err := d.mailbox()
		if err != nil {
			return nil, err
		}
		there[m.Key] = true
	}
	return there, nil
}

// dropMetadata reports an entry, and deletes it if the check repairs.
func (c *checker) dropMetadata(ctx context.Context, key metadataKey) error {
	box := key.mailbox()
	same := append(byID(key.binary()), bson.E{Key: metadataUser, Value: box.User().Binary()})
	there, err := c.stillThere(ctx, c.s.metadata, same)
	if err != nil || !there {
		return err // it went with its mailbox
	}
	f := Finding{Fault: StrayMetadata, User: box.User(), Mailbox: box,
		Detail: "metadata of a mailbox that does not exist"}
	if c.o.Repair {
		res, err := c.s.metadata.DeleteOne(ctx, same)
		if err != nil {
			return err
		}
		f.Repaired = res.DeletedCount == 1
	}
	c.found(f)
	return nil
}
