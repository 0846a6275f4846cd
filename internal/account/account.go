package account

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gadwall/internal/database"
	"gadwall/internal/events"
	"gadwall/internal/feed"
	"gadwall/internal/logins"
	"gadwall/internal/mailcolumns"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/internal/search"
	"gadwall/quota"
)

// Options of Accounts. Store and Bus are required.
type Options struct {
	Store *mailstore.Store
	Bus   events.Bus
	// ColumnBytes bounds what is kept in memory of mailboxes (package mailcolumns); 0 means
	// mailcolumns.DefaultMaxBytes, less than 0 nothing.
	ColumnBytes int64
	// Index is the text index; without it, searches read all texts.
	Index search.Index
	// Recorder writes the authentication log; nil writes none.
	Recorder *logins.Recorder
	// Masters are the names of users who may act for every user.
	Masters []string
	Logger  *slog.Logger // slog.Default if nil
	// NoSharing hides the mailboxes of other users from everybody. PublicUser is the name of the user
	// whose mailboxes are the public ones, if there are any. NoAnyone keeps users from sharing with
	// all users; PublicUser always may.
	NoSharing  bool
	PublicUser string
	NoAnyone   bool
	// GroupsKept is for how long a user who was in no group counts as one who is in none; 0 means 2
	// seconds.
	GroupsKept time.Duration
	// SeenApart gives each user \Seen of the user's own in the mailboxes of others.
	SeenApart bool
}

// Accounts gives out the accounts of a store. It is safe for concurrent use.
type Accounts struct {
	store *mailstore.Store
	bus   events.Bus
	log   *slog.Logger

	searcher *search.Searcher
	columns  *mailcolumns.Cache
	orders   *orders

	recorder *logins.Recorder
	masters  map[string]bool
	counts   *prometheus.CounterVec // of logins
	feed     *feed.Feed

	sharing    bool
	publicUser string // normalised; empty if there is none
	noAnyone   bool
	seenApart  bool
	groupsKept time.Duration
}

// New returns Accounts. The caller keeps the Store and the Bus open for as long as any Account is
// used.
func New(o Options) (*Accounts, error) {
	if o.Store == nil || o.Bus == nil {
		return nil, errors.New("account: Store and Bus are required")
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	masters := make(map[string]bool)
	for _, m := range o.Masters {
		name, err := mailstore.NormalizeAddress(m)
		if err != nil {
			return nil, fmt.Errorf("account: master user: %w", err)
		}
		masters[name] = true
	}
	public := ""
	if o.PublicUser != "" {
		var err error
		if public, err = mailstore.NormalizeAddress(o.PublicUser); err != nil {
			return nil, fmt.Errorf("account: public user: %w", err)
		}
	}
	return &Accounts{
		sharing: !o.NoSharing, publicUser: public, noAnyone: o.NoAnyone, seenApart: o.SeenApart,
		groupsKept: cmp.Or(o.GroupsKept, groupsKept),
		store:      o.Store, bus: o.Bus, log: o.Logger,
		searcher: search.NewSearcher(o.Store, o.Index, o.Logger),
		columns:  mailcolumns.New(o.Store, o.ColumnBytes),
		orders:   newOrders(),
		recorder: o.Recorder, masters: masters, counts: newLoginCounts(),
		feed: feed.New(feed.Options{Store: o.Store, Bus: o.Bus, Logger: o.Logger}),
	}, nil
}

// ColumnStats counts what the columns of mailboxes were used for.
func (s *Accounts) ColumnStats() mailcolumns.Stats { return s.columns.Stats() }

// SearchStats counts what searches for texts did.
func (s *Accounts) SearchStats() search.Stats { return s.searcher.Stats() }

// Of returns the account of a user who acts for himself.
func (s *Accounts) Of(user *mailstore.User) *Account {
	return s.For(user.Username, user, AllRights)
}

// For returns the account by which the actor uses the mail of user with these rights.
func (s *Accounts) For(actor string, user *mailstore.User, rights Rights) *Account {
	log := s.log.With("user", user.Username)
	if actor != user.Username {
		log = log.With("actor", actor)
	}
	a := &Account{
		shared: s, store: s.store, actor: actor, user: user.ID,
		name: user.Username, rights: rights, clock: new(database.Clock), log: log,
		sending: user.Sending,
	}
	a.identities.Store(identitiesOf(user))
	return a
}

// Account is what an actor may do with the mail of one user. It is safe for concurrent use.
type Account struct {
	shared *Accounts
	store  *mailstore.Store
	log    *slog.Logger
	actor  string
	user   mailkey.UserID
	name   string // of the user
	login  Login  // the zero value without one
	rights Rights // on every mailbox of the user; but see visitor
	// sending are the user's own limits of sending, as they were at the login.
	sending mailstore.Sending
	clock   *database.Clock

	// identities are those that the user has in the access control lists of others.
	identities atomic.Pointer[identities]

	// visitor is the account of the actor, if the mail is another user's: then the access control
	// list of each mailbox tells the rights, and prefix is what the actor's names for them begin with.
	visitor *Account
	prefix  string
}

// chain returns a context whose calls see what earlier calls of the account wrote and saw.
func (a *Account) chain(ctx context.Context) context.Context {
	return database.WithClock(ctx, a.clock)
}

// Actor is the name of the user who is logged in.
func (a *Account) Actor() string { return a.actor }

// Login describes the login that made the account.
func (a *Account) Login() Login { return a.login }

// UserID names the user whose mail it is.
func (a *Account) UserID() mailkey.UserID { return a.user }

// Username is the name of the user whose mail it is.
func (a *Account) Username() string { return a.name }

// Events subscribes to what happens to the user's mail. The caller closes the subscription.
func (a *Account) Events() *events.Subscription { return a.shared.bus.Subscribe(a.user) }

// HearsOthers reports whether changes by other instances are told by events now. Otherwise they are
// found by looking.
func (a *Account) HearsOthers() bool { return a.shared.bus.Connected() }

// MaySetLimits reports whether the actor may set the user's limits: master users may.
func (a *Account) MaySetLimits() bool { return a.shared.masters[a.actor] }

// SetLimits gives the user these own limits. Errors: ErrNoRight, quota.ErrInvalidLimit.
func (a *Account) SetLimits(ctx context.Context, l quota.Limits) error {
	if !a.MaySetLimits() {
		return ErrNoRight
	}
	if err := a.store.SetLimits(a.chain(ctx), a.user, l); err != nil {
		return err
	}
	a.log.Info("account: limits set", "bytes", l.Bytes, "messages", l.Messages)
	return nil
}

// Quota returns the limits in force for the user, and the usage.
func (a *Account) Quota(ctx context.Context) (quota.Limits, quota.Usage, error) {
	return a.store.Quota(a.chain(ctx), a.user)
}
