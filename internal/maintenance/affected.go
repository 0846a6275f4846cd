package maintenance

import (
	"context"
	"fmt"

	"gadwall/dedupe"
	"gadwall/internal/contents"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
)

// maxSuspects is how many damaged contents and blobs a check remembers. The messages of others are
// not named; a repair of the first and another check name them.
const maxSuspects = 1 << 17

// suspects are damaged contents and blobs whose messages are not known yet.
type suspects struct {
	contents map[contents.ID]bool
	blobs    map[dedupe.Hash]bool
	more     bool // some were left out
}

func newSuspects() *suspects {
	return &suspects{contents: make(map[contents.ID]bool), blobs: make(map[dedupe.Hash]bool)}
}

func (s *suspects) content(id contents.ID) { s.more = !remember(s.contents, id) || s.more }
func (s *suspects) blob(h dedupe.Hash)     { s.more = !remember(s.blobs, h) || s.more }

func remember[K comparable](set map[K]bool, k K) bool {
	if len(set) >= maxSuspects && !set[k] {
		return false
	}
	set[k] = true
	return true
}

// affected names the messages whose contents or blobs are damaged, so that the operator knows what
// to restore for whom. Without damage it reads nothing.
func (c *check) affected(ctx context.Context) error {
	s := c.suspects
	if len(s.blobs) > 0 {
		if err := c.expect(ctx, c.contents.Collection()); err != nil {
			return err
		}
		var n int64
		err := c.contents.BlobHolders(ctx, func(id contents.ID, blob dedupe.Hash) error {
			if s.blobs[blob] {
				s.content(id)
			}
			n++
			return c.now(ctx, n)
		})
		if err != nil {
			return err
		}
	}
	if len(s.contents) == 0 {
		return nil
	}
	if err := c.expect(ctx, c.mail.MessageCollection()); err != nil {
		return err
	}
	var n int64
	err := c.mail.ContentHolders(ctx, func(key mailkey.Message, id contents.ID) error {
		if s.contents[id] {
			c.found(ctx, Finding{Kind: "affected message", User: key.User().String(),
				Mailbox: key.Mailbox().String(), UID: key.UID(), Content: id.String()})
		}
		n++
		return c.now(ctx, n)
	})
	if err == nil && s.more {
		c.found(ctx, Finding{
			Kind: "affected messages",
			Detail: fmt.Sprintf("more than %d contents or blobs are damaged: not all messages are named",
				maxSuspects),
		})
	}
	return err
}

// affectedBatch is after how many documents the check tells how far it is, and may rest.
const affectedBatch = 1000

func (c *check) now(ctx context.Context, n int64) error {
	if n%affectedBatch != 0 {
		return nil
	}
	return c.done(ctx, n)
}

// names finds the names of users and the paths of mailboxes, which say more to an operator than
// keys.
type names struct {
	mail    *mailstore.Store
	user    mailkey.UserID
	name    string
	mailbox mailkey.Mailbox
	path    string
}

// fill adds names to a finding, as far as they can be had.
func (n *names) fill(ctx context.Context, f *Finding) {
	if id, err := mailkey.ParseUserID(f.User); err == nil {
		if id != n.user {
			n.user, n.name = id, ""
			if user, err := n.mail.UserByID(ctx, id); err == nil {
				n.name = user.Username
			}
		}
		f.Username = n.name
	}
	if key, err := mailkey.ParseMailbox(f.Mailbox); err == nil {
		if key != n.mailbox {
			n.mailbox, n.path = key, ""
			if box, err := n.mail.MailboxByKey(ctx, key); err == nil {
				n.path = box.Path
			}
		}
		f.Path = n.path
	}
}
