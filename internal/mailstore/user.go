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

	"gadwall/internal/database"
	"gadwall/internal/mailkey"
	"gadwall/quota"
)

// User is an account.
type User struct {
	ID       mailkey.UserID
	Username string // normalised address
	quota.Account
	Created     time.Time
	DisplayName string // for people; may be empty
	Metadata    string // JSON that applications keep with the user; may be empty
	State       UserState
	Groups      []string // normalised, ascending
	// Sending are the own limits of what the user sends within an hour: numbers, quota.Default or
	// quota.Unlimited.
	Sending Sending
	// DeleteAfter is when a user in state UserDeleted goes for good.
	DeleteAfter time.Time
}

// NewUser describes a new account.
type NewUser struct {
	Username string // mail address
	Password string
	// HashedPassword takes the place of Password: a hash that another system made (package
	// passhash).
	HashedPassword string
	// NoPassword makes a user without a password: another program knows it.
	NoPassword  bool
	Quota       quota.Limits // own limits
	DisplayName string
	Metadata    string // JSON
}

type userDoc struct {
	ID      bson.Binary `bson:"_id"`
	Name    string      `bson:"name"`
	Hash    string      `bson:"hash"`
	Created time.Time   `bson:"created"`
	Quota   quota.State `bson:"quota"`

	DisplayName string               `bson:"disp"`
	Metadata    string               `bson:"meta"`
	State       UserState            `bson:"state"`
	DeleteAfter time.Time            `bson:"until"`
	Scram       *scramDoc            `bson:"scram"`
	Apps        []appPasswordDoc     `bson:"apps"`
	AppsUsed    map[string]time.Time `bson:"used"`
	Groups      []string             `bson:"groups"`
	Sending     sendingDoc           `bson:"send"`
}

func (s *Store) userFrom(d *userDoc) (*User, error) {
	id, err := userIDFrom(d.ID)
	if err != nil {
		return nil, err
	}
	u := &User{ID: id, Username: d.Name, Account: s.quota.Account(d.Name, d.Quota), Created: d.Created.UTC(),
		DisplayName: d.DisplayName, Metadata: d.Metadata, State: d.State, Groups: d.Groups,
		Sending: d.Sending.sending()}
	if !d.DeleteAfter.IsZero() {
		u.DeleteAfter = d.DeleteAfter.UTC()
	}
	return u, nil
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
	switch {
	case n.NoPassword:
		n.HashedPassword = newHash().String() // nobody knows a password for it
	case n.HashedPassword == "":
		err = checkPassword(n.Password)
	default:
		_, err = parsePassword(n.HashedPassword)
	}
	if err != nil {
		return nil, err
	}
	if err := checkProfile(n.DisplayName, n.Metadata); err != nil {
		return nil, err
	}
	// A look before the expensive hash; the unique key of addresses decides.
	if n, err := s.countUpTo(ctx, s.addresses, bson.D{{Key: "_id", Value: name}}, 1); err != nil {
		return nil, err
	} else if n > 0 {
		return nil, fmt.Errorf("%w: %s", ErrUserExists, name)
	}
	hash := n.HashedPassword
	var verifier *scramDoc
	if hash == "" {
		if hash, err = s.hash(ctx, n.Password); err != nil {
			return nil, err
		}
		if verifier, err = s.newScram(ctx, hash, n.Password); err != nil {
			return nil, err
		}
	}
	n.Username = name
	return s.createUser(ctx, n, hash, verifier)
}

// createUser makes an account from the values that CreateUser has checked.
func (s *Store) createUser(ctx context.Context, n NewUser, hash string, verifier *scramDoc) (*User, error) {
	name, state := n.Username, quota.NewState(n.Quota)
	user := &User{ID: mailkey.NewUserID(), Username: name, Account: s.quota.Account(name, state), Created: now(),
		DisplayName: n.DisplayName, Metadata: n.Metadata}
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
		{Key: userDomain, Value: domainOf(name)},
		{Key: userHash, Value: hash},
		{Key: userCreated, Value: user.Created},
		{Key: userMailboxes, Value: int64(len(boxes))},
		{Key: userUIDValidity, Value: int64(validity) + int64(len(boxes)-1)},
		{Key: userTree, Value: int64(0)},
		{Key: quota.Field, Value: state},
	}
	if verifier != nil {
		doc = append(doc, bson.E{Key: userScram, Value: verifier})
	}
	if n.DisplayName != "" {
		doc = append(doc, bson.E{Key: userDisplayName, Value: n.DisplayName})
	}
	if n.Metadata != "" {
		doc = append(doc, bson.E{Key: userMetadata, Value: n.Metadata})
	}
	ctx = database.Causal(ctx)
	defer s.noteAddresses(ctx)
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

// UserByName returns the user with this name, which an alias is not. The error is ErrNoSuchUser,
// also for names that cannot exist.
func (s *Store) UserByName(ctx context.Context, username string) (*User, error) {
	name, err := NormalizeAddress(username)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoSuchUser, err)
	}
	doc, err := s.findUserByName(ctx, name)
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
	opts := options.FindOne()
	if filter[0].Key == "_id" {
		opts.SetHint(byKey)
	}
	var doc userDoc
	err := s.users.FindOne(ctx, append(filter, notSet(userDeleting)), opts).Decode(&doc)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, ErrNoSuchUser
	}
	if err != nil {
		return nil, fmt.Errorf("find user: %w", err)
	}
	return &doc, nil
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
	Notes       int64 `bson:"notes"`
	Annotations int64 `bson:"ann"`
}

// touchUser increments counters of the user's document within a transaction. So the transaction
// conflicts with every other one that does, and with DeleteUser. The error is ErrNoSuchUser.
func (s *Store) touchUser(ctx context.Context, user mailkey.UserID, inc bson.D) (userCounters, error) {
	var c userCounters
	err := s.users.FindOneAndUpdate(ctx, append(byID(user.Binary()), notSet(userDeleting)),
		bson.D{{Key: "$inc", Value: inc}},
		options.FindOneAndUpdate().SetReturnDocument(options.After).SetProjection(bson.D{
			{Key: userMailboxes, Value: 1}, {Key: userUIDValidity, Value: 1}, {Key: userTree, Value: 1},
			{Key: userNotes, Value: 1}, {Key: userAnnotations, Value: 1}})).Decode(&c)
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
