package httpapi

import (
	"encoding/json"
	"net/http"

	"gadwall/internal/mailstore"
)

// Domain is what the API tells of a domain.
type Domain struct {
	Domain    string      `json:"domain"`
	Users     int         `json:"users" doc:"How many users have names of it, up to 1,000."`
	MoreUsers bool        `json:"moreUsers,omitempty" doc:"It has more than users says."`
	Quota     DomainQuota `json:"quota"`
	CatchAll  string      `json:"catchAll,omitempty" doc:"The user who gets the mail for addresses that nobody has."`
	AliasOf   string      `json:"aliasOf,omitempty" doc:"The domain that has its mail."`
}

// DomainQuota is the limits of users who have none of their own.
type DomainQuota struct {
	Storage  *int64 `json:"storage" doc:"In octets; -1 is no limit, null that of the deployment."`
	Messages *int64 `json:"messages" doc:"-1 is no limit, null that of the deployment."`
}

type domainPage struct {
	Domains []Domain `json:"domains"`
	Next    string   `json:"next,omitempty" doc:"There are more: for after."`
}

// domainChange is what a request changes of a domain; what is absent stays.
type domainChange struct {
	Quota    *quotaChange    `json:"quota"`
	CatchAll json.RawMessage `json:"catchAll" doc:"The name of a user; null takes it away."`
	AliasOf  json.RawMessage `json:"aliasOf" doc:"Another domain; null takes it away."`
}

func shownDomain(d *mailstore.Domain) Domain {
	return Domain{Domain: d.Name, Users: d.Users, MoreUsers: d.MoreUsers, CatchAll: d.CatchAll, AliasOf: d.AliasOf,
		Quota: DomainQuota{ownLimit(d.Limits.Bytes), ownLimit(d.Limits.Messages)}}
}

// domainRoutes are the routes of domains. They are for operators.
func (s *Server) domainRoutes() []route {
	bad, gone, taken := http.StatusBadRequest, http.StatusNotFound, http.StatusConflict
	return []route{
		s.route(http.MethodGet, "/domains", s.listDomains, operation{
			id: "listDomains", summary: "Domains that have users or settings, page by page.", tag: "domains",
			answer: domainPage{}, query: paged(mailstore.MaxDomainPage, "The next of an answer: a domain."),
			failures: []int{bad}}),
		s.route(http.MethodGet, "/domains/{domain}", s.getDomain, operation{
			id: "getDomain", summary: "One domain.", tag: "domains", answer: Domain{}, failures: []int{gone}}),
		s.route(http.MethodPatch, "/domains/{domain}", s.changeDomain, operation{
			id: "changeDomain", summary: "Set something for a domain, which need not exist before.", tag: "domains",
			body: domainChange{}, answer: Domain{}, failures: []int{bad, gone, taken}}),
		s.route(http.MethodDelete, "/domains/{domain}", s.forgetDomain, operation{
			id: "deleteDomain", summary: "Take away all that is set for a domain; its users stay.", tag: "domains",
			status: http.StatusNoContent, failures: []int{gone}}),
	}
}

func (s *Server) listDomains(_ http.ResponseWriter, r *http.Request) (any, error) {
	limit, err := pageLimit(r, mailstore.MaxDomainPage, mailstore.MaxDomainPage)
	if err != nil {
		return nil, err
	}
	list, more, err := s.opts.Users.Domains(r.Context(), r.FormValue("after"), limit)
	if err != nil {
		return nil, err
	}
	page := domainPage{Domains: make([]Domain, len(list))}
	for i := range list {
		page.Domains[i] = shownDomain(&list[i])
	}
	if more {
		page.Next = list[len(list)-1].Name
	}
	return page, nil
}

func (s *Server) getDomain(_ http.ResponseWriter, r *http.Request) (any, error) {
	d, err := s.opts.Users.DomainByName(r.Context(), r.PathValue("domain"))
	if err != nil {
		return nil, err
	}
	return shownDomain(d), nil
}

func (s *Server) changeDomain(w http.ResponseWriter, r *http.Request) (any, error) {
	var in domainChange
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	var change mailstore.DomainChange
	if q := in.Quota; q != nil {
		limits := q.input.limits()
		if q.storage {
			change.Bytes = &limits.Bytes
		}
		if q.messages {
			change.Messages = &limits.Messages
		}
	}
	var err error
	if change.CatchAll, err = textOrNull("catchAll", in.CatchAll); err != nil {
		return nil, err
	}
	if change.AliasOf, err = textOrNull("aliasOf", in.AliasOf); err != nil {
		return nil, err
	}
	domain := r.PathValue("domain")
	if err := s.opts.Users.ChangeDomain(r.Context(), domain, change); err != nil {
		return nil, err
	}
	s.log.Info("domain changed", "domain", domain, "request", requestID(w))
	d, err := s.opts.Users.DomainByName(r.Context(), domain)
	if err != nil {
		return nil, err
	}
	return shownDomain(d), nil
}

// textOrNull reads a value that is a text or null, which is "". It is nil for a value that is absent.
func textOrNull(name string, raw json.RawMessage) (*string, error) {
	if raw == nil {
		return nil, nil
	}
	var text *string
	if err := json.Unmarshal(raw, &text); err != nil {
		return nil, badField(name + " must be a text or null")
	}
	if text == nil {
		text = new(string)
	}
	return text, nil
}

func (s *Server) forgetDomain(w http.ResponseWriter, r *http.Request) (any, error) {
	domain := r.PathValue("domain")
	if err := s.opts.Users.ForgetDomain(r.Context(), domain); err != nil {
		return nil, err
	}
	s.log.Info("settings of a domain deleted", "domain", domain, "request", requestID(w))
	return nil, nil
}
