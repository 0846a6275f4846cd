package httpapi

import (
	"context"
	"errors"
	"net/http"

	"gadwall/internal/account"
	"gadwall/internal/database"
	"gadwall/internal/mailstore"
	"gadwall/quota"
)

// Problem is why a request failed (RFC 9457). Code is for programs. Success and Error are there so
// that clients can read all failures as they read those of POST /user/create.
type Problem struct {
	Type    string `json:"type" doc:"about:blank: the status says what kind of problem it is, and code which one."`
	Title   string `json:"title" doc:"The name of the status."`
	Status  int    `json:"status"`
	Detail  string `json:"detail" doc:"For people."`
	Code    string `json:"code" doc:"For programs, such as NoSuchUser."`
	Request string `json:"request" doc:"The request's id, which is in the server's log."`
	Success bool   `json:"success" doc:"Always false."`
	Error   string `json:"error" doc:"The same as detail."`
}

// Failure is why one of the routes with fixed answers failed.
type Failure struct {
	Success bool   `json:"success" doc:"Always false."`
	Error   string `json:"error" doc:"For people."`
	Code    string `json:"code" doc:"For programs, such as UserExists."`
}

// fail answers that a request failed, in the form that its route has.
func fail(w http.ResponseWriter, status int, code, text string) {
	if rw, ok := w.(*responseWriter); ok && rw.plain {
		answer(w, status, Failure{false, text, code})
		return
	}
	answerAs(w, status, typeProblem, Problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: text, Code: code,
		Request: requestID(w), Error: text,
	})
}

// trouble answers for a failure of ours; the cause goes to the log, under the request's id.
func (s *Server) trouble(w http.ResponseWriter, r *http.Request, what string, err error) {
	id := requestID(w)
	s.log.Error(what, "request", id, "path", r.URL.Path, "error", err)
	fail(w, http.StatusInternalServerError, "Internal", "trouble on our side; the log has it under "+id)
}

// refusal is an error that the client is told as it is.
type refusal struct {
	status     int
	code, text string
}

func (e *refusal) Error() string { return e.text }

func refuse(status int, code, text string) error { return &refusal{status, code, text} }

// badField refuses a request because of one of its values.
func badField(text string) error { return refuse(http.StatusBadRequest, "InvalidField", text) }

// refusals are what errors of the store mean to a client. The first that fits counts.
var refusals = []struct {
	err    error
	status int
	code   string
}{
	// Before ErrInvalidAddress, which says why there can be none of that name.
	{mailstore.ErrNoSuchUser, http.StatusNotFound, "NoSuchUser"},
	{mailstore.ErrNoSuchAddress, http.StatusNotFound, "NoSuchAddress"},
	{mailstore.ErrInvalidAddress, http.StatusBadRequest, "InvalidAddress"},
	{mailstore.ErrWeakPassword, http.StatusBadRequest, "WeakPassword"},
	{mailstore.ErrInvalidProfile, http.StatusBadRequest, "InvalidField"},
	{mailstore.ErrInvalidDomain, http.StatusBadRequest, "InvalidField"},
	{mailstore.ErrNoSuchDomain, http.StatusNotFound, "NoSuchDomain"},
	{mailstore.ErrInvalidPage, http.StatusBadRequest, "InvalidField"},
	{mailstore.ErrInvalidExpiry, http.StatusBadRequest, "InvalidExpiry"},
	{mailstore.ErrInvalidName, http.StatusBadRequest, "InvalidMailboxName"},
	{mailstore.ErrInvalidKeyword, http.StatusBadRequest, "InvalidKeyword"},
	{quota.ErrInvalidLimit, http.StatusBadRequest, "InvalidField"},
	{mailstore.ErrInvalidToken, http.StatusBadRequest, "InvalidField"},
	{mailstore.ErrNoSuchToken, http.StatusNotFound, "NoSuchToken"},
	{mailstore.ErrNoSuchPassword, http.StatusNotFound, "NoSuchPassword"},
	{mailstore.ErrNoSuchMailbox, http.StatusNotFound, "NoSuchMailbox"},
	{mailstore.ErrNotDeleted, http.StatusConflict, "NotDeleted"},
	{mailstore.ErrUserExists, http.StatusConflict, "UserExists"},
	{mailstore.ErrMailboxExists, http.StatusConflict, "MailboxExists"},
	{mailstore.ErrHasChildren, http.StatusConflict, "HasChildren"},
	{mailstore.ErrInboxUndeletable, http.StatusConflict, "InboxUndeletable"},
	{mailstore.ErrSpecialUse, http.StatusConflict, "SpecialUse"},
	{mailstore.ErrTooMany, http.StatusConflict, "LimitReached"},
	{mailstore.ErrUIDsExhausted, http.StatusConflict, "LimitReached"},
	{account.ErrInvalidIdentifier, http.StatusBadRequest, "InvalidField"},
	{account.ErrUnknownIdentifier, http.StatusBadRequest, "InvalidField"},
	{account.ErrForced, http.StatusBadRequest, "InvalidField"},
	{account.ErrNoRight, http.StatusForbidden, "NoRight"},
	{quota.ErrOverQuota, http.StatusInsufficientStorage, "OverQuota"},
}

// failWith answers for an error: as what the client did wrong if it is that, or as trouble of ours.
func (s *Server) failWith(w http.ResponseWriter, r *http.Request, err error) {
	var known *refusal
	if errors.As(err, &known) {
		fail(w, known.status, known.code, known.text)
		return
	}
	for _, k := range refusals {
		if !errors.Is(err, k.err) {
			continue
		}
		text := k.err.Error()
		var invalid *mailstore.InvalidError
		if errors.As(err, &invalid) && errors.Is(invalid.Err, k.err) {
			text = invalid.Error()
		}
		fail(w, k.status, k.code, text)
		return
	}
	switch {
	case database.IsStorageFull(err):
		s.log.Error("request failed", "request", requestID(w), "path", r.URL.Path, "error", err)
		fail(w, http.StatusInsufficientStorage, "StorageFull", "the disk of the database is full")
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		// The client has gone, as a page does that is left: nobody needs to know.
		s.log.Debug("the client did not wait", "request", requestID(w), "path", r.URL.Path, "error", err)
		fail(w, http.StatusServiceUnavailable, "Gone", "the client has gone")
	case errors.Is(err, context.DeadlineExceeded) && r.Context().Err() != nil:
		s.log.Warn("request took too long", "request", requestID(w), "path", r.URL.Path, "error", err)
		fail(w, http.StatusServiceUnavailable, "TookTooLong", "the server could not do this in time")
	default:
		s.trouble(w, r, "request failed", err)
	}
}
