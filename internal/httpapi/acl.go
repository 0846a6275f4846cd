package httpapi

import (
	"net/http"

	"gadwall/internal/account"
)

// grant is an entry of an access control list.
type grant struct {
	Identifier string `json:"identifier" required:"true" doc:"A user name, anyone, or $ and the name of a group; with a - before it the rights are taken away."`
	Rights     string `json:"rights" required:"true" doc:"Letters of RFC 4314, such as lrs."`
}

// accessList is who may do what with a mailbox.
type accessList struct {
	Entries []grant `json:"entries" required:"true" doc:"The owner, who has all rights, is in the answer and need not be in a request."`
}

// aclRoutes are the routes of access control lists.
func (s *Server) aclRoutes() []route {
	const one = "/users/{id}/mailboxes/{mailbox}/acl"
	bad, gone, taken := http.StatusBadRequest, http.StatusNotFound, http.StatusConflict
	return []route{
		s.route(http.MethodGet, one, s.getACL, operation{
			id: "getMailboxACL", summary: "With whom a mailbox is shared.", tag: "mailboxes", answer: accessList{},
			failures: []int{gone}}),
		s.route(http.MethodPut, one, s.putACL, operation{
			id: "setMailboxACL", summary: "Share a mailbox with these and nobody else.", tag: "mailboxes",
			body: accessList{}, answer: accessList{}, failures: []int{bad, gone, taken}}),
		s.route(http.MethodDelete, one, s.deleteACL, operation{
			id: "deleteMailboxACL", summary: "Share a mailbox with nobody.", tag: "mailboxes",
			status: http.StatusNoContent, failures: []int{gone}}),
	}
}

// aclOf opens the account that the path names, and returns it with the path of the mailbox.
func (s *Server) aclOf(r *http.Request) (*account.Account, string, error) {
	a, err := s.account(r)
	if err != nil {
		return nil, "", err
	}
	_, box, err := openMailbox(r.Context(), a, r.PathValue("mailbox"), account.ReadOnly)
	if err != nil {
		return nil, "", err
	}
	return a, box.Path, nil
}

func (s *Server) getACL(_ http.ResponseWriter, r *http.Request) (any, error) {
	a, path, err := s.aclOf(r)
	if err != nil {
		return nil, err
	}
	return shownACL(r, a, path)
}

func shownACL(r *http.Request, a *account.Account, path string) (any, error) {
	grants, err := a.ACL(r.Context(), path)
	if err != nil {
		return nil, err
	}
	list := accessList{make([]grant, len(grants))}
	for i, g := range grants {
		list.Entries[i] = grant{g.Identifier, g.Rights.String()}
	}
	return list, nil
}

func (s *Server) putACL(w http.ResponseWriter, r *http.Request) (any, error) {
	var in accessList
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	grants := make([]account.Grant, len(in.Entries))
	for i, e := range in.Entries {
		rights, err := account.ParseRights(e.Rights)
		if err != nil {
			return nil, badField("rights must be letters of lrswipkxtea")
		}
		grants[i] = account.Grant{Identifier: e.Identifier, Rights: rights}
	}
	a, path, err := s.aclOf(r)
	if err != nil {
		return nil, err
	}
	if err := a.ReplaceACL(r.Context(), path, grants); err != nil {
		return nil, err
	}
	s.log.Info("access control list changed", "user", a.Username(), "mailbox", path, "request", requestID(w))
	return shownACL(r, a, path)
}

func (s *Server) deleteACL(w http.ResponseWriter, r *http.Request) (any, error) {
	a, path, err := s.aclOf(r)
	if err != nil {
		return nil, err
	}
	if err := a.ReplaceACL(r.Context(), path, nil); err != nil {
		return nil, err
	}
	s.log.Info("access control list removed", "user", a.Username(), "mailbox", path, "request", requestID(w))
	return nil, nil
}
