package quota

import (
	"errors"
	"fmt"
)

// These values of a limit are no amounts.
const (
	// Default is an own limit that leaves the choice to the policy.
	Default int64 = 0
	// Unlimited is a limit that everything fits into.
	Unlimited int64 = -1
)

// MaxLimit is the greatest amount a limit can be.
const MaxLimit = boundless - 1

// The free amount starts at boundless where the own limit is no amount. Sums of message sizes stay
// far below it.
const boundless int64 = 1 << 60

// ErrInvalidLimit reports an amount below 1 or above MaxLimit that is neither Default nor
// Unlimited.
var ErrInvalidLimit = errors.New("quota: limit out of range")

// Limits of a user: amounts, Unlimited or Default.
type Limits struct {
	// octets of messages (STORAGE, which RFC 9208 section 5.1 counts in units of 1024)
	Bytes    int64
	Messages int64 // RFC 9208 section 5.2
}

// Check returns an error if these cannot be a user's own limits.
func (l Limits) Check() error {
	for _, limit := range []int64{l.Bytes, l.Messages} {
		if limit < Unlimited || limit > MaxLimit {
			return fmt.Errorf("%w: %d bytes, %d messages", ErrInvalidLimit, l.Bytes, l.Messages)
		}
	}
	return nil
}

// Or returns the limits with those of d in place of Default.
func (l Limits) Or(d Limits) Limits {
	if l.Bytes == Default {
		l.Bytes = d.Bytes
	}
	if l.Messages == Default {
		l.Messages = d.Messages
	}
	return l
}

// Fit reports whether more fits beside stored. A limit of Default lets everything fit, and what does
// not grow fits.
func (l Limits) Fit(stored, more Usage) bool {
	return fits(l.Bytes, stored.Bytes, more.Bytes) && fits(l.Messages, stored.Messages, more.Messages)
}

func fits(limit, stored, more int64) bool { return limit <= 0 || more <= 0 || more <= limit-stored }

// Usage is an amount of mail.
type Usage struct {
	Bytes    int64
	Messages int64
}

// Add returns the sum of both.
func (u Usage) Add(v Usage) Usage { return Usage{u.Bytes + v.Bytes, u.Messages + v.Messages} }

// Sub returns u less v.
func (u Usage) Sub(v Usage) Usage { return Usage{u.Bytes - v.Bytes, u.Messages - v.Messages} }

// Policy is the configuration of a process.
type Policy struct {
	// Limits of users whose own limits are Default; Default here is no limit.
	Limits Limits
	// Levels to warn at.
	Levels Levels
}

// Account is limits and usage of a user.
type Account struct {
	Own    Limits // as they were set
	Limits Limits // in force: amounts or Unlimited
	Usage  Usage
}

// Account returns limits and usage by a user's document and this policy.
func (p Policy) Account(s State) Account {
	own := Limits{s.LimitBytes, s.LimitMessages}
	return Account{
		Own:    own,
		Limits: own.Or(p.Limits).Or(Limits{Unlimited, Unlimited}),
		Usage:  Usage{base(own.Bytes) - s.FreeBytes, base(own.Messages) - s.FreeMessages},
	}
}

// Fits reports whether a charge of u would succeed.
func (a Account) Fits(u Usage) bool { return a.Limits.Fit(a.Usage, u) }

// State is the quota field of a user document.
type State struct {
	LimitBytes    int64 `bson:"bytes"`
	LimitMessages int64 `bson:"messages"`
	FreeBytes     int64 `bson:"freeBytes"`
	FreeMessages  int64 `bson:"freeMessages"`
}

// NewState is the quota field of a user with these own limits who has no mail.
func NewState(own Limits) State {
	return State{
		LimitBytes: own.Bytes, LimitMessages: own.Messages,
		FreeBytes: base(own.Bytes), FreeMessages: base(own.Messages),
	}
}

// base returns the amount at which the free amount starts.
func base(own int64) int64 {
	if own <= 0 {
		return boundless
	}
	return own
}
