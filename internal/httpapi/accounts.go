package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"gadwall/internal/config"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/quota"
)

// User is what the API tells of a user.
type User struct {
	ID          string          `json:"id"`
	Username    string          `json:"username" doc:"A mail address."`
	Name        string          `json:"name,omitempty" doc:"For people."`
	State       string          `json:"state" enum:"active,suspended,deleted"`
	Created     time.Time       `json:"created"`
	DeleteAfter time.Time       `json:"deleteAfter,omitzero" doc:"When a deleted user goes for good."`
	Quota       Quota           `json:"quota"`
	Limits      SendingLimits   `json:"limits"`
	Groups      []string        `json:"groups,omitempty" doc:"In which the user is, for mailboxes that are shared with groups."`
	Metadata    json.RawMessage `json:"metadata,omitempty"`
}

// SendingLimits are a user's own limits of what is sent within an hour.
type SendingLimits struct {
	Messages   *int64 `json:"sentMessages" doc:"-1 is no limit, null that of the deployment."`
	Recipients *int64 `json:"sentRecipients" doc:"-1 is no limit, null that of the deployment."`
}

// Quota is limits and usage.
type Quota struct {
	Storage  Amount `json:"storage" doc:"In octets."`
	Messages Amount `json:"messages"`
}

// Amount is a usage and its limit.
type Amount struct {
	Used  int64  `json:"used"`
	Limit *int64 `json:"limit" doc:"The limit in force; null is none."`
}

func shownUser(u *mailstore.User) User {
	shown := User{ID: u.ID.String(), Username: u.Username, Name: u.DisplayName, State: u.State.String(),
		Created: u.Created, DeleteAfter: u.DeleteAfter, Groups: u.Groups, Quota: shownQuota(u.Limits, u.Usage)}
	shown.Limits = SendingLimits{ownLimit(u.Sending.Messages), ownLimit(u.Sending.Recipients)}
	if u.Metadata != "" {
		shown.Metadata = json.RawMessage(u.Metadata)
	}
	return shown
}

// ownLimit is a limit as it was set; nil for the default.
func ownLimit(n int64) *int64 {
	if n == quota.Default {
		return nil
	}
	return &n
}

// badGroup reports that no group can have the name.
func badGroup(name string) bool {
	_, err := mailstore.NormalizeGroup(name)
	return err != nil
}

func shownQuota(l quota.Limits, u quota.Usage) Quota {
	amount := func(used, limit int64) Amount {
		a := Amount{Used: used}
		if limit > 0 {
			a.Limit = &limit
		}
		return a
	}
	return Quota{amount(u.Bytes, l.Bytes), amount(u.Messages, l.Messages)}
}

// userPage is a page of users.
type userPage struct {
	Users []User `json:"users"`
	Next  string `json:"next,omitempty" doc:"There are more: for after."`
}

// userChange is what a request changes of a user; what is absent stays.
type userChange struct {
	Name           *string         `json:"name" doc:"For people; empty takes it away."`
	Password       *string         `json:"password" doc:"Not with hashedPassword."`
	Current        string          `json:"currentPassword" doc:"For another password, with a user's token that ends, or is not for mail."`
	HashedPassword *hashInput      `json:"hashedPassword"`
	Quota          *quotaChange    `json:"quota"`
	Limits         *limitsChange   `json:"limits" doc:"Of what the user sends within an hour."`
	State          *string         `json:"state" enum:"active,suspended"`
	Groups         *[]string       `json:"groups" doc:"All groups in which the user is, for mailboxes that are shared with groups."`
	Metadata       json.RawMessage `json:"metadata" doc:"At most 4 KiB; null takes them away."`
}

// limitsChange is what changes of the limits of sending.
type limitsChange struct {
	Messages   *config.MessageLimit `json:"sentMessages"`
	Recipients *config.MessageLimit `json:"sentRecipients"`
}

// quotaChange is a quotaInput that tells what it names.
type quotaChange struct {
	input             quotaInput
	storage, messages bool
}

func (quotaChange) jsonSchema() schema { return quotaInput{}.jsonSchema() }

// UnmarshalJSON implements json.Unmarshaler.
func (q *quotaChange) UnmarshalJSON(data []byte) error {
	if err := q.input.UnmarshalJSON(data); err != nil {
		return err
	}
	if data[0] != '{' {
		q.storage = true
		return nil
	}
	var named map[string]json.RawMessage
	if err := json.Unmarshal(data, &named); err != nil {
		return err
	}
	_, q.storage = named["storage"]
	_, q.messages = named["messages"]
	return nil
}

// userRoutes are the routes of users. They are for operators.
func (s *Server) userRoutes() []route {
	bad, gone, taken := http.StatusBadRequest, http.StatusNotFound, http.StatusConflict
	return []route{
		s.route(http.MethodGet, "/users", s.listUsers, operation{
			id: "listUsers", summary: "Users in the order of their names, page by page.", tag: "users",
			answer: userPage{},
			query: append(paged(mailstore.MaxPage, "The next of an answer: a user's name."),
				parameter{name: "prefix", text: "Only users whose names begin so.", schema: text()},
				parameter{name: "domain", text: "Only users of this domain.", schema: text()}),
			failures: []int{bad}}),
		s.route(http.MethodPost, "/users", s.addUser, operation{
			id: "createUser", summary: "Create a user.", tag: "users", body: newUser{}, status: http.StatusCreated,
			answer: User{}, failures: []int{bad, taken, http.StatusInsufficientStorage}}),
		s.route(http.MethodGet, "/users/{id}", s.getUser, operation{
			id: "getUser", summary: "What is known of a user, a deleted one included.", tag: "users",
			self: true, answer: User{}, failures: []int{gone}}),
		s.route(http.MethodPatch, "/users/{id}", s.changeUser, operation{
			id: "changeUser", summary: "Change a user.", self: true, tag: "users", body: userChange{}, answer: User{},
			failures: []int{bad, gone}}),
		s.route(http.MethodDelete, "/users/{id}", s.deleteUser, operation{
			id: "deleteUser", summary: "Delete a user with all mail, at once or some time later.", tag: "users",
			status: http.StatusNoContent, failures: []int{bad, gone},
			query: []parameter{{name: "grace", text: "For so long the user can be brought back, such as 720h.",
				schema: text()}}}),
		s.route(http.MethodPost, "/users/{id}/undelete", s.undeleteUser, operation{
			id: "undeleteUser", summary: "Bring back a deleted user whose time is not over.", tag: "users",
			answer: User{}, failures: []int{gone, taken}}),
		s.route(http.MethodPost, "/users/{id}/rename", s.renameUser, operation{
			id: "renameUser", summary: "Give a user another name.", tag: "users", body: newName{}, answer: User{},
			failures: []int{bad, gone, taken}}),
		s.route(http.MethodGet, "/users/{id}/quota", s.getQuota, operation{
			id: "getQuota", summary: "Limits and usage of a user.", self: true, tag: "users", answer: Quota{},
			failures: []int{gone}}),
		s.route(http.MethodGet, "/users/{id}/addresses", s.listAddresses, operation{
			id: "listAddresses", summary: "The addresses of a user, sorted.", tag: "addresses",
			self: true, answer: addressList{}, failures: []int{gone}}),
		s.route(http.MethodPost, "/users/{id}/addresses", s.addAddress, operation{
			id: "addAddress", summary: "Give a user a further address.", tag: "addresses", body: newAddress{},
			status: http.StatusCreated, answer: addressList{}, failures: []int{bad, gone, taken}}),
		s.route(http.MethodDelete, "/users/{id}/addresses/{address}", s.removeAddress, operation{
			id: "removeAddress", summary: "Take an address from a user, but not the name.", tag: "addresses",
			status: http.StatusNoContent, failures: []int{gone}}),
		s.route(http.MethodGet, "/users/{id}/app-passwords", s.listAppPasswords, operation{
			id: "listAppPasswords", summary: "The application passwords of a user.", self: true, tag: "app passwords",
			answer: appPasswordList{}, failures: []int{gone}}),
		s.route(http.MethodPost, "/users/{id}/app-passwords", s.addAppPassword, operation{
			id: "addAppPassword", summary: "Make a password for one application, which is told this once.", self: true,
			tag: "app passwords", body: newAppPassword{}, status: http.StatusCreated, answer: AppPassword{},
			failures: []int{bad, gone, taken}}),
		s.route(http.MethodDelete, "/users/{id}/app-passwords/{password}", s.revokeAppPassword, operation{
			id: "revokeAppPassword", summary: "Take an application password away.", self: true, tag: "app passwords",
			status: http.StatusNoContent, failures: []int{gone}}),
	}
}

// pageLimit returns the parameter limit of a query.
func pageLimit(r *http.Request, usual, most int) (int, error) {
	text := r.FormValue("limit")
	if text == "" {
		return usual, nil
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 || limit > most {
		return 0, badField(fmt.Sprintf("limit must be 1 to %d", most))
	}
	return limit, nil
}

func (s *Server) listUsers(_ http.ResponseWriter, r *http.Request) (any, error) {
	limit, err := pageLimit(r, defaultUsers, mailstore.MaxPage)
	if err != nil {
		return nil, err
	}
	users, more, err := s.opts.Users.UserPage(r.Context(), mailstore.UserQuery{
		Prefix: r.FormValue("prefix"), Domain: r.FormValue("domain"), After: r.FormValue("after"), Limit: limit})
	if err != nil {
		return nil, err
	}
	page := userPage{Users: make([]User, len(users))}
	for i, u := range users {
		page.Users[i] = shownUser(u)
	}
	if more {
		page.Next = users[len(users)-1].Username
	}
	return page, nil
}

func (s *Server) addUser(w http.ResponseWriter, r *http.Request) (any, error) {
	user, err := s.create(w, r)
	if err != nil {
		return nil, err
	}
	w.Header().Set("Location", "/users/"+user.ID.String())
	return shownUser(user), nil
}

// anyUser returns the user with this id or name, also one who is deleted and can be brought back.
// For the token of a user there is nobody else.
func (s *Server) anyUser(ctx context.Context, id string) (user *mailstore.User, err error) {
	if key, bad := mailkey.ParseUserID(id); bad == nil {
		user, err = s.opts.Users.UserByID(ctx, key)
	} else {
		user, err = s.opts.Users.UserByName(ctx, id)
	}
	if err != nil {
		return nil, err
	}
	if t := tokenOf(ctx); t != nil && t.Of(t.User) {
		switch {
		case !t.Of(user.ID):
			return nil, mailstore.ErrNoSuchUser
		case user.State == mailstore.UserSuspended:
			return nil, refuse(http.StatusForbidden, "Suspended", "the user is suspended")
		}
	}
	return user, nil
}

// user returns the user with this id or name. The error is mailstore.ErrNoSuchUser, also for a user
// who is deleted.
func (s *Server) user(ctx context.Context, id string) (*mailstore.User, error) {
	user, err := s.anyUser(ctx, id)
	if err == nil && user.State == mailstore.UserDeleted {
		return nil, mailstore.ErrNoSuchUser
	}
	return user, err
}

func (s *Server) getUser(_ http.ResponseWriter, r *http.Request) (any, error) {
	user, err := s.anyUser(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return shownUser(user), nil
}

// shown returns the user as it is now.
func (s *Server) shown(ctx context.Context, user mailkey.UserID) (any, error) {
	u, err := s.opts.Users.UserByID(ctx, user)
	if err != nil {
		return nil, err
	}
	return shownUser(u), nil
}

// changeUser checks all that it can before it changes anything.
func (s *Server) changeUser(w http.ResponseWriter, r *http.Request) (any, error) {
	var in userChange
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	password, hash, err := in.HashedPassword.of(in.Password)
	switch {
	case err != nil:
		return nil, err
	case in.Groups != nil && slices.ContainsFunc(*in.Groups, badGroup):
		return nil, badField("groups must be names without spaces")
	case in.State != nil && *in.State != mailstore.UserActive.String() && *in.State != mailstore.UserSuspended.String():
		return nil, badField("state must be active or suspended")
	case in.Quota != nil:
		if err := in.Quota.input.limits().Check(); err != nil {
			return nil, err
		}
	}
	ctx := r.Context()
	if t := tokenOf(ctx); t != nil && t.Of(t.User) &&
		(in.Quota != nil || in.Limits != nil || in.State != nil || hash != nil || in.Groups != nil) {
		return nil, refuse(http.StatusForbidden, "InsufficientScope",
			"users change their own name, password and metadata, and nothing else")
	}
	user, err := s.user(ctx, r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if password != nil {
		if err := s.mayMakePasswords(r, user, in.Current); err != nil {
			return nil, err
		}
	}
	change := mailstore.UserChange{DisplayName: in.Name, Password: password, HashedPassword: hash}
	if in.Limits != nil {
		change.SentMessages, change.SentRecipients = (*int64)(in.Limits.Messages), (*int64)(in.Limits.Recipients)
	}
	if in.Metadata != nil {
		metadata := metadataText(in.Metadata)
		change.Metadata = &metadata
	}
	if err := s.opts.Users.ChangeProfile(ctx, user.ID, change); err != nil {
		return nil, err
	}
	if hash != nil {
		s.warnOfHash(w, user, *hash)
	}
	if in.Groups != nil {
		if err := s.opts.Users.SetGroups(ctx, user.ID, *in.Groups); err != nil {
			return nil, err
		}
	}
	if q := in.Quota; q != nil {
		_, err := s.opts.Users.ChangeLimits(ctx, user.ID, func(l quota.Limits) quota.Limits {
			if q.storage {
				l.Bytes = int64(q.input.Storage)
			}
			if q.messages {
				l.Messages = int64(q.input.Messages)
			}
			return l
		})
		if err != nil {
			return nil, err
		}
	}
	if in.State != nil {
		set := s.opts.Users.Resume
		if *in.State == mailstore.UserSuspended.String() {
			set = s.opts.Users.Suspend
		}
		if err := set(ctx, user.ID); err != nil {
			return nil, err
		}
	}
	s.log.Info("user changed", "user", user.Username, "request", requestID(w))
	return s.shown(ctx, user.ID)
}

func (s *Server) deleteUser(w http.ResponseWriter, r *http.Request) (any, error) {
	var grace time.Duration
	if text := r.FormValue("grace"); text != "" {
		var err error
		if grace, err = time.ParseDuration(text); err != nil || grace < 0 || grace > maxGrace {
			return nil, badField(fmt.Sprintf("grace must be a duration such as 720h, at most %.0fh", maxGrace.Hours()))
		}
	}
	ctx := r.Context()
	user, err := s.anyUser(ctx, r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if grace > 0 {
		err = s.opts.Users.DeleteUserAfter(ctx, user.ID, time.Now().Add(grace))
	} else {
		err = s.deleteNow(ctx, user.ID)
	}
	if err != nil {
		return nil, err
	}
	s.log.Info("user deleted", "user", user.Username, "grace", grace, "request", requestID(w))
	return nil, nil
}

// deleteNow deletes a user, and does not wait for the end of much mail: the store goes on.
func (s *Server) deleteNow(ctx context.Context, user mailkey.UserID) error {
	waiting, cancel := context.WithTimeout(ctx, deleteWait)
	defer cancel()
	err := s.opts.Users.DeleteUser(waiting, user)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		if _, err := s.opts.Users.UserByID(ctx, user); errors.Is(err, mailstore.ErrNoSuchUser) {
			return nil
		}
	}
	return err
}

func (s *Server) undeleteUser(w http.ResponseWriter, r *http.Request) (any, error) {
	user, err := s.anyUser(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if err := s.opts.Users.Undelete(r.Context(), user.ID); err != nil {
		return nil, err
	}
	s.log.Info("user brought back", "user", user.Username, "request", requestID(w))
	return s.shown(r.Context(), user.ID)
}

// newName is a user's new name.
type newName struct {
	Username  string `json:"username" required:"true"`
	KeepAlias bool   `json:"keepAlias" doc:"The old name stays as an alias."`
}

func (s *Server) renameUser(w http.ResponseWriter, r *http.Request) (any, error) {
	var in newName
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	user, err := s.user(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if err := s.opts.Users.RenameUser(r.Context(), user.ID, in.Username, in.KeepAlias); err != nil {
		return nil, err
	}
	s.log.Info("user renamed", "user", user.Username, "to", in.Username, "request", requestID(w))
	return s.shown(r.Context(), user.ID)
}

func (s *Server) getQuota(_ http.ResponseWriter, r *http.Request) (any, error) {
	user, err := s.user(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return shownQuota(user.Limits, user.Usage), nil
}
