package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"

	"gadwall/internal/config"
	"gadwall/internal/mailstore"
	"gadwall/quota"
)

// newUser is a user to be created.
type newUser struct {
	Username string `json:"username" doc:"Mail address; or address."`
	Address  string `json:"address" doc:"The same as username."`
	Password string `json:"password" doc:"Not with hashedPassword."`
	// HashedPassword is what package passhash reads.
	HashedPassword string          `json:"hashedPassword" doc:"A hash that another system made, such as {SSHA512}... or $6$..."`
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

// quotaInput is limits: an object, or a number of octets.
type quotaInput struct {
	Storage  config.StorageLimit `json:"storage"`
	Messages config.MessageLimit `json:"messages"`
}

func (quotaInput) jsonSchema() schema {
	return schema{"description": "The user's own limits; a number is that of octets.", "anyOf": []schema{
		{"type": "integer", "minimum": 1}, {"type": "null"},
		{"type": "object", "additionalProperties": false, "properties": schema{
			"storage": limitSchema("octets"), "messages": limitSchema("messages")}}}}
}

// UnmarshalJSON implements json.Unmarshaler.
func (q *quotaInput) UnmarshalJSON(data []byte) error {
	if data[0] != '{' {
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
	case in.Password != "" && in.HashedPassword != "":
		return mailstore.NewUser{}, badField("password and hashedPassword exclude each other")
	case in.Username == "":
		in.Username = in.Address
	}
	return mailstore.NewUser{
		Username: in.Username, Password: in.Password, HashedPassword: in.HashedPassword, Quota: in.Quota.limits(),
		DisplayName: in.Name, Metadata: metadataText(in.Metadata),
	}, nil
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
	s.log.Info("user created", "user", user.Username, "request", requestID(w))
	return user, nil
}
