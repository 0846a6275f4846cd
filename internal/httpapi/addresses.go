package httpapi

import (
	"net/http"
	"time"

	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
)

// addressList is the addresses of a user.
type addressList struct {
	Addresses []string `json:"addresses" doc:"The user's name is one of them."`
}

// newAddress is a further address.
type newAddress struct {
	Address string `json:"address" required:"true"`
}

func (s *Server) listAddresses(_ http.ResponseWriter, r *http.Request) (any, error) {
	user, err := s.user(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return s.addresses(r, user.ID)
}

func (s *Server) addresses(r *http.Request, user mailkey.UserID) (any, error) {
	list, err := s.opts.Users.Addresses(r.Context(), user)
	if err != nil {
		return nil, err
	}
	return addressList{list}, nil
}

func (s *Server) addAddress(w http.ResponseWriter, r *http.Request) (any, error) {
	var in newAddress
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	user, err := s.user(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if err := s.opts.Users.AddAlias(r.Context(), user.ID, in.Address); err != nil {
		return nil, err
	}
	s.log.Info("address added", "user", user.Username, "address", in.Address, "request", requestID(w))
	return s.addresses(r, user.ID)
}

func (s *Server) removeAddress(w http.ResponseWriter, r *http.Request) (any, error) {
	user, err := s.user(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	address := r.PathValue("address")
	if err := s.opts.Users.RemoveAlias(r.Context(), user.ID, address); err != nil {
		return nil, err
	}
	s.log.Info("address removed", "user", user.Username, "address", address, "request", requestID(w))
	return nil, nil
}

// AppPassword is an application password.
type AppPassword struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Scopes   []string  `json:"scopes" enum:"imap,smtp,http"`
	Created  time.Time `json:"created"`
	Used     time.Time `json:"used,omitzero" doc:"The last use, to an hour."`
	Password string    `json:"password,omitempty" doc:"Only in the answer that makes it."`
}

type appPasswordList struct {
	AppPasswords []AppPassword `json:"appPasswords"`
}

type newAppPassword struct {
	Name    string   `json:"name" required:"true" doc:"What it is for, such as phone."`
	Scopes  []string `json:"scopes" required:"true" enum:"imap,smtp,http"`
	Current string   `json:"currentPassword" doc:"With a user's token that ends, or is not for mail."`
}

func shownAppPassword(p mailstore.AppPassword) AppPassword {
	return AppPassword{ID: p.ID, Name: p.Name, Scopes: p.Scopes.Names(), Created: p.Created, Used: p.Used}
}

func (s *Server) listAppPasswords(_ http.ResponseWriter, r *http.Request) (any, error) {
	user, err := s.user(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	passwords, err := s.opts.Users.AppPasswords(r.Context(), user.ID)
	if err != nil {
		return nil, err
	}
	list := appPasswordList{make([]AppPassword, len(passwords))}
	for i, p := range passwords {
		list.AppPasswords[i] = shownAppPassword(p)
	}
	return list, nil
}

func (s *Server) addAppPassword(w http.ResponseWriter, r *http.Request) (any, error) {
	var in newAppPassword
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	scopes, err := mailstore.ParseScope(in.Scopes)
	if err != nil {
		return nil, badField(err.Error())
	}
	user, err := s.user(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if err := s.mayMakeAppPasswords(r, user, in.Current); err != nil {
		return nil, err
	}
	made, password, err := s.opts.Users.AddAppPassword(r.Context(), user.ID, in.Name, scopes)
	if err != nil {
		return nil, err
	}
	s.log.Info("application password made", "user", user.Username, "id", made.ID, "request", requestID(w))
	shown := shownAppPassword(*made)
	shown.Password = password
	return shown, nil
}

func (s *Server) revokeAppPassword(w http.ResponseWriter, r *http.Request) (any, error) {
	user, err := s.user(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	id := r.PathValue("password")
	if err := s.opts.Users.RevokeAppPassword(r.Context(), user.ID, id); err != nil {
		return nil, err
	}
	s.log.Info("application password revoked", "user", user.Username, "id", id, "request", requestID(w))
	return nil, nil
}
