package imap

import (
	"context"
	"slices"

	"gadwall/imap/wire"
	"gadwall/internal/mailstore"
)

// handleStatus answers STATUS (RFC 3501 section 6.3.10, RFC 7162, RFC 7889,
// RFC 8438, RFC 8474 section 4.3).
func (c *conn) handleStatus(ctx context.Context, cmd *command) error {
	name, err := mailboxArgument(cmd.args)
	if err != nil {
		return err
	}
	if err := cmd.args.SP(); err != nil {
		return err
	}
	items, err := statusItems(cmd.args)
	if err != nil {
		return err
	}
	if err := cmd.args.CRLF(); err != nil {
		return err
	}
	box, err := c.account.Status(ctx, name)
	if err != nil {
		return err
	}
	c.writeStatus(name, box, items)
	return nil
}

// statusItems reads a list of status items.
func statusItems(dec *wire.Decoder) (items []string, err error) {
	err = dec.List(func() error {
		item, err := dec.Keyword()
		if err != nil {
			return err
		}
		if _, ok := statusValues[item]; !ok && item != statusMailboxID {
			return wire.Errorf("unknown status item %s", item)
		}
		if !slices.Contains(items, item) {
			items = append(items, item)
		}
		return nil
	})
	if err == nil && len(items) == 0 {
		return nil, wire.Errorf("no status items")
	}
	return items, err
}

// statusMailboxID is the item whose value is no number (RFC 8474 section 4.3).
const statusMailboxID = "MAILBOXID"

// statusValues gives the value of each other item.
var statusValues = map[string]func(c *conn, box *mailstore.Mailbox) uint64{
	"MESSAGES":    func(_ *conn, b *mailstore.Mailbox) uint64 { return counter(b.Messages) },
	"RECENT":      func(*conn, *mailstore.Mailbox) uint64 { return 0 },
	"UIDNEXT":     func(_ *conn, b *mailstore.Mailbox) uint64 { return uint64(b.UIDNext) },
	"UIDVALIDITY": func(_ *conn, b *mailstore.Mailbox) uint64 { return uint64(b.UIDValidity) },
	"UNSEEN":      func(_ *conn, b *mailstore.Mailbox) uint64 { return counter(b.Unseen) },
	"DELETED":     func(_ *conn, b *mailstore.Mailbox) uint64 { return counter(b.Deleted) },
	"SIZE":        func(_ *conn, b *mailstore.Mailbox) uint64 { return counter(b.Size) },
	// RFC 9208; in octets.
	"DELETED-STORAGE": func(_ *conn, b *mailstore.Mailbox) uint64 { return counter(b.DeletedSize) },
	"HIGHESTMODSEQ":   func(_ *conn, b *mailstore.Mailbox) uint64 { return b.HighestModSeq },
	"APPENDLIMIT":     func(c *conn, _ *mailstore.Mailbox) uint64 { return uint64(c.srv.opts.MaxMessageSize) },
}

// counter keeps a counter that went wrong from becoming something that is not
// a number of IMAP.
func counter(n int64) uint64 { return uint64(max(n, 0)) }

func (c *conn) writeStatus(name string, box *mailstore.Mailbox, items []string) {
	if slices.Contains(items, "HIGHESTMODSEQ") {
		c.enable(condstore) // RFC 7162 section 3.1
	}
	c.writeStatusItems(name, box, items)
}

// writeStatusItems is writeStatus for items that the client did not name.
func (c *conn) writeStatusItems(name string, box *mailstore.Mailbox, items []string) {
	c.enc.Untagged().Raw("STATUS ").Mailbox(name).SP().List(len(items), func(i int) {
		if items[i] == statusMailboxID {
			c.enc.Raw("MAILBOXID (").Raw(c.mailboxID(box)).Byte(')')
			return
		}
		c.enc.Raw(items[i]).SP().Number64(statusValues[items[i]](c, box))
	}).CRLF()
}
