package mailstore

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/mailkey"
)

// SetPassword gives the user another password. Application passwords stay. Errors:
// ErrWeakPassword, ErrNoSuchUser.
func (s *Store) SetPassword(ctx context.Context, user mailkey.UserID, password string) error {
	hash, err := s.hash(ctx, password)
	if err != nil {
		return err
	}
	verifier, err := s.newScram(ctx, hash, password)
	if err != nil {
		return err
	}
	return s.setHash(ctx, user, hash, verifier)
}

// SetHashedPassword gives the user a password of which another system made the hash (package
// passhash). Errors: ErrWeakPassword if the hash cannot be used, ErrNoSuchUser.
func (s *Store) SetHashedPassword(ctx context.Context, user mailkey.UserID, hash string) error {
	if _, err := parsePassword(hash); err != nil {
		return err
	}
	return s.setHash(ctx, user, hash, nil)
}

func (s *Store) setHash(ctx context.Context, user mailkey.UserID, hash string, verifier *scramDoc) error {
	set, unset := passwordUpdate(hash, verifier)
	update := bson.D{{Key: "$set", Value: set}}
	if len(unset) > 0 {
		update = append(update, bson.E{Key: "$unset", Value: unset})
	}
	return s.shutOut(ctx, LoggedOut{User: user}, func(ctx context.Context) error {
		return s.updateUser(ctx, user, update)
	})
}

// updateUser changes the document of a user who is not being deleted. The error is ErrNoSuchUser.
func (s *Store) updateUser(ctx context.Context, user mailkey.UserID, update bson.D) error {
	res, err := s.users.UpdateOne(ctx, append(byID(user.Binary()), notSet(userDeleting)), update)
	if err != nil {
		return fmt.Errorf("update user: %w", err)
	}
	if res.MatchedCount == 0 {
		return ErrNoSuchUser
	}
	return nil
}

// A Proof says who a client is, and by what it has shown that.
type Proof struct {
	*User
	By string // ByPassword, ByAppPassword, or what else a protocol takes; for the authentication log
	// Credential is that of an application password; empty for the user's own.
	Credential Credential
}

// A Credential names a credential that can be revoked for itself: an application password, or a token
// of the HTTP API.
type Credential string

// LoggedOut says which sessions are to end: those of the user, and those in which the user acts for
// others; with a Credential only those that were opened with it. The User is the zero value if only the
// credential matters, whose ever it is. With Everybody it is all sessions.
type LoggedOut struct {
	User       mailkey.UserID
	Credential Credential
	Everybody  bool
}

// ByPassword is the By of a user's own password. That of an application password is ByAppPassword, a
// space, and the password's name.
const (
	ByPassword    = "password"
	ByAppPassword = "app password"
)

// Authenticate returns the user with this name and password, who may be used for scope. Errors are
// *AuthError: ErrAuthFailed if there is none; ErrSuspended, only if the password is right. It takes the
// same time whether or not the name exists. A password that was right a moment ago costs no computation
// (Options.RememberPasswords); a wrong one always does.
//
// The password may be the user's own, which is for everything, or an application password of that
// scope (AddAppPassword).
func (s *Store) Authenticate(ctx context.Context, username, password string, scope Scope) (*Proof, error) {
	if len(password) > MaxPasswordLength {
		return nil, &AuthError{Err: ErrAuthFailed, Result: LoginWrongPassword}
	}
	name, err := NormalizeAddress(username)
	if err != nil {
		// The query runs all the same, because it takes time as well.
		name = ""
	}
	doc, err := s.findUserByLogin(ctx, name)
	if errors.Is(err, ErrNoSuchUser) {
		doc, err = nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("authenticate: %w", err)
	}
	if doc == nil {
		if _, err := s.verify(ctx, noHash, password); err != nil {
			return nil, fmt.Errorf("authenticate: %w", err)
		}
		return nil, &AuthError{Err: ErrAuthFailed, Result: LoginNoSuchUser}
	}
	proof, err := s.authenticate(ctx, doc, password, scope)
	var refused *AuthError
	if err != nil && !errors.As(err, &refused) {
		return nil, fmt.Errorf("authenticate: %w", err)
	}
	return proof, err
}

// AuthenticateApp is Authenticate for application passwords only. It returns nil for a password that
// is none of the user's.
func (s *Store) AuthenticateApp(ctx context.Context, username, password string, scope Scope) (*Proof, error) {
	if _, ok := hashAppPassword(password); !ok {
		return nil, nil
	}
	name, err := NormalizeAddress(username)
	if err != nil {
		return nil, nil
	}
	doc, err := s.findUserByLogin(ctx, name)
	if errors.Is(err, ErrNoSuchUser) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("authenticate: %w", err)
	}
	user, err := s.userFrom(doc)
	if err != nil {
		return nil, err
	}
	return s.appProof(ctx, doc, user, password, scope)
}

// appProof returns what an application password proves; nil if the password is none of the user's.
func (s *Store) appProof(
	ctx context.Context, doc *userDoc, user *User, password string, scope Scope,
) (*Proof, error) {
	app := doc.appPassword(password)
	if app == nil {
		return nil, nil
	}
	by := ByAppPassword + " " + app.Name
	if !app.Scopes.has(scope) {
		return nil, &AuthError{Err: ErrAuthFailed, User: user.ID, By: by, Result: LoginWrongScope}
	}
	if err := user.MayLogIn(by); err != nil {
		return nil, err
	}
	s.noteUse(ctx, user.ID, doc, app)
	return &Proof{User: user, By: by, Credential: app.credential()}, nil
}

// UserWhoLogsIn returns the user with this name, who has proved who he is by other means than a
// password of the store. Errors: ErrAuthFailed if there is none, ErrSuspended.
func (s *Store) UserWhoLogsIn(ctx context.Context, username string) (*User, error) {
	var doc *userDoc
	name, err := NormalizeAddress(username)
	if err == nil {
		doc, err = s.findUserByLogin(ctx, name)
	}
	switch {
	case errors.Is(err, ErrNoSuchUser) || errors.Is(err, ErrInvalidAddress):
		return nil, &AuthError{Err: ErrAuthFailed, Result: LoginNoSuchUser}
	case err != nil:
		return nil, err
	}
	user, err := s.userFrom(doc)
	if err != nil {
		return nil, err
	}
	return user, user.MayLogIn("")
}

// authenticate returns the user of the document if the password is right.
func (s *Store) authenticate(ctx context.Context, doc *userDoc, password string, scope Scope) (*Proof, error) {
	user, err := s.userFrom(doc)
	if err != nil {
		return nil, err
	}
	if proof, err := s.appProof(ctx, doc, user, password, scope); proof != nil || err != nil {
		return proof, err
	}
	proof := &Proof{User: user, By: ByPassword}
	hash, err := parsePassword(doc.Hash)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doc.Name, err)
	}
	// With the stored hash in it, an entry is worth nothing once a user's password was changed.
	verified := s.verified.KeyOf(string(user.ID[:]), doc.Hash, preparePassword(password))
	if _, ok := s.verified.Get(verified); !ok {
		same, err := s.verify(ctx, hash, password)
		if err != nil {
			return nil, err
		}
		if !same {
			return nil, &AuthError{Err: ErrAuthFailed, User: user.ID, Result: LoginWrongPassword}
		}
		s.verified.Add(verified, struct{}{})
		if hash.foreign != nil {
			s.hashAnew(ctx, user, doc, password)
		}
		s.followScram(ctx, user, doc, password)
	}
	if err := user.MayLogIn(proof.By); err != nil {
		return nil, err
	}
	return proof, nil
}

// MayLogIn returns an *AuthError for a user in a state in which nobody logs in. by is what the client
// has shown, as in a Proof.
func (u *User) MayLogIn(by string) error {
	switch u.State {
	case UserDeleted:
		return &AuthError{Err: ErrAuthFailed, User: u.ID, By: by, Result: LoginNoSuchUser}
	case UserSuspended:
		return &AuthError{Err: ErrSuspended, User: u.ID, By: by, Result: LoginSuspended}
	}
	return nil
}

// hashAnew puts an argon2id hash in the place of one that another system made, once the password
// is known. A failure does not concern the login: the next one tries again.
func (s *Store) hashAnew(ctx context.Context, user *User, doc *userDoc, password string) {
	hash, err := s.computeHash(ctx, password)
	if err == nil {
		_, err = s.users.UpdateOne(ctx,
			append(byID(user.ID.Binary()), bson.E{Key: userHash, Value: doc.Hash}, notSet(userDeleting)),
			bson.D{{Key: "$set", Value: bson.D{{Key: userHash, Value: hash}}}})
	}
	if err != nil {
		s.log.Warn("the hash of a password stays as another system made it", "user", user.Username, "error", err)
		return
	}
	doc.Hash = hash
}
