package events

import (
	"context"
	"fmt"

	"gadwall/internal/mailkey"
)

// Kind says what an event is about. The values are part of what instances send
// each other: never renumber them.
type Kind uint8

const (
	// Changed: messages, flags or counters of Event.Mailbox changed.
	Changed Kind = 1
	// MailboxList: a mailbox was created, deleted, renamed or (un)subscribed.
	MailboxList Kind = 2
	// New: messages arrived in Event.Mailbox. It implies Changed.
	New Kind = 3
	// Junk: messages were moved or copied into the mailbox with special use
	// \Junk, which is Event.Mailbox. It implies Changed.
	Junk Kind = 4
	// Ham: messages were moved out of the junk mailbox into Event.Mailbox.
	// It implies Changed.
	Ham Kind = 5
	// Resync: events were lost. The subscriber must read again whatever it
	// shows. Event.Mailbox is 0.
	Resync Kind = 6
	// Quota: mail that came in took the user's usage to a level to warn at; see Event.Quota.
	// Event.Mailbox is 0.
	Quota Kind = 7
	// Metadata: annotations of Event.Mailbox changed (RFC 5464), or with mailbox 0 those that the
	// user has on the server.
	Metadata Kind = 8
)

// String names the kind as it appears in logs and on the wire.
func (k Kind) String() string {
	switch k {
	case Changed:
		return "changed"
	case MailboxList:
		return "mailboxes"
	case New:
		return "new"
	case Junk:
		return "junk"
	case Ham:
		return "ham"
	case Resync:
		return "resync"
	case Quota:
		return "quota"
	case Metadata:
		return "metadata"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Event is one wake-up.
type Event struct {
	User    mailkey.UserID
	Mailbox uint32 // number within the user; 0 when the event is about no single mailbox
	// ModSeq is the highest mod-sequence of the mailbox after the change; of MailboxList, the number of
	// the entry in the user's journal that tells of the change. 0 when unknown.
	ModSeq uint64
	Kind   Kind
	// UIDs names the messages of New, Junk and Ham, at most MaxUIDs of them;
	// nil means "find out yourself". A receiver must not modify it.
	UIDs []uint32
	// Quota is set for Quota alone. A receiver must not modify it.
	Quota *QuotaLevel
}

// QuotaLevel says which level of which limit was reached. It is published once, by the transaction
// that crossed the level; after the usage fell below, the next to cross it publishes again. It is
// the one event that tells what cannot be read from the database later: whoever must not miss it
// polls the usage.
type QuotaLevel struct {
	Resource string `json:"resource"` // STORAGE or MESSAGE (RFC 9208 section 5)
	Level    int    `json:"level"`    // percent
	Usage    int64  `json:"usage"`    // octets or messages, after the transaction
	Limit    int64  `json:"limit"`
}

// Bus carries events to subscribers. All methods are safe for concurrent use.
type Bus interface {
	// Publish hands ev to every subscriber of ev.User. It never waits for a
	// subscriber. The error is only ever about other instances (Redis down, ctx
	// ended); subscribers of this process have the event in any case, and the
	// bus has logged and counted the trouble, so callers may ignore it.
	Publish(ctx context.Context, ev Event) error
	// Subscribe starts collecting the user's events. The caller owns the
	// subscription and must close it.
	Subscribe(user mailkey.UserID) *Subscription
	// SubscribeWaking is Subscribe for a receiver that is not in a receive from C when events come:
	// wake is called after each one, and when the subscription ends, from any goroutine. It must
	// not block, and must not call the bus or the subscription.
	SubscribeWaking(user mailkey.UserID, wake func()) *Subscription
	// Watch starts collecting the changes of all users: up to room of them that the receiver has not
	// taken yet, of the events that it wants. want is called while the bus is held: it must not block,
	// and must not call the bus. The caller owns the watch and must close it.
	Watch(room int, want func(Event) bool) *Watch
	// Connected reports whether events of other processes arrive. As long as they do, a subscriber
	// need not poll often: what was lost before, Resync told.
	Connected() bool
	// Close ends the bus and closes the channels of all subscriptions.
	Close() error
}
