package mailstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/mailkey"
	"gadwall/quota"
)

// User is an account.
type User struct {
	ID       mailkey.UserID
	Username string // normalised address
	quota.Account
	Created time.Time
}

// NewUser describes a new account.
type NewUser struct {
	Username string // mail address
	Password string
	Quota    quota.Limits // own limits
}

type userDoc struct {
	ID      bson.Binary `bson:"_id"`
	Name    string      `bson:"name"`
	Hash    string      `bson:"hash"`
	Created time.Time   `bson:"created"`
	Quota   quota.State `bson:"quota"`
}

func (s *Store) userFrom(d *userDoc) (*User, error) {
	id, err := userIDFrom(d.ID)
	if err != nil {
		return nil, err
	}
	return &User{ID: id, Username: d.Name, Account: s.quota.Policy().Account(d.Quota), Created: d.Created.UTC()}, nil
}

func userIDFrom(b bson.Binary) (mailkey.UserID, error) {
	if len(b.Data) != len(mailkey.UserID{}) {
		return mailkey.UserID{}, fmt.Errorf("user id of %d octets in the database", len(b.Data))
	}
	return mailkey.UserID(b.Data), nil
}

// standardMailboxes are the mailboxes of a new user, beside INBOX.
var standardMailboxes = []struct{ path, use string }{
	{"INBOX", ""},
	{"Sent", `\Sent`}, {"Drafts", `\Drafts`}, {"Junk", `\Junk`}, {"Trash", `\Trash`}, {"Archive", `\Archive`},
}

// CreateUser makes an account with the standard mailboxes, all subscribed. Errors:
// ErrInvalidAddress, ErrWeakPassword, ErrUserExists, quota.ErrInvalidLimit.
func (s *Store) CreateUser(ctx context.Context, n NewUser) (*User, error) {
	name, err := NormalizeAddress(n.Username)
	if err != nil {
		return nil, err
	}
	if err := n.Quota.Check(); err != nil {
		return nil, err
	}
	if err := checkPassword(n.Password); err != nil {
		return nil, err
	}
	// A look before the expensive hash; the unique index decides.
	if n, err := s.countUpTo(ctx, s.addresses, bson.D{{Key: "_id", Value: name}}, 1); err != nil {
		return nil, err
	} else if n > 0 {
		return nil, fmt.Errorf("%w: %s", ErrUserExists, name)
	}
	hash, err := s.hash(ctx, n.Password)
	if err != nil {
		return nil, err
	}
	return s.createUser(ctx, name, hash, n.Quota)
}

// createUser makes an account from the values that CreateUser has checked.
func (s *Store) createUser(ctx context.Context, name, hash string, limits quota.Limits) (*User, error) {
	state := quota.NewState(limits)
	user := &User{ID: mailkey.NewUserID(), Username: name, Account: s.quota.Policy().Account(state), Created: now()}
	var boxes []any
	validity := uint32(user.Created.Unix())
	for i, std := range standardMailboxes {
		box := &Mailbox{
			Key: user.ID.Mailbox(uint32(i + 1)), Path: std.path, SpecialUse: std.use, Subscribed: true,
			UIDValidity: validity + uint32(i), Created: user.Created,
		}
		boxes = append(boxes, newMailboxDoc(box))
	}
	doc := bson.D{
		{Key: "_id", Value: user.ID.Binary()},
		{Key: userName, Value: name},
		{Key: userHash, Value: hash},
		{Key: userCreated, Value: user.Created},
		{Key: userMailboxes, Value: int64(len(boxes))},
		{Key: userUIDValidity, Value: int64(validity) + int64(len(boxes)-1)},
		{Key: userTree, Value: int64(0)},
		{Key: quota.Field, Value: state},
	}
	err := s.transact(ctx, func(ctx context.Context) error {
		_, err := s.addresses.InsertOne(ctx, bson.D{{Key: "_id", Value: name},
			{Key: addressUser, Value: user.ID.Binary()}})
		if err != nil {
			return err
		}
		if _, err := s.users.InsertOne(ctx, doc); err != nil {
			return err
		}
		_, err = s.mailboxes.InsertMany(ctx, boxes)
		return err
	})
	if mongo.IsDuplicateKeyError(err) {
		return nil, fmt.Errorf("%w: %s", ErrUserExists, name)
	}
	if err != nil {
		return nil, fmt.Errorf("create user: %w", err)
	}
	return user, nil
}

// Users iterates over all users in the order of their names. It reads them page by page, so that
// the caller may take as long as it likes for each.
func (s *Store) Users(ctx context.Context) iter.Seq2[*User, error] {
	return func(yield func(*User, error) bool) {
		last := "" // no name is empty
		for {
			page, err := s.usersAfter(ctx, last)
			if err != nil {
				yield(nil, fmt.Errorf("list users: %w", err))
				return
			}
			for _, user := range page {
				if !yield(user, nil) {
					return
				}
			}
			if len(page) < pageUsers {
				return
			}
			last = page[len(page)-1].Username
		}
	}
}

// usersAfter returns the users whose names follow, at most pageUsers.
func (s *Store) usersAfter(ctx context.Context, name string) ([]*User, error) {
	cursor, err := s.users.Find(ctx,
		bson.D{{Key: userName, Value: bson.D{{Key: "$gt", Value: name}}}, notSet(userDeleting)},
		options.Find().SetSort(bson.D{{Key: userName, Value: 1}}).SetLimit(pageUsers))
	if err != nil {
		return nil, err
	}
	var docs []*userDoc
	if err := cursor.All(ctx, &docs); err != nil {
		return nil, err
	}
	page := make([]*User, len(docs))
	for i, doc := range docs {
		if page[i], err = s.userFrom(doc); err != nil {
			return nil, err
		}
	}
	return page, nil
}

// UserByName returns the user with this name. The error is ErrNoSuchUser, also for names that
// cannot exist.
func (s *Store) UserByName(ctx context.Context, username string) (*User, error) {
	name, err := NormalizeAddress(username)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoSuchUser, err)
	}
	doc, err := s.findUser(ctx, bson.D{{Key: userName, Value: name}})
	if err != nil {
		return nil, err
	}
	return s.userFrom(doc)
}

// UserByID returns the user with this id. The error is ErrNoSuchUser.
func (s *Store) UserByID(ctx context.Context, id mailkey.UserID) (*User, error) {
	doc, err := s.findUser(ctx, byID(id.Binary()))
	if err != nil {
		return nil, err
	}
	return s.userFrom(doc)
}

func (s *Store) findUser(ctx context.Context, filter bson.D) (*userDoc, error) {
	ctx, end := s.link(ctx)
	defer end()
	var doc userDoc
	err := s.users.FindOne(ctx, append(filter, notSet(userDeleting))).Decode(&doc)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, ErrNoSuchUser
	}
	if err != nil {
		return nil, fmt.Errorf("find user: %w", err)
	}
	return &doc, nil
}

// SetPassword gives the user another password. Errors: ErrWeakPassword, ErrNoSuchUser.
func (s *Store) SetPassword(ctx context.Context, user mailkey.UserID, password string) error {
	hash, err := s.hash(ctx, password)
	if err != nil {
		return err
	}
	res, err := s.users.UpdateOne(ctx, append(byID(user.Binary()), notSet(userDeleting)),
		bson.D{{Key: "$set", Value: bson.D{{Key: userHash, Value: hash}}}})
	if err != nil {
		return fmt.Errorf("set password: %w", err)
	}
	if res.MatchedCount == 0 {
		return ErrNoSuchUser
	}
	return nil
}

// Authenticate returns the user with this name and password. The error is ErrAuthFailed if there is
// none. It takes the same time whether or not the name exists. A password that was right a moment
// ago costs no computation (Options.RememberPasswords); a wrong one always does.
func (s *Store) Authenticate(ctx context.Context, username, password string) (*User, error) {
	if len(password) > MaxPasswordLength {
		return nil, ErrAuthFailed
	}
	var doc *userDoc
	hash := noHash
	name, err := NormalizeAddress(username)
	if err != nil {
		// The query runs all the same, because it takes time as well.
		name = ""
	}
	doc, err = s.findUser(ctx, bson.D{{Key: userName, Value: name}})
	switch {
	case errors.Is(err, ErrNoSuchUser):
	case err != nil:
		return nil, fmt.Errorf("authenticate: %w", err)
	default:
		if hash, err = parseHash(doc.Hash); err != nil {
			return nil, fmt.Errorf("authenticate %s: %w", doc.Name, err)
		}
	}
	var user *User
	var verified verifiedKey
	if doc != nil {
		if user, err = s.userFrom(doc); err != nil {
			return nil, err
		}
		verified = s.verified.keyOf(user.ID, doc.Hash, preparePassword(password))
		if s.verified.has(verified) {
			return user, nil
		}
	}
	same, err := s.verify(ctx, hash, password)
	if err != nil {
		return nil, fmt.Errorf("authenticate: %w", err)
	}
	if !same || user == nil {
		return nil, ErrAuthFailed
	}
	s.verified.add(verified)
	return user, nil
}

// SetLimits gives a user these own limits. Errors: ErrNoSuchUser, quota.ErrInvalidLimit.
func (s *Store) SetLimits(ctx context.Context, user mailkey.UserID, l quota.Limits) error {
	_, err := s.ChangeLimits(ctx, user, func(quota.Limits) quota.Limits { return l })
	return err
}

// ChangeLimits replaces a user's own limits by the result of change, and returns the account after
// it. change runs again if the limits change meanwhile. Errors as for SetLimits.
func (s *Store) ChangeLimits(ctx context.Context, user mailkey.UserID,
	change func(quota.Limits) quota.Limits) (quota.Account, error) {
	account, err := s.quota.SetLimits(ctx, user, change)
	return account, userError(err)
}

// Quota returns the limits in force for a user, and the usage. The error is ErrNoSuchUser.
func (s *Store) Quota(ctx context.Context, user mailkey.UserID) (quota.Limits, quota.Usage, error) {
	ctx, end := s.link(ctx)
	defer end()
	account, err := s.quota.Get(ctx, user)
	return account.Limits, account.Usage, userError(err)
}

// userError translates package quota's error for a missing user.
func userError(err error) error {
	if errors.Is(err, quota.ErrNoSuchUser) {
		return ErrNoSuchUser
	}
	return err
}

// userCounters are what touchUser returns: the values after the increments.
type userCounters struct {
	Mailboxes   int64 `bson:"mboxes"`
	UIDValidity int64 `bson:"uidv"`
	Tree        int64 `bson:"tree"`
}

// touchUser increments counters of the user's document within a transaction. So the transaction
// conflicts with every other one that does, and with DeleteUser. The error is ErrNoSuchUser.
func (s *Store) touchUser(ctx context.Context, user mailkey.UserID, inc bson.D) (userCounters, error) {
	var c userCounters
	err := s.users.FindOneAndUpdate(ctx, append(byID(user.Binary()), notSet(userDeleting)),
		bson.D{{Key: "$inc", Value: inc}},
		options.FindOneAndUpdate().SetReturnDocument(options.After).SetProjection(bson.D{
			{Key: userMailboxes, Value: 1}, {Key: userUIDValidity, Value: 1}, {Key: userTree, Value: 1}})).Decode(&c)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return c, ErrNoSuchUser
	}
	if err != nil {
		return c, fmt.Errorf("update user: %w", err)
	}
	return c, nil
}

// countUpTo counts matching documents, but not beyond limit.
func (s *Store) countUpTo(ctx context.Context, coll *mongo.Collection, filter bson.D, limit int64) (int64, error) {
	ctx, end := s.link(ctx)
	defer end()
	cursor, err := coll.Find(ctx, filter, options.Find().SetLimit(limit).SetProjection(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		return 0, fmt.Errorf("count %s: %w", coll.Name(), err)
	}
	defer cursor.Close(context.WithoutCancel(ctx))
	var n int64
	for cursor.Next(ctx) {
		n++
	}
	if err := cursor.Err(); err != nil {
		return 0, fmt.Errorf("count %s: %w", coll.Name(), err)
	}
	return n, nil
}

// now returns the present time in the resolution of stored times.
func now() time.Time { return time.Now().UTC().Truncate(time.Second) }
