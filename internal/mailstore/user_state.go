package mailstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/internal/mailkey"
)

// UserState says what a user can do. It is stored as it is.
type UserState string

const (
	// UserActive is the state of a user who can log in and gets mail.
	UserActive UserState = ""
	// UserSuspended is the state of a user who cannot log in. Mail is kept, and comes in.
	UserSuspended UserState = "suspended"
	// UserDeleted is the state of a user who is gone for everybody, and can still be brought back
	// until User.DeleteAfter. The addresses stay taken.
	UserDeleted UserState = "deleted"
)

// String returns the state's name.
func (s UserState) String() string {
	if s == UserActive {
		return "active"
	}
	return string(s)
}

// Suspend keeps a user from logging in, until Resume, and ends the user's sessions. The error is
// ErrNoSuchUser, also for a user in state UserDeleted.
func (s *Store) Suspend(ctx context.Context, user mailkey.UserID) error {
	return s.shutOut(ctx, LoggedOut{User: user}, func(ctx context.Context) error {
		return s.setState(ctx, user, UserDeleted,
			bson.D{{Key: "$set", Value: bson.D{{Key: userState, Value: UserSuspended}}}})
	})
}

// Resume undoes Suspend. The error is ErrNoSuchUser.
func (s *Store) Resume(ctx context.Context, user mailkey.UserID) error {
	return s.setState(ctx, user, UserDeleted, bson.D{{Key: "$unset", Value: bson.D{{Key: userState, Value: ""}}}})
}

// setState changes the state of a user who is in any other state than not.
func (s *Store) setState(ctx context.Context, user mailkey.UserID, not UserState, update bson.D) error {
	res, err := s.users.UpdateOne(ctx, append(byID(user.Binary()), notSet(userDeleting),
		bson.E{Key: userState, Value: bson.D{{Key: "$ne", Value: not}}}), update)
	if err != nil {
		return fmt.Errorf("change state of user: %w", err)
	}
	if res.MatchedCount == 0 {
		return ErrNoSuchUser
	}
	return nil
}

// DeleteUserAfter puts a user into state UserDeleted. DeleteDue removes the user after that time;
// until then Undelete brings the user back. The error is ErrNoSuchUser.
func (s *Store) DeleteUserAfter(ctx context.Context, user mailkey.UserID, after time.Time) error {
	return s.shutOut(ctx, LoggedOut{User: user}, func(ctx context.Context) error {
		err := s.updateUser(ctx, user, bson.D{{Key: "$set", Value: bson.D{
			{Key: userState, Value: UserDeleted}, {Key: userDeleteAfter, Value: after.UTC()}}}})
		if err == nil {
			s.publishList(ctx, user, 0)
		}
		return err
	})
}

// Undelete brings back a user in state UserDeleted, who is active then. Errors: ErrNotDeleted for a
// user in another state, ErrNoSuchUser for one who is gone for good.
func (s *Store) Undelete(ctx context.Context, user mailkey.UserID) error {
	res, err := s.users.UpdateOne(ctx,
		append(byID(user.Binary()), notSet(userDeleting), bson.E{Key: userState, Value: UserDeleted}),
		bson.D{{Key: "$unset", Value: bson.D{{Key: userState, Value: ""}, {Key: userDeleteAfter, Value: ""}}}})
	if err != nil {
		return fmt.Errorf("undelete user: %w", err)
	}
	if res.MatchedCount == 0 {
		if _, err := s.UserByID(ctx, user); err != nil {
			return err
		}
		return ErrNotDeleted
	}
	return nil
}

// DeleteDue removes, with all mail, the users in state UserDeleted whose time is over, and returns
// how many. It goes on after a user who could not be removed.
func (s *Store) DeleteDue(ctx context.Context) (deleted int, err error) {
	due := bson.D{{Key: userState, Value: UserDeleted},
		{Key: userDeleteAfter, Value: bson.D{{Key: "$lt", Value: now()}}}, notSet(userDeleting)}
	cursor, err := s.users.Find(ctx, due, options.Find().SetHint(indexDeleteAfter).SetLimit(MaxPage).
		SetProjection(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		return 0, fmt.Errorf("find users to delete: %w", err)
	}
	var docs []userDoc
	if err := cursor.All(ctx, &docs); err != nil {
		return 0, fmt.Errorf("find users to delete: %w", err)
	}
	var failed error
	for _, doc := range docs {
		id, err := userIDFrom(doc.ID)
		if err == nil {
			// The user may have been brought back meanwhile.
			err = s.deleteUser(ctx, append(byID(id.Binary()), due...), id)
		}
		switch {
		case err == nil:
			deleted++
		case ctx.Err() != nil:
			return deleted, ctx.Err()
		case !errors.Is(err, ErrNoSuchUser):
			failed = errors.Join(failed, err)
		}
	}
	return deleted, failed
}
