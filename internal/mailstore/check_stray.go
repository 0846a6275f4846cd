package mailstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/internal/database"
	"gadwall/internal/mailkey"
)

// strayMessages looks for messages of users who do not exist. It leaps from user to user.
func (c *checker) strayMessages(ctx context.Context) error {
	first, last := c.bounds()
	from := first.Mailbox(0).Message(0)
	for done := false; !done; {
		var users []mailkey.UserID
		for len(users) < checkPage && !done {
			key, found, err := c.firstMessage(ctx, from, c.o.To == nil)
			if err != nil {
				return err
			}
			user := key.User()
			if done = !found || bytes.Compare(user[:], last[:]) >= 0; found && bytes.Compare(user[:], last[:]) <= 0 {
				users = append(users, user)
				from = nextUser(user).Mailbox(0).Message(0)
			}
		}
		gone, err := c.absent(ctx, users)
		if err != nil {
			return err
		}
		if err := c.progress(ctx); err != nil {
			return err
		}
		for user := range gone {
			if there, err := c.stillThere(ctx, c.s.messages, messagesOf(user)); err != nil {
				return err
			} else if there {
				c.found(Finding{Fault: NoUser, User: user, Detail: "messages of a user who does not exist"})
			}
		}
	}
	return nil
}

// bounds are the first and the last user who may own something that is looked for.
func (c *checker) bounds() (first, last mailkey.UserID) {
	last = lastUser
	if c.o.First != nil {
		first = mailkey.UserID(c.o.First)
	}
	if c.o.To != nil {
		last = mailkey.UserID(c.o.To)
	}
	return first, last
}

// lastUser is the greatest id that a user can have.
var lastUser = mailkey.UserID(bytes.Repeat([]byte{0xff}, len(mailkey.UserID{})))

// nextUser is the id after that of a user who is not the last.
func nextUser(user mailkey.UserID) mailkey.UserID {
	binary.BigEndian.PutUint64(user[:], binary.BigEndian.Uint64(user[:])+1)
	return user
}

// firstMessage returns the first key from a key on of a message that can be read.
// Keys of another length, which sort behind all others, it reports if it is to.
func (c *checker) firstMessage(
	ctx context.Context, from mailkey.Message, longer bool,
) (key mailkey.Message, found bool, err error) {
	scan := database.Scan{Collection: c.s.messages, Key: database.Key{Size: len(key)}, From: from[:],
		Projection: projection(0), Page: 1}
	err = scan.Run(ctx, func(doc bson.Raw) error {
		if key, err = messageKey(doc.Lookup(DocID)); err != nil {
			if longer {
				c.found(Finding{Fault: BadMessage, Detail: err.Error()})
			}
			return errEnough
		}
		found = true
		return errEnough
	}, func(database.Gap) error { return nil }) // is reported where the user is checked
	if errors.Is(err, errEnough) {
		err = nil
	}
	return key, found, err
}

// errEnough ends a scan.
var errEnough = errors.New("enough was read")

// messagesOf is the condition that a message belongs to a user.
func messagesOf(user mailkey.UserID) bson.D {
	return bson.D{{Key: "_id", Value: bson.D{
		{Key: "$gte", Value: user.Mailbox(0).Message(0).Binary()}, {Key: "$lte", Value: lastOf(user).Binary()}}}}
}

func (c *checker) strayMailboxes(ctx context.Context) error {
	first, last := c.bounds()
	from, to := first.Mailbox(0), last.Mailbox(math.MaxUint32)
	scan := database.Scan{Collection: c.s.mailboxes, Key: database.Key{Size: len(from)},
		Projection: bson.D{{Key: "_id", Value: 1}}}
	if c.o.First != nil {
		scan.From = from[:]
	}
	if c.o.To != nil {
		scan.To = to[:]
	}
	return c.pages(ctx, scan, func(docs []bson.Raw) error {
		var users []mailkey.UserID
		for _, doc := range docs {
			id, ok := binaryID(doc, len(mailkey.Mailbox{}))
			if !ok {
				c.found(Finding{Fault: BadDocument, Detail: fmt.Sprintf("mailbox key %v", doc.Lookup("_id"))})
				continue
			}
			users = append(users, mailkey.Mailbox(id).User())
		}
		gone, err := c.absent(ctx, users)
		if err != nil {
			return err
		}
		for _, doc := range docs {
			id, ok := binaryID(doc, len(mailkey.Mailbox{}))
			if !ok || !gone[mailkey.Mailbox(id).User()] {
				continue
			}
			key := mailkey.Mailbox(id)
			if there, err := c.stillThere(ctx, c.s.mailboxes, byBox(key)); err != nil {
				return err
			} else if there {
				c.found(Finding{Fault: NoUser, User: key.User(), Mailbox: key,
					Detail: "mailbox of a user who does not exist"})
			}
		}
		return nil
	})
}

func (c *checker) strayAddresses(ctx context.Context) error {
	return c.stray(ctx, c.s.addresses, addressUser, "address")
}

func (c *checker) straySubscriptions(ctx context.Context) error {
	return c.stray(ctx, c.s.subscriptions, subscriptionUser, "subscription")
}

// stray looks for documents that name a user who does not exist. Nothing but the user could use
// them, so the repair deletes them.
func (c *checker) stray(ctx context.Context, coll *mongo.Collection, field, what string) error {
	// Ids of these have no fixed length, so behind damage nothing more is read.
	scan := database.Scan{Collection: coll, Key: database.Key{Size: len(mailkey.UserID{})}}
	return c.pages(ctx, scan, func(docs []bson.Raw) error {
		var users []mailkey.UserID
		userOf := func(doc bson.Raw) (mailkey.UserID, bool) {
			_, id, ok := doc.Lookup(field).BinaryOK()
			if !ok || len(id) != len(mailkey.UserID{}) {
				return mailkey.UserID{}, false
			}
			return mailkey.UserID(id), true
		}
		for _, doc := range docs {
			user, ok := userOf(doc)
			if !ok {
				c.found(Finding{Fault: BadDocument, Detail: fmt.Sprintf("%s %v", what, doc.Lookup("_id"))})
				continue
			}
			users = append(users, user)
		}
		gone, err := c.absent(ctx, users)
		if err != nil {
			return err
		}
		for _, doc := range docs {
			user, ok := userOf(doc)
			if !ok || !gone[user] {
				continue
			}
			same := bson.D{{Key: "_id", Value: doc.Lookup("_id")}, {Key: field, Value: user.Binary()}}
			f := Finding{Fault: StrayAddress, User: user,
				Detail: fmt.Sprintf("%s %v of a user who does not exist", what, doc.Lookup("_id"))}
			there, err := c.stillThere(ctx, coll, same)
			if err == nil && there && c.o.Repair {
				var res *mongo.DeleteResult
				if res, err = coll.DeleteOne(ctx, same); err == nil {
					f.Repaired = res.DeletedCount == 1
					there = f.Repaired
				}
			}
			if err != nil {
				return err
			}
			if there {
				c.found(f)
			}
		}
		return nil
	})
}
