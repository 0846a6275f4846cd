package httpapi

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"

	"gadwall/internal/config"
	"gadwall/internal/mailstore"
	"gadwall/quota"
)

func (s *Server) createUser(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Username string `json:"username"`
		Password string `json:"password"`
		Quota    struct {
			Storage  config.StorageLimit `json:"storage"`
			Messages config.MessageLimit `json:"messages"`
		} `json:"quota"`
	}
	if !decode(w, r, &in) {
		return
	}
	user, err := s.opts.Users.CreateUser(r.Context(), mailstore.NewUser{
		Username: in.Username, Password: in.Password,
		Quota: quota.Limits{Bytes: int64(in.Quota.Storage), Messages: int64(in.Quota.Messages)},
	})
	switch {
	case errors.Is(err, mailstore.ErrInvalidAddress):
		fail(w, http.StatusBadRequest, "InvalidAddress", "username must be a mail address such as ada@example.com")
	case errors.Is(err, mailstore.ErrWeakPassword):
		fail(w, http.StatusBadRequest, "WeakPassword", fmt.Sprintf("password must have %d to %d octets",
			mailstore.MinPasswordLength, mailstore.MaxPasswordLength))
	case errors.Is(err, mailstore.ErrUserExists):
		fail(w, http.StatusConflict, "UserExists", "a user or alias with this address exists")
	case err != nil:
		s.trouble(w, r, "cannot create user", err)
	default:
		s.log.Info("user created", "user", user.Username)
		answer(w, http.StatusOK, struct {
			Success  bool   `json:"success"`
			ID       string `json:"id"`
			Username string `json:"username"`
		}{true, hex.EncodeToString(user.ID[:]), user.Username})
	}
}

func (s *Server) health(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), healthTimeout)
	defer cancel()
	if err := s.opts.Ping(ctx); err != nil {
		s.log.Warn("health: database does not answer", "error", err)
		fail(w, http.StatusServiceUnavailable, "DatabaseUnavailable", "the database does not answer")
		return
	}
	answer(w, http.StatusOK, struct {
		Success bool   `json:"success"`
		Status  string `json:"status"`
	}{true, "ok"})
}

// decode reads a JSON body into v, or answers what is wrong with it. What the request declares as its type
// does not matter: curl -d declares a form.
func decode(w http.ResponseWriter, r *http.Request, v any) bool {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if err == nil {
		if _, err = dec.Token(); err == io.EOF {
			return true
		}
		err = errors.Join(errTrailing, err)
	}
	var tooLarge *http.MaxBytesError
	var wrongType *json.UnmarshalTypeError
	var limit *config.LimitError
	switch {
	case errors.As(err, &limit):
		fail(w, http.StatusBadRequest, "InvalidField", limit.Error())
	case errors.As(err, &tooLarge):
		fail(w, http.StatusRequestEntityTooLarge, "TooLarge", fmt.Sprintf("the body has more than %d octets", maxBody))
	case errors.As(err, &wrongType) && wrongType.Field == "":
		fail(w, http.StatusBadRequest, "InvalidField", "the body must be a JSON object")
	case errors.As(err, &wrongType) && wrongType.Type.Kind() == reflect.Struct:
		fail(w, http.StatusBadRequest, "InvalidField", wrongType.Field+" must be an object")
	case errors.As(err, &wrongType):
		fail(w, http.StatusBadRequest, "InvalidField", fmt.Sprintf("%s must be a %s", wrongType.Field, wrongType.Type))
	case errors.Is(err, errTrailing):
		fail(w, http.StatusBadRequest, "InvalidJSON", "the body has more than one JSON value")
	case strings.HasPrefix(err.Error(), "json: unknown field "):
		fail(w, http.StatusBadRequest, "UnknownField", "unknown field "+strings.TrimPrefix(err.Error(), "json: unknown field "))
	default:
		fail(w, http.StatusBadRequest, "InvalidJSON", "the body is not valid JSON")
	}
	return false
}

var errTrailing = errors.New("trailing data")
