package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"

	"gadwall/internal/config"
	"gadwall/internal/mailstore"
	"gadwall/internal/passhash"
	"gadwall/quota"
)

// newUser is a user to be created.
type newUser struct {
	Username       string          `json:"username" doc:"Mail address; or address."`
	Address        string          `json:"address" doc:"The same as username."`
	Password       string          `json:"password" doc:"Not with hashedPassword."`
	HashedPassword hashInput       `json:"hashedPassword"`
	Name           string          `json:"name" doc:"Name for people."`
	Quota          quotaInput      `json:"quota"`
	Metadata       json.RawMessage `json:"metadata" doc:"What applications keep with the user, at most 4 KiB."`
}

// createdUser is the answer to a newUser. Other programs rely on it.
type createdUser struct {
	Success  bool   `json:"success" doc:"Always true."`
	ID       string `json:"id"`
	Username string `json:"username"`
}

// hashInput is a password's hash of another system, as package passhash reads it, or the word of
// WildDuck that the field password has one.
type hashInput struct {
	hash     string
	password bool
}

func (hashInput) jsonSchema() schema {
	return schema{"description": "A hash that another system made, such as {SSHA512}... or $6$...; " +
		"true says that password is one.", "type": []string{"string", "boolean"}}
}

// UnmarshalJSON implements json.Unmarshaler.
func (h *hashInput) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, &h.password) == nil {
		return nil
	}
	return json.Unmarshal(data, &h.hash)
}

// of tells a password from a hash; nil is what is absent. The error is for a request that has both.
func (h *hashInput) of(password *string) (plain, hash *string, err error) {
	switch {
	case h == nil || *h == hashInput{}:
		return password, nil, nil
	case h.password:
		if password == nil {
			return nil, nil, badField("hashedPassword says that password is a hash, and there is no password")
		}
		return nil, password, nil
	case password != nil && *password != "":
		return nil, nil, badField("password and hashedPassword exclude each other")
	}
	return nil, &h.hash, nil
}

// quotaInput is limits: an object, or a number of octets, of which 0 is the default, as WildDuck has it.
type quotaInput struct {
	Storage  config.StorageLimit `json:"storage"`
	Messages config.MessageLimit `json:"messages"`
}

func (quotaInput) jsonSchema() schema {
	return schema{"description": "The user's own limits; a number is that of octets, 0 the default.", "anyOf": []schema{
		{"type": "integer", "minimum": 0}, {"type": "null"}, {"type": "string"},
		{"type": "object", "additionalProperties": false, "properties": schema{
			"storage": limitSchema("octets"), "messages": limitSchema("messages")}}}}
}

// UnmarshalJSON implements json.Unmarshaler.
func (q *quotaInput) UnmarshalJSON(data []byte) error {
	var octets float64
	switch {
	case data[0] == '{':
	case json.Unmarshal(data, &octets) == nil && octets == 0 && string(data) != "null":
		q.Storage = config.StorageLimit(quota.Default)
		return nil
	default:
		return json.Unmarshal(data, &q.Storage)
	}
	type object quotaInput
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	return dec.Decode((*object)(q))
}

func (q quotaInput) limits() quota.Limits {
	return quota.Limits{Bytes: int64(q.Storage), Messages: int64(q.Messages)}
}

// user returns what the store needs to create the user.
func (in *newUser) user() (mailstore.NewUser, error) {
	switch {
	case in.Username != "" && in.Address != "" && in.Username != in.Address:
		return mailstore.NewUser{}, badField("username and address differ: they mean the same")
	case in.Username == "":
		in.Username = in.Address
	}
	user := mailstore.NewUser{Username: in.Username, Quota: in.Quota.limits(), DisplayName: in.Name,
		Metadata: metadataText(in.Metadata)}
	password, hash, err := in.HashedPassword.of(&in.Password)
	if password != nil {
		user.Password = *password
	}
	if hash != nil {
		user.HashedPassword = *hash
	}
	return user, err
}

// metadataText is metadata as the store keeps them; null is none.
func metadataText(raw json.RawMessage) string {
	if string(raw) == "null" {
		return ""
	}
	return string(raw)
}

// createUser answers POST /user/create.
func (s *Server) createUser(w http.ResponseWriter, r *http.Request) {
	user, err := s.create(w, r)
	var invalid *mailstore.InvalidError
	switch {
	case errors.As(err, &invalid) && errors.Is(err, mailstore.ErrInvalidAddress):
		fail(w, http.StatusBadRequest, "InvalidAddress",
			"username must be a mail address such as ada@example.com: "+invalid.Reason)
	case errors.As(err, &invalid) && errors.Is(err, mailstore.ErrWeakPassword):
		fail(w, http.StatusBadRequest, "WeakPassword", "password: "+invalid.Reason)
	case err != nil:
		s.failWith(w, r, err)
	default:
		answer(w, http.StatusOK, createdUser{true, user.ID.String(), user.Username})
	}
}

// create makes the user that a request describes.
func (s *Server) create(w http.ResponseWriter, r *http.Request) (*mailstore.User, error) {
	var in newUser
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	described, err := in.user()
	if err != nil {
		return nil, err
	}
	user, err := s.opts.Users.CreateUser(r.Context(), described)
	if err != nil {
		return nil, err
	}
	s.warnOfHash(w, user, described.HashedPassword)
	s.log.Info("user created", "user", user.Username, "request", requestID(w))
	return user, nil
}

// warnOfHash logs that a user came with a hash that gives the password away to a thief.
func (s *Server) warnOfHash(w http.ResponseWriter, user *mailstore.User, hash string) {
	if scheme, weak := passhash.Weak(hash); weak {
		s.log.Warn("the user's password has a weak hash until the first login", "user", user.Username,
			"scheme", scheme, "request", requestID(w))
	}
}
