package httpapi

import (
	"errors"
	"net/http"

	"gadwall/internal/logins"
	"gadwall/internal/mailstore"
	"gadwall/internal/sasl"
)

// mayMakeAppPasswords is mayMakePasswords for application passwords. An operator's token that ends makes
// none: the password would outlast it, beside that of the user, who notices nothing.
func (s *Server) mayMakeAppPasswords(r *http.Request, user *mailstore.User, current string) error {
	if t := tokenOf(r.Context()); t != nil && !t.Of(t.User) && !t.Expires.IsZero() {
		return refuse(http.StatusForbidden, "InsufficientScope",
			"a token that ends makes no application passwords, which last longer than itself")
	}
	return s.mayMakePasswords(r, user, current)
}

// mayMakePasswords reports whether the caller may give a user passwords, which do not end and open the
// mail. A user's token that ends, or is not for mail, would make more of itself: it may only with the
// user's password, which is then current. To set a user's password is the work of an operator's token,
// whether or not it ends.
func (s *Server) mayMakePasswords(r *http.Request, user *mailstore.User, current string) error {
	t := tokenOf(r.Context())
	if t == nil || !t.Of(t.User) || t.Expires.IsZero() && t.Grants("mail") {
		return nil
	}
	if current == "" || s.opts.Authenticator == nil {
		return refuse(http.StatusForbidden, "PasswordRequired",
			"a token that ends, or is not for mail, makes passwords only with currentPassword")
	}
	who, err := s.opts.Authenticator.Password(r.Context(), s.client(r), "currentPassword", user.Username, current)
	switch {
	case err == nil && who.UserID() == user.ID && who.Login().By == mailstore.ByPassword:
		return nil
	case err == nil, errors.Is(err, mailstore.ErrAuthFailed):
		return refuse(http.StatusForbidden, "PasswordRequired", "currentPassword is not the user's password")
	case errors.Is(err, sasl.ErrNotOffered):
		return errPrivacy
	case errors.Is(err, logins.ErrTooMany):
		return refuse(http.StatusTooManyRequests, "TooManyLogins", tooManyLogins)
	}
	return err
}

// bound keeps a new token within what its maker may do, and as long as that. A token whose time is not
// given ends with its maker.
func bound(maker *mailstore.Token, t *mailstore.Token) error {
	if maker == nil {
		return nil
	}
	for _, scope := range t.Scopes {
		if !maker.Grants(scope) {
			return refuse(http.StatusForbidden, "InsufficientScope",
				"a token makes no token that may do more than itself")
		}
	}
	switch {
	case maker.Expires.IsZero():
	case t.Expires.IsZero():
		t.Expires = maker.Expires
	case t.Expires.After(maker.Expires):
		return refuse(http.StatusForbidden, "InsufficientScope",
			"a token makes no token that lasts longer than itself")
	}
	return nil
}
