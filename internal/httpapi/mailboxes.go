package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"gadwall/internal/account"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
)

// Mailbox is what the API tells of a mailbox.
type Mailbox struct {
	ID          string `json:"id" doc:"It stays when the mailbox is renamed; the MAILBOXID of IMAP."`
	Path        string `json:"path"`
	SpecialUse  string `json:"specialUse,omitempty" doc:"Such as \\Sent."`
	Subscribed  bool   `json:"subscribed"`
	Messages    int64  `json:"messages"`
	Unseen      int64  `json:"unseen"`
	Size        int64  `json:"size" doc:"In octets."`
	UIDValidity uint32 `json:"uidValidity"`
	UIDNext     uint32 `json:"uidNext"`
	ModSeq      uint64 `json:"modseq" doc:"It grows with every change in the mailbox."`
	ExpireDays  *int64 `json:"expireDays,omitempty" doc:"After which messages go; 0 for never. Absent: by the settings."`
}

type mailboxList struct {
	Mailboxes []Mailbox `json:"mailboxes" doc:"In the order of their paths."`
}

func shownMailbox(m *mailstore.Mailbox) Mailbox {
	return Mailbox{
		ID: mailboxID(m.Key), Path: m.Path, SpecialUse: m.SpecialUse, Subscribed: m.Subscribed, Messages: m.Messages,
		Unseen: m.Unseen, Size: m.Size, UIDValidity: m.UIDValidity, UIDNext: m.UIDNext, ModSeq: m.HighestModSeq,
		ExpireDays: m.ExpireDays,
	}
}

func mailboxID(key mailkey.Mailbox) string { return "F" + strconv.FormatUint(uint64(key.Number()), 10) }

// parseMailboxID returns the number in the id of a mailbox.
func parseMailboxID(id string) (number uint32, ok bool) {
	digits, found := strings.CutPrefix(id, "F")
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), found && err == nil && digits[0] != '0'
}

// newMailbox is a mailbox to be created.
type newMailbox struct {
	Path       string `json:"path" required:"true" doc:"Names separated by /."`
	SpecialUse string `json:"specialUse" doc:"Such as \\Archive."`
	Subscribed bool   `json:"subscribed" doc:"As IMAP clients show it; false if absent."`
}

// mailboxChange is what a request changes of a mailbox.
type mailboxChange struct {
	Path       *string `json:"path" doc:"Renames the mailbox, and those below it."`
	Subscribed *bool   `json:"subscribed"`
	ExpireDays *int64  `json:"expireDays" doc:"0 for never, -1 for what the server's settings say."`
}

// mailboxRoutes are the routes of mailboxes.
func (s *Server) mailboxRoutes() []route {
	bad, gone, taken := http.StatusBadRequest, http.StatusNotFound, http.StatusConflict
	const one = "/users/{id}/mailboxes/{mailbox}"
	return []route{
		s.route(http.MethodGet, "/users/{id}/mailboxes", s.listMailboxes, operation{
			id: "listMailboxes", summary: "The mailboxes of a user, with counters.", tag: "mailboxes",
			answer: mailboxList{}, failures: []int{gone}}),
		s.route(http.MethodPost, "/users/{id}/mailboxes", s.createMailbox, operation{
			id: "createMailbox", summary: "Create a mailbox.", tag: "mailboxes", body: newMailbox{},
			status: http.StatusCreated, answer: Mailbox{}, failures: []int{bad, gone, taken}}),
		s.route(http.MethodGet, one, s.getMailbox, operation{
			id: "getMailbox", summary: "A mailbox, with counters.", tag: "mailboxes", answer: Mailbox{}, tagged: true,
			failures: []int{gone}}),
		s.route(http.MethodPatch, one, s.changeMailbox, operation{
			id: "changeMailbox", summary: "Rename or subscribe a mailbox, have its messages expire.",
			tag:  "mailboxes",
			body: mailboxChange{}, answer: Mailbox{}, failures: []int{bad, gone, taken}}),
		s.route(http.MethodDelete, one, s.deleteMailbox, operation{
			id: "deleteMailbox", summary: "Delete a mailbox with its messages.", tag: "mailboxes",
			status: http.StatusNoContent, failures: []int{gone, taken}}),
	}
}

// account opens the account of the user whom the path names.
func (s *Server) account(r *http.Request) (*account.Account, error) {
	user, err := s.user(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return s.opts.Accounts.Of(user), nil
}

// mailbox opens the mailbox that the path names, by its id or its path.
func (s *Server) mailbox(r *http.Request, access account.Access) (*account.Mailbox, *mailstore.Mailbox, error) {
	a, err := s.account(r)
	if err != nil {
		return nil, nil, err
	}
	return openMailbox(r.Context(), a, r.PathValue("mailbox"), access)
}

func openMailbox(ctx context.Context, a *account.Account, name string, access account.Access) (
	*account.Mailbox, *mailstore.Mailbox, error,
) {
	if number, ok := parseMailboxID(name); ok {
		return a.OpenKey(ctx, a.UserID().Mailbox(number), access)
	}
	return a.Open(ctx, name, access)
}

func (s *Server) listMailboxes(_ http.ResponseWriter, r *http.Request) (any, error) {
	a, err := s.account(r)
	if err != nil {
		return nil, err
	}
	boxes, err := a.Mailboxes(r.Context())
	if err != nil {
		return nil, err
	}
	list := mailboxList{make([]Mailbox, len(boxes))}
	for i, box := range boxes {
		list.Mailboxes[i] = shownMailbox(box)
	}
	return list, nil
}

func (s *Server) createMailbox(w http.ResponseWriter, r *http.Request) (any, error) {
	var in newMailbox
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	a, err := s.account(r)
	if err != nil {
		return nil, err
	}
	box, err := a.Create(r.Context(), in.Path, mailstore.CreateOptions{SpecialUse: in.SpecialUse})
	if err != nil {
		return nil, err
	}
	if in.Subscribed {
		if err := a.Subscribe(r.Context(), box.Path, true); err != nil {
			return nil, err
		}
		box.Subscribed = true
	}
	w.Header().Set("Location", "/users/"+a.UserID().String()+"/mailboxes/"+mailboxID(box.Key))
	return shownMailbox(box), nil
}

func (s *Server) getMailbox(w http.ResponseWriter, r *http.Request) (any, error) {
	_, box, err := s.mailbox(r, account.ReadOnly)
	if err != nil {
		return nil, err
	}
	// Subscribing, renaming and expiry do not change the mod-sequence.
	shown := shownMailbox(box)
	if notModified(w, r, fmt.Sprintf(`W/"%d-%d-%t-%s-%x"`, box.UIDValidity, box.HighestModSeq, box.Subscribed,
		daysText(box.ExpireDays), box.Path)) {
		return notChanged, nil
	}
	return shown, nil
}

// daysText is a number of days, empty if there is none.
func daysText(days *int64) string {
	if days == nil {
		return ""
	}
	return strconv.FormatInt(*days, 10)
}

func (s *Server) changeMailbox(_ http.ResponseWriter, r *http.Request) (any, error) {
	var in mailboxChange
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	a, err := s.account(r)
	if err != nil {
		return nil, err
	}
	ctx := r.Context()
	_, box, err := openMailbox(ctx, a, r.PathValue("mailbox"), account.ReadOnly)
	if err != nil {
		return nil, err
	}
	if days := in.ExpireDays; days != nil && *days != -1 {
		if err := mailstore.CheckExpiry(*days); err != nil { // before anything changes
			return nil, err
		}
	}
	path := box.Path
	if in.Path != nil && *in.Path != path {
		if err := a.Rename(ctx, path, *in.Path); err != nil {
			return nil, err
		}
		path = strings.TrimSuffix(*in.Path, mailstore.Separator)
	}
	if in.Subscribed != nil {
		if err := a.Subscribe(ctx, path, *in.Subscribed); err != nil {
			return nil, err
		}
	}
	if in.ExpireDays != nil {
		days := in.ExpireDays
		if *days == -1 {
			days = nil
		}
		if err := a.SetExpiry(ctx, path, days); err != nil {
			return nil, err
		}
	}
	box, err = a.Status(ctx, path)
	if err != nil {
		return nil, err
	}
	return shownMailbox(box), nil
}

func (s *Server) deleteMailbox(_ http.ResponseWriter, r *http.Request) (any, error) {
	a, err := s.account(r)
	if err != nil {
		return nil, err
	}
	_, box, err := openMailbox(r.Context(), a, r.PathValue("mailbox"), account.ReadOnly)
	if err != nil {
		return nil, err
	}
	return nil, a.Delete(r.Context(), box.Path)
}
