package mailstore

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/database"
	"gadwall/internal/mailkey"
	"gadwall/quota"
)

// UserChange is what ChangeProfile changes; nil fields stay.
type UserChange struct {
	DisplayName *string // empty takes it away
	Metadata    *string // JSON; empty takes it away
	// SentMessages and SentRecipients are own limits of sending, as User.Sending has them.
	SentMessages, SentRecipients *int64
	// Password and HashedPassword are as SetPassword and SetHashedPassword have them; one at most.
	Password, HashedPassword *string
}

// checkProfile returns ErrInvalidProfile if the values cannot be stored.
func checkProfile(displayName, metadata string) error {
	switch {
	case len(displayName) > MaxDisplayName:
		return invalid(ErrInvalidProfile, "the display name has %d octets, %d are possible",
			len(displayName), MaxDisplayName)
	case !utf8.ValidString(displayName) || strings.ContainsFunc(displayName, unicode.IsControl):
		return invalid(ErrInvalidProfile, "the display name is not plain text")
	case len(metadata) > MaxMetadata:
		return invalid(ErrInvalidProfile, "the metadata have %d octets, %d are possible", len(metadata), MaxMetadata)
	case metadata != "" && !json.Valid([]byte(metadata)):
		return invalid(ErrInvalidProfile, "the metadata are not JSON")
	}
	return nil
}

// ChangeProfile changes what a user's document has for people and applications, and the password:
// all of it or nothing. Errors: ErrInvalidProfile, quota.ErrInvalidLimit, ErrWeakPassword,
// ErrNoSuchUser.
func (s *Store) ChangeProfile(ctx context.Context, user mailkey.UserID, c UserChange) error {
	var set, unset bson.D
	change := func(field string, value *string) string {
		switch {
		case value == nil:
			return ""
		case *value == "":
			unset = append(unset, bson.E{Key: field, Value: ""})
		default:
			set = append(set, bson.E{Key: field, Value: *value})
		}
		return *value
	}
	if err := checkProfile(change(userDisplayName, c.DisplayName), change(userMetadata, c.Metadata)); err != nil {
		return err
	}
	for field, limit := range map[string]*int64{
		sendingMessages: c.SentMessages, sendingRecipients: c.SentRecipients,
	} {
		switch {
		case limit == nil:
		case *limit < quota.Unlimited || *limit > quota.MaxLimit:
			return quota.ErrInvalidLimit
		case *limit == quota.Default:
			unset = append(unset, bson.E{Key: userSending + "." + field, Value: ""})
		default:
			set = append(set, bson.E{Key: userSending + "." + field, Value: *limit})
		}
	}
	hash, verifier, err := s.hashOf(ctx, c)
	if err != nil {
		return err
	}
	if hash != "" {
		setPassword, unsetPassword := passwordUpdate(hash, verifier)
		set, unset = append(set, setPassword...), append(unset, unsetPassword...)
	}
	var update bson.D
	if len(set) > 0 {
		update = append(update, bson.E{Key: "$set", Value: set})
	}
	if len(unset) > 0 {
		update = append(update, bson.E{Key: "$unset", Value: unset})
	}
	if len(update) == 0 {
		_, err := s.UserByID(ctx, user)
		return err
	}
	if hash == "" {
		return s.updateUser(ctx, user, update)
	}
	return s.shutOut(ctx, LoggedOut{User: user}, func(ctx context.Context) error {
		return s.updateUser(ctx, user, update)
	})
}

// hashOf returns the hash of the new password, "" if there is none, and its verifier if it has one.
func (s *Store) hashOf(ctx context.Context, c UserChange) (hash string, verifier *scramDoc, err error) {
	switch {
	case c.HashedPassword != nil:
		_, err := parsePassword(*c.HashedPassword)
		return *c.HashedPassword, nil, err
	case c.Password != nil:
		if hash, err = s.hash(ctx, *c.Password); err == nil {
			verifier, err = s.newScram(ctx, hash, *c.Password)
		}
	}
	return hash, verifier, err
}

// RenameUser gives a user another name, which is an address that nobody has, or an alias of the
// user. With keepAlias the old name stays as an alias, else it is free at once. Errors:
// ErrInvalidAddress, ErrUserExists, ErrNoSuchUser, ErrTooMany.
func (s *Store) RenameUser(ctx context.Context, user mailkey.UserID, name string, keepAlias bool) error {
	name, err := NormalizeAddress(name)
	if err != nil {
		return err
	}
	ctx = database.Causal(ctx)
	defer s.noteAddresses(ctx)
	err = s.transactFor(ctx, user, func(ctx context.Context) error {
		// All changes of the user's addresses write this field, so that they conflict.
		if _, err := s.touchUser(ctx, user, bson.D{{Key: userTree, Value: int64(1)}}); err != nil {
			return err
		}
		doc, err := s.findUser(ctx, byID(user.Binary()))
		if err != nil || doc.Name == name {
			return err
		}
		own := bson.E{Key: addressUser, Value: user.Binary()}
		if keepAlias {
			if err := s.roomForAlias(ctx, user); err != nil {
				return err
			}
			_, err = s.addresses.UpdateOne(ctx, bson.D{{Key: "_id", Value: doc.Name}, own},
				bson.D{{Key: "$set", Value: bson.D{{Key: addressAlias, Value: true}}}})
		} else {
			_, err = s.addresses.DeleteOne(ctx, bson.D{{Key: "_id", Value: doc.Name}, own})
		}
		if err != nil {
			return err
		}
		res, err := s.addresses.UpdateOne(ctx, bson.D{{Key: "_id", Value: name}, own},
			bson.D{{Key: "$unset", Value: bson.D{{Key: addressAlias, Value: ""}}}})
		if err != nil {
			return err
		}
		if res.MatchedCount == 0 { // no alias of the user: it must be nobody's
			if _, err := s.addresses.InsertOne(ctx, bson.D{{Key: "_id", Value: name}, own}); err != nil {
				return err
			}
		}
		return s.updateUser(ctx, user, bson.D{{Key: "$set", Value: bson.D{
			{Key: userName, Value: name}, {Key: userDomain, Value: domainOf(name)}}}})
	})
	if mongo.IsDuplicateKeyError(err) {
		return fmt.Errorf("%w: %s", ErrUserExists, name)
	}
	if err != nil {
		return fmt.Errorf("rename user: %w", err)
	}
	return nil
}

// domainOf returns the domain of a normalised address.
func domainOf(address string) string { return address[strings.LastIndexByte(address, '@')+1:] }

// UserQuery says which users UserPage returns.
type UserQuery struct {
	Prefix string // of the names; empty for all
	Domain string // of the names; empty for all
	After  string // the name after which the page begins
	Limit  int    // at most MaxPage; 0 for MaxPage
}

// UserPage returns users in the order of their names. more says that others follow after the last
// one.
func (s *Store) UserPage(ctx context.Context, q UserQuery) (users []*User, more bool, err error) {
	limit := q.Limit
	if limit <= 0 || limit > MaxPage {
		limit = MaxPage
	}
	filter := bson.D{}
	if q.Domain != "" {
		domain, err := NormalizeDomain(q.Domain)
		if err != nil {
			return nil, false, nil // no user has it
		}
		filter = append(filter, bson.E{Key: userDomain, Value: domain})
	}
	if strings.ContainsRune(q.Prefix, 0) || !utf8.ValidString(q.Prefix) || !utf8.ValidString(q.After) {
		return nil, false, nil // no name is so, and a pattern cannot have NUL
	}
	bounds := bson.D{{Key: "$gt", Value: q.After}}
	if q.Prefix != "" {
		prefix := strings.ToLower(q.Prefix)
		// A pattern that is anchored is a range of the index.
		bounds = append(bounds, bson.E{Key: "$regex", Value: "^" + regexp.QuoteMeta(prefix)})
	}
	filter = append(filter, bson.E{Key: userName, Value: bounds}, notSet(userDeleting))
	opts := options.Find().SetSort(bson.D{{Key: userName, Value: 1}}).SetLimit(int64(limit + 1))
	if q.Domain != "" { // a server may walk along the names of all domains
		opts.SetHint(indexDomain)
	}
	cursor, err := s.users.Find(ctx, filter, opts)
	if err != nil {
		return nil, false, fmt.Errorf("list users: %w", err)
	}
	var docs []*userDoc
	if err := cursor.All(ctx, &docs); err != nil {
		return nil, false, fmt.Errorf("list users: %w", err)
	}
	if more = len(docs) > limit; more {
		docs = docs[:limit]
	}
	users = make([]*User, len(docs))
	for i, doc := range docs {
		if users[i], err = s.userFrom(doc); err != nil {
			return nil, false, err
		}
	}
	return users, more, nil
}
