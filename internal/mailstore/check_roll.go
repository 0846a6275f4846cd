package mailstore

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/database"
	"gadwall/internal/mailkey"
)

// strayRolls looks for rolls of mailboxes that do not exist: a session that had a mailbox open can
// leave one while the mailbox goes. It also looks for rolls that cannot be read. Nothing is lost with
// a roll, so the repair deletes both. Readers find out by themselves what else can be wrong.
func (c *checker) strayRolls(ctx context.Context) error {
	scan := database.Scan{Collection: c.s.rollDocs, Key: database.Key{Size: len(mailkey.Mailbox{})}}
	return c.pages(ctx, scan, func(docs []bson.Raw) error {
		var boxes []mailkey.Mailbox
		damaged := make(map[mailkey.Mailbox]bool)
		for _, doc := range docs {
			id, ok := binaryID(doc, len(mailkey.Mailbox{}))
			if !ok {
				c.found(Finding{Fault: BadDocument, Detail: fmt.Sprintf("key of a roll %v", doc.Lookup("_id"))})
				continue
			}
			box := mailkey.Mailbox(id)
			boxes = append(boxes, box)
			damaged[box] = decodeRoll(box, doc).damaged
		}
		there, err := c.owners(ctx, boxes)
		if err != nil {
			return err
		}
		for _, box := range boxes {
			detail := "the roll of a mailbox that does not exist"
			if damaged[box] {
				detail = "the roll cannot be read"
			}
			if there[box] && !damaged[box] {
				continue
			}
			if err := c.dropRoll(ctx, box, detail); err != nil {
				return err
			}
		}
		return nil
	})
}

// dropRoll reports a roll, and deletes it if the check repairs. If a session has written another one
// meanwhile, that goes with it, and the next opening makes one.
func (c *checker) dropRoll(ctx context.Context, box mailkey.Mailbox, detail string) error {
	there, err := c.stillThere(ctx, c.s.rollDocs, byID(box.Binary()))
	if err != nil || !there {
		return err // it went with its mailbox
	}
	f := Finding{Fault: StrayRoll, User: box.User(), Mailbox: box, Detail: detail}
	if c.o.Repair {
		res, err := c.s.rollDocs.DeleteOne(ctx, byID(box.Binary()))
		if err != nil {
			return err
		}
		f.Repaired = res.DeletedCount == 1
	}
	c.found(f)
	return nil
}
