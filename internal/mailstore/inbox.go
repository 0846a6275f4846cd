package mailstore

import (
	"context"
	"errors"
	"sync"

	"gadwall/internal/mailkey"
)

// errOtherPath: the mailbox does not have, or no longer has, the path that a change names.
var errOtherPath = errors.New("mailbox has another path")

// inboxes remembers which mailbox is INBOX. It may be another one by now, since RENAME gives the
// mailbox to another path, perhaps in another process. So the transaction of a delivery decides.
type inboxes struct {
	mu   sync.Mutex
	list map[mailkey.UserID]mailkey.Mailbox // at most maxHeads
}

func (i *inboxes) get(user mailkey.UserID) (mailkey.Mailbox, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	key, ok := i.list[user]
	return key, ok
}

// set remembers an INBOX. If there are too many, any other is forgotten.
func (i *inboxes) set(key mailkey.Mailbox) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.list == nil {
		i.list = make(map[mailkey.UserID]mailkey.Mailbox)
	}
	if _, known := i.list[key.User()]; !known && len(i.list) >= maxHeads {
		for other := range i.list {
			delete(i.list, other)
			break
		}
	}
	i.list[key.User()] = key
}

// Inbox returns the key of a user's INBOX for a Delivery with Inbox set. It may be that of a moment
// ago. The error is ErrNoSuchMailbox.
func (s *Store) Inbox(ctx context.Context, user mailkey.UserID) (mailkey.Mailbox, error) {
	if key, ok := s.inboxes.get(user); ok {
		return key, nil
	}
	return s.findInbox(ctx, user)
}

// findInbox reads which mailbox is INBOX.
func (s *Store) findInbox(ctx context.Context, user mailkey.UserID) (mailkey.Mailbox, error) {
	box, err := s.findMailbox(ctx, atPath(user, Inbox))
	if err != nil {
		return mailkey.Mailbox{}, err
	}
	s.inboxes.set(box.Key)
	return box.Key, nil
}

// changeInbox is changeMailbox for INBOX, which is expected to have this key, and returns the key
// that it has. Errors: ErrNoSuchMailbox, ErrUIDsExhausted.
func (s *Store) changeInbox(ctx context.Context, key mailkey.Mailbox, c boxChange) (mailkey.Mailbox, *boxState, error) {
	c.path = Inbox
	state, err := s.changeMailbox(ctx, key, c)
	if errors.Is(err, errOtherPath) {
		if key, err = s.findInbox(ctx, key.User()); err == nil {
			state, err = s.changeMailbox(ctx, key, c)
		}
	}
	return key, state, err
}
