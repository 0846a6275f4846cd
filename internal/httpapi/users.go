package httpapi

import (
	"encoding/hex"
	"errors"
	"net/http"

	"gadwall/internal/config"
	"gadwall/internal/database"
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
	var invalid *mailstore.InvalidError
	switch {
	case errors.As(err, &invalid) && errors.Is(err, mailstore.ErrInvalidAddress):
		fail(w, http.StatusBadRequest, "InvalidAddress",
			"username must be a mail address such as ada@example.com: "+invalid.Reason)
	case errors.As(err, &invalid):
		fail(w, http.StatusBadRequest, "WeakPassword", "password: "+invalid.Reason)
	case database.IsStorageFull(err):
		s.log.Error("cannot create user", "error", err)
		fail(w, http.StatusInsufficientStorage, "StorageFull", "the disk of the database is full")
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
