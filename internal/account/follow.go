package account

import (
	"context"
	"errors"
	"fmt"

	"gadwall/internal/mailstore"
	"gadwall/quota"
)

// Profile is what another program, which knows the users, says of one of them.
type Profile struct {
	Username string
	// Others are nil where the program says nothing of them.
	DisplayName *string
	Limits      *quota.Limits // own limits
	Suspended   *bool
}

// ErrProfile reports a profile of which the store can make no user.
var ErrProfile = errors.New("profile of a user cannot be stored")

// Follow makes a user as a profile says, and returns the user. create lets it make one who does not
// exist, without a password. Errors: mailstore.ErrAuthFailed if there is no such user,
// mailstore.ErrSuspended. An error that matches ErrProfile means that the store cannot follow.
func (s *Accounts) Follow(ctx context.Context, p Profile, create bool) (*mailstore.User, error) {
	user, err := s.store.UserByLogin(ctx, p.Username)
	if errors.Is(err, mailstore.ErrNoSuchUser) && create {
		n := mailstore.NewUser{Username: s.store.LoginName(p.Username), NoPassword: true}
		if p.DisplayName != nil {
			n.DisplayName = *p.DisplayName
		}
		if p.Limits != nil {
			n.Quota = *p.Limits
		}
		user, err = s.store.CreateUser(ctx, n)
		if err == nil {
			s.log.Info("account: user made at the first login", "user", user.Username)
		} else if errors.Is(err, mailstore.ErrUserExists) { // by another login, or as an alias
			user, err = s.store.UserByLogin(ctx, p.Username)
		}
	}
	if err == nil && user.State != mailstore.UserDeleted {
		err = s.followProfile(ctx, user, p)
	}
	switch {
	case err == nil || errors.Is(err, mailstore.ErrNoSuchUser) && !errors.Is(err, mailstore.ErrInvalidAddress):
	case errors.Is(err, mailstore.ErrInvalidAddress), errors.Is(err, mailstore.ErrInvalidProfile),
		errors.Is(err, quota.ErrInvalidLimit):
		return nil, fmt.Errorf("%w: %w", ErrProfile, err)
	default:
		return nil, err
	}
	return s.store.UserWhoLogsIn(ctx, p.Username)
}

// followProfile writes what differs.
func (s *Accounts) followProfile(ctx context.Context, user *mailstore.User, p Profile) error {
	if p.DisplayName != nil && *p.DisplayName != user.DisplayName {
		if err := s.store.ChangeProfile(ctx, user.ID, mailstore.UserChange{DisplayName: p.DisplayName}); err != nil {
			return err
		}
	}
	if p.Limits != nil && *p.Limits != user.Own {
		if err := s.store.SetLimits(ctx, user.ID, *p.Limits); err != nil {
			return err
		}
	}
	if p.Suspended != nil && *p.Suspended != (user.State == mailstore.UserSuspended) {
		if *p.Suspended {
			return s.store.Suspend(ctx, user.ID)
		}
		return s.store.Resume(ctx, user.ID)
	}
	return nil
}
