package submission

import (
	"context"
	"errors"
	"log/slog"

	"gadwall/internal/account"
	"gadwall/internal/mailstore"
	"gadwall/internal/smarthost"
	"gadwall/internal/sparselog"
)

// Senders says which addresses a user may send as.
type Senders uint8

const (
	// OwnSenders are the user name, aliases, and both with a +detail.
	OwnSenders Senders = iota
	// CatchAllSenders are also those of a domain whose other addresses lead to the user.
	CatchAllSenders
	// AnySender is every address.
	AnySender
)

// Options of a Service. Smarthost and Hostname are required.
type Options struct {
	Smarthost *smarthost.Host
	Hostname  string
	// Senders are those that MAIL may name, and From those that the From field may have.
	Senders, From Senders
	// MasterSenders are likewise for a master user who acts for another user.
	MasterSenders Senders
	// Limit is what a user without own limits may send within an hour; 0 is no limit.
	Limit mailstore.Sending
	// MaxMessageSize bounds a message, in octets.
	MaxMessageSize int64
	// NoCopy leaves it to the clients to save what they send.
	NoCopy  bool
	Metrics *Metrics     // may be nil
	Logger  *slog.Logger // slog.Default() if nil
}

// Service sends mail. It is safe for concurrent use.
type Service struct {
	opts   Options
	log    *slog.Logger
	rare   *sparselog.Logger
	copies copies
}

// New returns a Service, which its owner closes.
func New(o Options) (*Service, error) {
	if o.Smarthost == nil || o.Hostname == "" || o.MaxMessageSize <= 0 {
		return nil, errors.New("submission: Smarthost, Hostname and MaxMessageSize are required")
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	s := &Service{opts: o, log: o.Logger, rare: sparselog.New(sparselog.Interval)}
	s.copies.init(s)
	return s, nil
}

// Offers reports whether the smarthost has an extension of SMTP.
func (s *Service) Offers(extension string) bool { return s.opts.Smarthost.Offers(extension) }

// Hostname is what this server calls itself.
func (s *Service) Hostname() string { return s.opts.Hostname }

// MaxMessageSize is the largest message that is taken.
func (s *Service) MaxMessageSize() int64 { return s.opts.MaxMessageSize }

// Close waits for the copies that are not saved yet, at most until ctx ends. No message is under way
// then.
func (s *Service) Close(ctx context.Context) {
	s.copies.close(ctx)
	s.opts.Smarthost.Close()
	s.rare.Close()
}

// mayUse reports whether the user may send as an address, by the rule.
func (s *Service) mayUse(ctx context.Context, who *account.Account, rule Senders, address string) (bool, error) {
	if who.Actor() != who.Username() {
		rule = max(rule, s.opts.MasterSenders)
	}
	if rule == AnySender {
		return true, nil
	}
	owning, err := who.Owns(ctx, address)
	return owning == account.Own || owning == account.CatchAll && rule == CatchAllSenders, err
}
