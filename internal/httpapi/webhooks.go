package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"gadwall/internal/account"
	"gadwall/internal/feed"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/internal/webhooks"
)

// Webhooks is what the API needs of them.
type Webhooks interface {
	Add(ctx context.Context, h webhooks.Hook) (*webhooks.Hook, error)
	Hooks(ctx context.Context) ([]*webhooks.Hook, error)
	Hook(ctx context.Context, id string) (*webhooks.Hook, error)
	Change(ctx context.Context, id string, c webhooks.HookChange) (*webhooks.Hook, error)
	Remove(ctx context.Context, id string) error
	Try(ctx context.Context, id string) error
	Letters(ctx context.Context, hook string, limit int, whole bool) ([]webhooks.Letter, error)
	Resend(ctx context.Context, hook, id string) error
	ReadLink(ctx context.Context, text string) (mailkey.Message, error)
}

var _ Webhooks = (*webhooks.Registry)(nil)

// Webhook is what the API tells of a webhook.
type Webhook struct {
	ID      string      `json:"id"`
	Name    string      `json:"name"`
	URL     string      `json:"url"`
	Kinds   []feed.Kind `json:"kinds" doc:"Of the events that it gets; none stands for all."`
	User    string      `json:"user,omitempty" doc:"The id of the one user whose events it gets."`
	Created time.Time   `json:"created"`
	Paused  string      `json:"paused,omitempty" doc:"Why it gets nothing now. What happens meanwhile waits."`
	Secret  string      `json:"secret,omitempty" doc:"The key of the signatures; only in the answer that makes it."`
}

type webhookList struct {
	Webhooks []Webhook `json:"webhooks"`
}

type newWebhook struct {
	Name  string      `json:"name" required:"true" doc:"What it is for."`
	URL   string      `json:"url" required:"true"`
	Kinds []feed.Kind `json:"kinds" doc:"Of events, such as new or junk; without it all."`
	User  string      `json:"user" doc:"Id or name of the one user whose events it gets."`
}

// webhookChange is what a request changes of a webhook; what is absent stays.
type webhookChange struct {
	Name      *string      `json:"name"`
	URL       *string      `json:"url"`
	Kinds     *[]feed.Kind `json:"kinds"`
	Paused    *bool        `json:"paused"`
	NewSecret bool         `json:"newSecret" doc:"Make another secret, which the answer has."`
}

// webhookAnswer is how a request to a webhook went.
type webhookAnswer struct {
	Delivered bool   `json:"delivered"`
	Error     string `json:"error,omitempty"`
}

// FailedDelivery is a delivery that was given up.
type FailedDelivery struct {
	ID    string          `json:"id"`
	User  string          `json:"user" doc:"A user's id."`
	At    time.Time       `json:"at" doc:"When it was given up."`
	Error string          `json:"error" doc:"Of the latest attempt."`
	Body  json.RawMessage `json:"body,omitempty" doc:"With ?bodies=true."`
}

type failedDeliveries struct {
	Deliveries []FailedDelivery `json:"deliveries"`
}

func shownWebhook(h *webhooks.Hook) Webhook {
	shown := Webhook{ID: h.ID, Name: h.Name, URL: h.URL, Kinds: h.Kinds, Created: h.Created, Paused: h.Paused}
	if shown.Kinds == nil {
		shown.Kinds = []feed.Kind{}
	}
	if (h.User != mailkey.UserID{}) {
		shown.User = h.User.String()
	}
	return shown
}

// webhookRoutes are the routes of webhooks. They are for operators: a webhook makes the server send
// requests to any address.
func (s *Server) webhookRoutes() []route {
	if s.opts.Webhooks == nil {
		return nil
	}
	bad, gone, many := http.StatusBadRequest, http.StatusNotFound, http.StatusConflict
	const tag, one = "webhooks", "/webhooks/{webhook}"
	routes := []route{
		s.route(http.MethodGet, "/webhooks", s.listWebhooks, operation{
			id: "listWebhooks", summary: "All webhooks.", tag: tag, answer: webhookList{}}),
		s.route(http.MethodPost, "/webhooks", s.addWebhook, operation{
			id: "addWebhook", summary: "Have events sent to a URL.", tag: tag, body: newWebhook{}, answer: Webhook{},
			status: http.StatusCreated, failures: []int{bad, gone, many}}),
		s.route(http.MethodGet, one, s.getWebhook, operation{
			id: "getWebhook", summary: "One webhook.", tag: tag, answer: Webhook{}, failures: []int{gone}}),
		s.route(http.MethodPatch, one, s.changeWebhook, operation{
			id: "changeWebhook", summary: "Change, pause or resume a webhook.", tag: tag, body: webhookChange{},
			answer: Webhook{}, failures: []int{bad, gone}}),
		s.route(http.MethodDelete, one, s.removeWebhook, operation{
			id: "deleteWebhook", summary: "Take a webhook away.", tag: tag, status: http.StatusNoContent,
			failures: []int{gone}}),
		s.route(http.MethodPost, one+"/test", s.tryWebhook, operation{
			id: "testWebhook", summary: "Send it an event of kind test.", tag: tag, answer: webhookAnswer{},
			failures: []int{gone}}),
		s.route(http.MethodGet, one+"/failed", s.listFailed, operation{
			id: "listFailedDeliveries", summary: "Deliveries that were given up, the latest first.", tag: tag,
			query: []parameter{
				{name: "limit", text: "Most of them.", schema: number(1, webhooks.MaxLetters)},
				{name: "bodies", text: "true: with what was to be sent.", schema: text()}},
			answer: failedDeliveries{}, failures: []int{bad, gone}}),
		s.route(http.MethodPost, one+"/failed/{delivery}/resend", s.resendFailed, operation{
			id: "resendDelivery", summary: "Send a delivery again that was given up.", tag: tag,
			answer: webhookAnswer{}, failures: []int{gone}}),
	}
	if s.opts.Accounts == nil {
		return routes
	}
	return append(routes, route{http.MethodGet, webhooks.LinkPath + "{link}", visitors, 0, 0, s.getLinked, operation{
		id: "getLinkedSource", summary: "The octets of a message, by an address that a webhook was told.",
		tag: "messages", ranges: true, answerTypes: []string{typeMessage},
		failures: []int{http.StatusNotFound, http.StatusRequestedRangeNotSatisfiable}}})
}

func (s *Server) listWebhooks(_ http.ResponseWriter, r *http.Request) (any, error) {
	hooks, err := s.opts.Webhooks.Hooks(r.Context())
	if err != nil {
		return nil, err
	}
	list := webhookList{make([]Webhook, len(hooks))}
	for i, h := range hooks {
		list.Webhooks[i] = shownWebhook(h)
	}
	return list, nil
}

func (s *Server) addWebhook(w http.ResponseWriter, r *http.Request) (any, error) {
	var in newWebhook
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	h := webhooks.Hook{Name: in.Name, URL: in.URL, Kinds: in.Kinds}
	if in.User != "" {
		user, err := s.user(r.Context(), in.User)
		if err != nil {
			return nil, err
		}
		h.User = user.ID
	}
	made, err := s.opts.Webhooks.Add(r.Context(), h)
	if err != nil {
		return nil, webhookRefusal(err)
	}
	s.log.Info("webhook made", "webhook", made.ID, "request", requestID(w))
	shown := shownWebhook(made)
	shown.Secret = made.Secret
	return shown, nil
}

func (s *Server) getWebhook(_ http.ResponseWriter, r *http.Request) (any, error) {
	h, err := s.opts.Webhooks.Hook(r.Context(), r.PathValue("webhook"))
	if err != nil {
		return nil, webhookRefusal(err)
	}
	return shownWebhook(h), nil
}

func (s *Server) changeWebhook(w http.ResponseWriter, r *http.Request) (any, error) {
	var in webhookChange
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	h, err := s.opts.Webhooks.Change(r.Context(), r.PathValue("webhook"), webhooks.HookChange(in))
	if err != nil {
		return nil, webhookRefusal(err)
	}
	s.log.Info("webhook changed", "webhook", h.ID, "request", requestID(w))
	shown := shownWebhook(h)
	if in.NewSecret {
		shown.Secret = h.Secret
	}
	return shown, nil
}

func (s *Server) removeWebhook(w http.ResponseWriter, r *http.Request) (any, error) {
	id := r.PathValue("webhook")
	if err := s.opts.Webhooks.Remove(r.Context(), id); err != nil {
		return nil, webhookRefusal(err)
	}
	s.log.Info("webhook removed", "webhook", id, "request", requestID(w))
	return nil, nil
}

func (s *Server) tryWebhook(_ http.ResponseWriter, r *http.Request) (any, error) {
	return webhookResult(s.opts.Webhooks.Try(r.Context(), r.PathValue("webhook")))
}

func (s *Server) listFailed(_ http.ResponseWriter, r *http.Request) (any, error) {
	limit, err := pageLimit(r, webhooks.MaxLetters, webhooks.MaxLetters)
	if err != nil {
		return nil, err
	}
	letters, err := s.opts.Webhooks.Letters(r.Context(), r.PathValue("webhook"), limit, r.FormValue("bodies") == "true")
	if err != nil {
		return nil, webhookRefusal(err)
	}
	list := failedDeliveries{make([]FailedDelivery, len(letters))}
	for i, l := range letters {
		list.Deliveries[i] = FailedDelivery{ID: l.ID, User: l.User.String(), At: l.At, Error: l.Error,
			Body: json.RawMessage(l.Body)}
	}
	return list, nil
}

func (s *Server) resendFailed(_ http.ResponseWriter, r *http.Request) (any, error) {
	return webhookResult(s.opts.Webhooks.Resend(r.Context(), r.PathValue("webhook"), r.PathValue("delivery")))
}

// webhookResult is the answer for a request that was sent: that it failed is the answer, too.
func webhookResult(err error) (any, error) {
	refused := webhookRefusal(err)
	var known *refusal
	switch {
	case err == nil:
		return webhookAnswer{Delivered: true}, nil
	case errors.As(refused, &known):
		return nil, refused
	}
	return webhookAnswer{Error: err.Error()}, nil
}

// webhookRefusal makes refusals of the errors that are the client's.
func webhookRefusal(err error) error {
	switch {
	case errors.Is(err, webhooks.ErrNoSuchHook):
		return refuse(http.StatusNotFound, "NoSuchWebhook", err.Error())
	case errors.Is(err, webhooks.ErrNoSuchLetter):
		return refuse(http.StatusNotFound, "NoSuchDelivery", err.Error())
	case errors.Is(err, webhooks.ErrBadLink):
		return refuse(http.StatusNotFound, "NoSuchLink", err.Error())
	case errors.Is(err, webhooks.ErrInvalid):
		return badField(err.Error())
	case errors.Is(err, webhooks.ErrTooMany):
		return refuse(http.StatusConflict, "LimitReached", err.Error())
	}
	return err
}

// getLinked answers with the source of the message that the path's link is of. The link is what the
// client must have; a token it need not.
func (s *Server) getLinked(w http.ResponseWriter, r *http.Request) {
	r.URL.Path = webhooks.LinkPath // logs do not get the link
	m, err := s.opts.Webhooks.ReadLink(r.Context(), r.PathValue("link"))
	var user *mailstore.User
	if err == nil {
		user, err = s.opts.Users.UserByID(r.Context(), m.User())
	}
	var box *account.Mailbox
	var at *mailstore.Mailbox
	if err == nil {
		box, at, err = s.opts.Accounts.Of(user).OpenKey(r.Context(), m.Mailbox(), account.ReadOnly)
	}
	if err != nil {
		s.failWith(w, r, webhookRefusal(err))
		return
	}
	r.SetPathValue("uid", strconv.FormatUint(uint64(m.UID()), 10))
	s.writeSource(w, r, box, at)
}
