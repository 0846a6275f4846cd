package mailstore

import (
	"context"
	"errors"
	"fmt"
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/database"
	"gadwall/internal/mailkey"
	"gadwall/quota"
)

// A Fault is a kind of damage that Check finds.
type Fault int

const (
	// WrongCounters: a mailbox's counters differ from its messages.
	WrongCounters Fault = iota + 1
	// WrongQuota: a user's usage differs from the messages.
	WrongQuota
	// LowUIDNext: a message has a UID that was not given out yet.
	LowUIDNext
	// LowModSeq: a message or journal entry has a mod-sequence that was not given out yet.
	LowModSeq
	// UnknownKeyword: a message has a keyword that its mailbox has not seen.
	UnknownKeyword
	// WrongMarkers: the fields of a message that repeat other fields for the sake of indexes
	// contradict them.
	WrongMarkers
	// BadMessage: a message document cannot be read. Not repaired.
	BadMessage
	// BadJournal: a journal entry cannot be read, or the newest one is not known to its mailbox.
	BadJournal
	// LowNumbers: a user has a mailbox number, a UIDVALIDITY or a number of a message that was not given
	// out yet.
	LowNumbers
	// NoMailbox: messages whose mailbox does not exist. The repair makes one for them.
	NoMailbox
	// NoUser: messages or mailboxes whose user does not exist. Not repaired: a check never removes
	// mail.
	NoUser
	// StrayAddress: an address or subscription whose user does not exist.
	StrayAddress
	// StrayMetadata: an annotation of a mailbox, or of a user, that does not exist.
	StrayMetadata
	// StrayRoll: a roll of a mailbox that does not exist, or one that cannot be read.
	StrayRoll
	// NoAddress: mail to a user's name does not reach the user.
	NoAddress
	// BadDocument: any other document that cannot be read. Not repaired.
	BadDocument
	// Unreadable: the database cannot read a message or other documents, because its files are
	// damaged. Not repaired.
	Unreadable
)

var faultNames = map[Fault]string{
	WrongCounters: "wrong counters", WrongQuota: "wrong quota", LowUIDNext: "low UIDNEXT",
	LowModSeq:      "low mod-sequence",
	UnknownKeyword: "unknown keyword", WrongMarkers: "wrong markers", BadMessage: "bad message",
	BadJournal: "bad journal",
	LowNumbers: "low numbers", NoMailbox: "no mailbox", NoUser: "no user",
	StrayMetadata: "stray metadata", StrayRoll: "stray roll",
	StrayAddress: "stray address", NoAddress: "no address",
	BadDocument: "bad document", Unreadable: "unreadable",
}

func (f Fault) String() string { return faultNames[f] }

// A Finding is one certain fault.
type Finding struct {
	Fault    Fault
	User     mailkey.UserID
	Mailbox  mailkey.Mailbox // zero if it is not about one
	UID      uint32          // 0 if it is not about one message
	LastUID  uint32          // not 0: it is about the messages there are from UID to LastUID
	Detail   string
	Repaired bool
}

// CheckOptions say what Check does.
type CheckOptions struct {
	// Found is called with each finding.
	Found func(Finding)
	// Repair says whether to repair what can be.
	Repair bool
	// First and To are the first and the last id of the users to check; nil for the least and the
	// greatest. From, if not nil, is the id from which on they are not checked yet.
	First, From, To []byte
	// Saved, if not nil, is told after each user that all users up to this one are checked, and what
	// this check has checked. Its error ends the check.
	Saved func(ctx context.Context, last mailkey.UserID, sum Checked) error
	// Progress is told how many users and messages are done, if not nil, after each user and each
	// page of others. It may take its time; its error ends the check.
	Progress func(ctx context.Context, users, messages int64) error
}

// Checked sums up a Check.
type Checked struct {
	Users     int64 `json:"users"`
	Mailboxes int64 `json:"mailboxes"`
	Messages  int64 `json:"messages"`
	// Undecided is how many users were changed or too large, so that nothing can be said about them
	// now.
	Undecided int64 `json:"undecided"`
}

// Add adds what another check has checked.
func (c *Checked) Add(o Checked) {
	c.Users += o.Users
	c.Mailboxes += o.Mailboxes
	c.Messages += o.Messages
	c.Undecided += o.Undecided
}

// checkPage is how many users, or documents of users, are looked at together.
const checkPage = 500

// Check verifies what always holds of users, mailboxes and messages, beside live traffic and in
// constant memory. What belongs to one user is read from one snapshot, in which all of it must
// agree. Repairs are conditional on what was seen: every change of the messages raises the
// mod-sequence of their mailbox.
//
// What is being deleted is left alone. Users that seem to own something and do not exist are looked
// for after the others, from First on.
func (s *Store) Check(ctx context.Context, o CheckOptions) (Checked, error) {
	c := &checker{s: s, o: o}
	err := c.run(ctx)
	return c.sum, err
}

// CheckNames looks for addresses, subscriptions and metadata of users who do not exist, and for
// metadata and rolls of mailboxes that do not.
func (s *Store) CheckNames(ctx context.Context, o CheckOptions) error {
	c := &checker{s: s, o: o}
	for _, f := range []func(context.Context) error{c.strayAddresses, c.straySubscriptions, c.strayMetadata,
		c.strayRolls} {
		if err := f(ctx); err != nil {
			return fmt.Errorf("check for users who do not exist: %w", err)
		}
	}
	return nil
}

type checker struct {
	s   *Store
	o   CheckOptions
	sum Checked
}

func (c *checker) run(ctx context.Context) error {
	scan := database.Scan{Collection: c.s.users, Key: database.Key{Size: len(mailkey.UserID{})},
		From: c.o.From, To: c.o.To, Projection: bson.D{{Key: userDeleting, Value: 1}}}
	err := c.pages(ctx, scan, func(docs []bson.Raw) error {
		for _, doc := range docs {
			if _, deleting := doc.Lookup(userDeleting).BooleanOK(); deleting {
				continue
			}
			id, ok := binaryID(doc, len(mailkey.UserID{}))
			if !ok {
				c.found(Finding{Fault: BadDocument, Detail: fmt.Sprintf("user id %v", doc.Lookup("_id"))})
				continue
			}
			if err := c.oneOfAll(ctx, mailkey.UserID(id)); err != nil {
				return err
			}
			if c.o.Saved != nil {
				if err := c.o.Saved(ctx, mailkey.UserID(id), c.sum); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("check users: %w", err)
	}
	for _, f := range []func(context.Context) error{c.strayMessages, c.strayMailboxes} {
		if err := f(ctx); err != nil {
			return fmt.Errorf("check for users who do not exist: %w", err)
		}
	}
	return nil
}

// oneOfAll checks a user. Whatever is wrong with this one, the others are to be checked.
func (c *checker) oneOfAll(ctx context.Context, id mailkey.UserID) error {
	err := c.user(ctx, id)
	var unreadable *unreadableError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unreadable):
		c.found(Finding{Fault: BadDocument, User: id, Mailbox: unreadable.box, Detail: err.Error()})
	case database.IsDamaged(err):
		c.found(Finding{Fault: Unreadable, User: id, Detail: err.Error()})
	case errors.Is(err, errSnapshotLost) && ctx.Err() == nil:
		c.s.log.Warn("the check says nothing of a user: the database does not keep a snapshot for long enough",
			"user", id.String(), "error", err)
		c.sum.Undecided++
	default:
		return err
	}
	return c.count(ctx, 1, 0, 0)
}

func (c *checker) found(f Finding) { c.o.Found(f) }

// pages calls f with the documents of a scan, and reports those that the database cannot read. Those
// that come or go meanwhile may be passed over.
func (c *checker) pages(ctx context.Context, scan database.Scan, f func([]bson.Raw) error) error {
	scan.Page = checkPage
	return scan.Pages(ctx, func(docs []bson.Raw) error {
		if err := f(docs); err != nil {
			return err
		}
		return c.progress(ctx)
	}, func(g database.Gap) error {
		c.found(Finding{Fault: Unreadable,
			Detail: fmt.Sprintf("%s with ids from %s: %v", scan.Collection.Name(), g.String(), g.Err)})
		return nil
	})
}

func binaryID(doc bson.Raw, size int) ([]byte, bool) {
	_, id, ok := doc.Lookup("_id").BinaryOK()
	return id, ok && len(id) == size
}

// absent returns those of the users who do not exist. A user's id is never given out again, so they
// never will.
func (c *checker) absent(ctx context.Context, users []mailkey.UserID) (map[mailkey.UserID]bool, error) {
	gone := make(map[mailkey.UserID]bool)
	keys := make(bson.A, 0, len(users))
	for _, u := range users {
		if !gone[u] {
			gone[u] = true
			keys = append(keys, u.Binary())
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	cur, err := c.s.users.Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: keys}}}},
		options.Find().SetProjection(bson.D{{Key: "_id", Value: 1}}).SetBatchSize(checkPage+1))
	var docs []bson.Raw
	if err == nil {
		err = cur.All(ctx, &docs)
	}
	switch {
	case database.IsDamaged(err) && len(keys) == 1:
		return nil, nil // there may be such a user
	case database.IsDamaged(err):
		return c.absentOnes(ctx, gone)
	case err != nil:
		return nil, err
	}
	for _, doc := range docs {
		if id, ok := binaryID(doc, len(mailkey.UserID{})); ok {
			delete(gone, mailkey.UserID(id))
		}
	}
	return gone, nil
}

// absentOnes is absent, user by user.
func (c *checker) absentOnes(
	ctx context.Context, users map[mailkey.UserID]bool,
) (map[mailkey.UserID]bool, error) {
	gone := make(map[mailkey.UserID]bool)
	for user := range users {
		one, err := c.absent(ctx, []mailkey.UserID{user})
		if err != nil {
			return nil, err
		}
		if one[user] {
			gone[user] = true
		}
	}
	return gone, nil
}

// stillThere reports whether a document with that filter exists. It does not if it cannot be read.
func (c *checker) stillThere(ctx context.Context, coll *mongo.Collection, filter bson.D) (bool, error) {
	n, err := c.s.countUpTo(ctx, coll, filter, 1)
	if database.IsDamaged(err) {
		return false, nil
	}
	return n > 0, err
}

// checkAttempts is how often a user is looked at again who was changed before a repair.
const checkAttempts = 5

// user checks one user with all mailboxes and messages.
func (c *checker) user(ctx context.Context, id mailkey.UserID) error {
	for attempt := range checkAttempts {
		var u *userCheck
		err := c.s.snapshot(ctx, func(ctx context.Context) error {
			u = &userCheck{checker: c, id: id}
			if err := u.read(ctx); err != nil || u.gone {
				return err
			}
			return u.readAll(ctx, id.Mailbox(0), id.Mailbox(math.MaxUint32))
		})
		if database.IsDamaged(err) {
			return c.damagedUser(ctx, id)
		}
		if errors.Is(err, errSnapshotLost) {
			// More mail than one snapshot can show: mailbox by mailbox.
			return c.largeUser(ctx, id)
		}
		if err != nil || u.gone {
			return err
		}
		u.compareBoxes()
		u.compareNumbers()
		u.compareUser()
		done, err := u.settle(ctx, attempt > 0)
		if err != nil {
			return err
		}
		if done {
			return c.count(ctx, 1, int64(len(u.boxes)), u.messages)
		}
	}
	c.sum.Undecided++
	return c.count(ctx, 1, 0, 0)
}

// largeUser checks each mailbox in a snapshot of its own.
func (c *checker) largeUser(ctx context.Context, id mailkey.UserID) error {
	keys, err := c.s.mailboxIDs(ctx, id)
	if err != nil {
		return err
	}
	undecided, damaged := false, false
	for _, key := range keys {
		done, err := c.largeMailbox(ctx, key)
		if database.IsDamaged(err) {
			damaged = true
			continue
		}
		if err != nil {
			return err
		}
		undecided = undecided || !done
	}
	// The usage is the sum of the counters, which were compared with the messages just now.
	var u *userCheck
	err = c.s.snapshot(ctx, func(ctx context.Context) error {
		u = &userCheck{checker: c, id: id}
		return u.read(ctx)
	})
	if err != nil || u.gone {
		return err
	}
	for _, b := range u.boxes {
		u.total = u.total.Add(quota.Usage{Bytes: b.doc.Size, Messages: b.doc.Messages})
	}
	if undecided {
		c.sum.Undecided++
	} else {
		u.unsure = damaged
		u.compareUser()
	}
	if _, err = u.settle(ctx, false); err != nil {
		return err
	}
	return c.count(ctx, 1, int64(len(u.boxes)), 0)
}

func (c *checker) largeMailbox(ctx context.Context, key mailkey.Mailbox) (done bool, err error) {
	for attempt := range checkAttempts {
		var u *userCheck
		err := c.s.snapshot(ctx, func(ctx context.Context) error {
			u = &userCheck{checker: c, id: key.User()}
			if err := u.read(ctx); err != nil || u.gone {
				return err
			}
			u.only(key)
			return u.readAll(ctx, key, key)
		})
		if errors.Is(err, errSnapshotLost) {
			return false, nil
		}
		if err != nil || u.gone {
			return true, err
		}
		u.compareBoxes()
		u.compareNumbers()
		if done, err := u.settle(ctx, attempt > 0); done || err != nil {
			return true, errors.Join(err, c.count(ctx, 0, 0, u.messages))
		}
	}
	return false, nil
}

func (c *checker) count(ctx context.Context, users, mailboxes, messages int64) error {
	c.sum.Users += users
	c.sum.Mailboxes += mailboxes
	c.sum.Messages += messages
	return c.progress(ctx)
}

func (c *checker) progress(ctx context.Context) error {
	if c.o.Progress == nil {
		return nil
	}
	return c.o.Progress(ctx, c.sum.Users, c.sum.Messages)
}
