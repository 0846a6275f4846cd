package account

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gadwall/internal/logins"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
)

// Attempt is what a client says when it logs in, and how it does that.
type Attempt struct {
	// Client says whose turn the attempt is.
	Client logins.Client
	// Username is whom the client claims to be. It may be empty until a Verifier knows it: some
	// credentials name their user themselves. It may be user*master, for As user.
	Username string
	// As is whose mail the client wants to use (the authorization identity of RFC 4422 section 2);
	// empty means that of the user who logs in. It, too, may be user*master.
	As string
	// Method is the name of the SASL mechanism, or of another way to log in.
	Method string
	// Scope is what the login is for.
	Scope mailstore.Scope
	// Address is where the client is; empty if it is not known.
	Address string
	// TLS says that the connection is encrypted by this server.
	TLS bool
	// By is what the client has shown, for the authentication log, such as "password". A Verifier sets
	// it, and Credential if that can be revoked for itself.
	By         string
	Credential mailstore.Credential
	// Begun is when the first of what the client has shown was looked at; zero for not yet.
	Begun time.Time

	split  bool   // splitMaster has seen it
	master string // the master user that the client claims to be, if it is said
}

// Login says how somebody logged in.
type Login struct {
	Actor      mailkey.UserID // who did
	By         string         // see Attempt.By
	Credential mailstore.Credential
	Begun      time.Time
}

// A Verifier finds out which user an attempt is of. It may complete the attempt's Username. Errors:
// mailstore.ErrAuthFailed if the client does not prove who it is, mailstore.ErrSuspended. Any other
// error means that the server could not find out. An error that is a *mailstore.AuthError tells the
// authentication log more. A Verifier refuses users who may not log in (mailstore.User.MayLogIn).
type Verifier func(ctx context.Context, a *Attempt) (*mailstore.User, error)

// ErrNotAuthorized reports that the client is who it claims to be, and may not act as the user whom
// it names in Attempt.As, or that there is no such user.
var ErrNotAuthorized = errors.New("not allowed to act for this user")

// ByPassword returns a Verifier for the user's password, or an application password for the scope of
// the attempt.
func (s *Accounts) ByPassword(password string) Verifier {
	return func(ctx context.Context, a *Attempt) (*mailstore.User, error) {
		proof, err := s.store.Authenticate(ctx, a.Username, password, a.Scope)
		if err != nil {
			return nil, err
		}
		a.By, a.Credential = proof.By, proof.Credential
		return proof.User, nil
	}
}

// ByAppPassword is ByPassword for application passwords only. It returns neither a user nor an error
// for a password that is none.
func (s *Accounts) ByAppPassword(password string) Verifier {
	return func(ctx context.Context, a *Attempt) (*mailstore.User, error) {
		proof, err := s.store.AuthenticateApp(ctx, a.Username, password, a.Scope)
		if proof == nil {
			return nil, err
		}
		a.By, a.Credential = proof.By, proof.Credential
		return proof.User, nil
	}
}

// OffersScram reports whether there are verifiers for SCRAM.
func (s *Accounts) OffersScram() bool { return s.store.OffersScram() }

// ScramVerifier returns the verifier of the user of an attempt; for one who has none, a verifier that no
// password fits. It takes user*master apart in the attempt, which is then the one for ByScram and Login:
// the user whose password is checked is the user who logs in.
func (s *Accounts) ScramVerifier(ctx context.Context, a *Attempt) (mailstore.ScramVerifier, error) {
	s.splitMaster(a)
	return s.store.ScramVerifier(ctx, a.Username)
}

// ByScram returns a Verifier for a proof of the password that v verifies. prove checks the proof.
func (s *Accounts) ByScram(v mailstore.ScramVerifier, prove func() error) Verifier {
	return func(ctx context.Context, a *Attempt) (*mailstore.User, error) {
		if err := prove(); err != nil {
			return nil, err
		}
		a.By = mailstore.ByPassword
		user, err := s.store.UserWhoLogsIn(ctx, a.Username)
		if user != nil && user.ID != v.User {
			return nil, mailstore.ErrAuthFailed // the name is another user's since
		}
		return user, err
	}
}

// SameLogin reports whether two names are of the same login, whether or not there is such a user.
func (s *Accounts) SameLogin(a, b string) bool { return s.store.LoginName(a) == s.store.LoginName(b) }

// LoginName returns what another program knows a user by who logs in by this name: the name as it is or,
// if its domain is an alias, the name of the user whom the store finds by it, or would.
func (s *Accounts) LoginName(ctx context.Context, username string) (string, error) {
	name := s.store.LoginName(username)
	if normalized, err := mailstore.NormalizeAddress(username); err != nil || name == normalized {
		return username, nil
	}
	user, err := s.store.UserByLogin(ctx, username)
	switch {
	case errors.Is(err, mailstore.ErrNoSuchUser):
		return name, nil
	case err != nil:
		return "", err
	}
	return user.Username, nil
}

// ByProof returns a Verifier for what is not a password of the store. prove returns the name of the
// user who is proved to be there; its errors are those of a Verifier.
func (s *Accounts) ByProof(prove func(ctx context.Context, a *Attempt) (username string, err error)) Verifier {
	return func(ctx context.Context, a *Attempt) (*mailstore.User, error) {
		username, err := prove(ctx, a)
		if err != nil {
			return nil, err
		}
		a.Username = username
		return s.store.UserWhoLogsIn(ctx, username)
	}
}

// Login returns the account of the user whom verify finds, when it is the client's turn at the gate
// (nil: at once). All logins of all protocols pass here and are recorded. Errors: those of the Verifier
// and of the Gate, and ErrNotAuthorized.
func (s *Accounts) Login(
	ctx context.Context, gate *logins.Gate, a Attempt, verify Verifier,
) (account *Account, err error) {
	if a.Begun.IsZero() {
		a.Begun = time.Now()
	}
	s.splitMaster(&a)
	var user *mailstore.User
	check := func(ctx context.Context) (err error) {
		user, err = verify(ctx, &a)
		return err
	}
	if gate == nil {
		err = check(ctx)
	} else {
		err = gate.Check(ctx, a.Client, s.store.LoginName(a.Username), check)
	}
	if err == nil {
		account, err = s.open(ctx, &a, user)
	}
	if err == nil {
		account.login = Login{user.ID, a.By, a.Credential, a.Begun}
	}
	if err != nil && user == nil {
		err = s.whose(ctx, &a, err)
	}
	s.record(&a, account, user, err)
	return account, err
}

// whose adds to a refusal whose name the client used, for the log of that user: what refuses a password
// or proof that the store does not check, or lets a client wait, does not know. It asks the database
// whether or not there is such a user, so that no client learns it from the time.
func (s *Accounts) whose(ctx context.Context, a *Attempt, err error) error {
	refused := &mailstore.AuthError{Err: err, Result: mailstore.LoginWrongPassword, By: a.By}
	switch {
	case errors.As(err, new(*mailstore.AuthError)):
		return err
	case errors.Is(err, mailstore.ErrAuthFailed):
	case errors.Is(err, mailstore.ErrSuspended):
		refused.Result = mailstore.LoginSuspended
	case errors.Is(err, logins.ErrTooMany):
		refused.Result = mailstore.LoginTooMany
	default:
		return err
	}
	if user, err := s.store.UserByLogin(ctx, a.Username); err == nil {
		refused.User = user.ID
	}
	return refused
}

// splitMaster takes user*master apart, if there is such a master user: in the name of who logs in, or in
// that of whose mail it is. The latter may be the only one that a client has sent. It does so once for
// an attempt.
func (s *Accounts) splitMaster(a *Attempt) {
	if a.split {
		return
	}
	a.split = true
	if as, master, ok := s.cutMaster(a.Username); ok && (a.As == "" || a.As == a.Username) {
		a.Username, a.As, a.master = master, as, master
	} else if as, master, ok := s.cutMaster(a.As); ok && s.SameLogin(a.Username, master) {
		a.As, a.master = as, master
	}
}

// cutMaster cuts user*master.
func (s *Accounts) cutMaster(name string) (as, master string, ok bool) {
	i := strings.LastIndexByte(name, '*')
	if i < 0 || len(s.masters) == 0 {
		return "", "", false
	}
	as, master = name[:i], name[i+1:]
	if normalized, err := mailstore.NormalizeAddress(master); err == nil && s.masters[normalized] {
		return as, master, true
	}
	// By a name in a domain that is an alias. It may be another user's name, who is no master: see open.
	return as, master, s.masters[s.store.LoginName(master)]
}

// open returns the account that the user asks for, whose credentials are right.
func (s *Accounts) open(ctx context.Context, a *Attempt, user *mailstore.User) (*Account, error) {
	switch {
	case a.master != "" && !s.SameLogin(a.master, user.Username):
		return nil, ErrNotAuthorized
	case a.As == "" || a.As == a.Username:
		return s.Of(user), nil
	}
	as, err := s.store.UserByLogin(ctx, a.As)
	switch {
	case err == nil && as.ID == user.ID:
		return s.Of(user), nil
	case !s.masters[user.Username], errors.Is(err, mailstore.ErrNoSuchUser):
		return nil, ErrNotAuthorized
	case err != nil:
		return nil, fmt.Errorf("login as master user: %w", err)
	}
	if err := as.MayLogIn(a.By); err != nil {
		return nil, err
	}
	return s.For(user.Username, as, AllRights), nil
}

// record notes how an attempt ended. account is nil if it failed, user if its credentials are wrong.
func (s *Accounts) record(a *Attempt, account *Account, user *mailstore.User, err error) {
	kind := mailstore.LoginKind{
		Protocol: strings.Join(a.Scope.Names(), ","), Mechanism: a.Method, Remote: a.Address, By: a.By,
		Result: mailstore.LoginOK,
	}
	// Not what cannot be a name: see LoginKind.
	if kind.Username, _ = mailstore.NormalizeAddress(a.Username); user != nil {
		kind.User, kind.Username = user.ID, user.Username
	}
	var refused *mailstore.AuthError
	switch {
	case err == nil:
		kind.User, kind.Username = account.user, account.name
		if account.actor != account.name {
			kind.Actor = account.actor
		}
	case errors.As(err, &refused):
		kind.Result = refused.Result
		if user == nil {
			kind.User, kind.By = refused.User, refused.By
		}
	case errors.Is(err, ErrNotAuthorized):
		kind.Result = mailstore.LoginNotAllowed
	case errors.Is(err, mailstore.ErrSuspended): // the user for whom a master user acts
		kind.Result = mailstore.LoginSuspended
	default: // the client left, or the server is in trouble
		s.counts.WithLabelValues(kind.Protocol, kind.Mechanism, "trouble").Inc()
		return
	}
	s.counts.WithLabelValues(kind.Protocol, kind.Mechanism, string(kind.Result)).Inc()
	s.recorder.Record(kind)
}

// UsedToken notes for the authentication log that a client has shown a user's token of the API.
func (s *Accounts) UsedToken(t *mailstore.Token, address string) {
	kind := mailstore.LoginKind{User: t.User, Protocol: "http", Mechanism: "Bearer", Remote: address,
		By: "token " + t.ID, Result: mailstore.LoginOK}
	s.counts.WithLabelValues(kind.Protocol, kind.Mechanism, string(kind.Result)).Inc()
	s.recorder.Record(kind)
}

// WrongToken notes that a client has shown a token of the API that does not exist, or whose time is
// over.
func (s *Accounts) WrongToken(address string) {
	kind := mailstore.LoginKind{Protocol: "http", Mechanism: "Bearer", Remote: address, By: "token",
		Result: mailstore.LoginWrongPassword}
	s.counts.WithLabelValues(kind.Protocol, kind.Mechanism, string(kind.Result)).Inc()
	s.recorder.Record(kind)
}

// Recorded makes sure that what this instance has recorded of logins can be read.
func (s *Accounts) Recorded(ctx context.Context) error { return s.recorder.Flush(ctx) }

// Register adds the metrics of logins.
func (s *Accounts) Register(r prometheus.Registerer) { r.MustRegister(s.counts) }

func newLoginCounts() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gadwall_logins_total", Help: "Attempts to log in, by protocol, mechanism and result.",
	}, []string{"protocol", "mechanism", "result"})
}

// NewGate returns a Gate for the checks that Login makes.
func NewGate(o logins.Options) *logins.Gate {
	o.Failed = func(err error) bool { return errors.Is(err, mailstore.ErrAuthFailed) }
	return logins.New(o)
}
