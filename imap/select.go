package imap

import (
	"context"
	"slices"
	"time"

	"github.com/emersion/go-imap/v2"

	"gadwall/blobstore"
	"gadwall/imap/wire"
	"gadwall/internal/mailstore"
)

// systemFlags in the order in which FLAGS lists them.
var systemFlags = []string{`\Answered`, `\Flagged`, `\Deleted`, `\Seen`, `\Draft`}

// selectHandler answers SELECT and EXAMINE (RFC 3501 sections 6.3.1 and
// 6.3.2) with the parameter CONDSTORE (RFC 7162 section 3.1.8).
func selectHandler(readOnly bool) handler {
	return func(c *conn, ctx context.Context, _ string, dec *wire.Decoder) error {
		name, err := mailboxArgument(dec)
		if err != nil {
			return err
		}
		condstore := false
		if dec.Accept(' ') {
			err := dec.List(func() error {
				param, err := dec.Keyword()
				if err == nil && param != "CONDSTORE" {
					err = wire.Errorf("unknown parameter %s", param)
				}
				condstore = true
				return err
			})
			if err != nil {
				return err
			}
		}
		if err := dec.CRLF(); err != nil {
			return err
		}
		if c.sel != nil {
			// Also when the new mailbox cannot be opened (RFC 3501 section 6.3.1).
			c.deselect()
			c.enc.Untagged().Raw("OK [CLOSED] Previous mailbox is now closed").CRLF()
		}
		if condstore {
			c.enableCondstore()
		}
		return c.open(ctx, name, readOnly)
	}
}

// open selects a mailbox. The view is that of the mailbox document's
// mod-sequence: messages which come later are told by the first sync.
func (c *conn) open(ctx context.Context, name string, readOnly bool) error {
	c.subscribe() // before reading, so that nothing falls in between
	box, err := c.srv.store.MailboxByPath(ctx, c.user.ID, name)
	if err != nil {
		return err
	}
	sel := &selected{box: box.Key, readOnly: readOnly, synced: time.Now()}
	if sel.view.uids, err = c.knownUIDs(ctx, box); err != nil {
		return err
	}
	sel.view.uids = fitted(sel.view.uids)
	sel.view.next, sel.view.modseq = box.UIDNext, box.HighestModSeq
	uid, err := c.srv.store.FirstUnseen(ctx, box.Key)
	if err != nil {
		return err
	}
	unseen, known := sel.view.Seq(uid)
	c.sel, c.state = sel, imap.ConnStateSelected
	c.dropCache()

	c.announceFlags(box.Keywords)
	c.enc.Untagged().Number(sel.view.Len()).Raw(" EXISTS\r\n* 0 RECENT\r\n")
	if known {
		c.enc.Untagged().Raw("OK [UNSEEN ").Number(unseen).Raw("] First unseen message\r\n")
	}
	c.enc.Untagged().Raw("OK [UIDVALIDITY ").Number(box.UIDValidity).Raw("] UIDs are valid\r\n")
	c.enc.Untagged().Raw("OK [UIDNEXT ").Number(box.UIDNext).Raw("] Next UID\r\n")
	c.enc.Untagged().Raw("OK [HIGHESTMODSEQ ").Number64(box.HighestModSeq).Raw("] Highest\r\n")
	if readOnly {
		c.ok("READ-ONLY", "EXAMINE completed")
	} else {
		c.ok("READ-WRITE", "SELECT completed")
	}
	return nil
}

// knownUIDs reads the UIDs of the messages that the mailbox document counts.
func (c *conn) knownUIDs(ctx context.Context, box *mailstore.Mailbox) ([]uint32, error) {
	if box.UIDNext <= 1 {
		return nil, nil
	}
	return c.srv.store.UIDs(ctx, box.Key, mailstore.Query{
		UIDs: []mailstore.UIDRange{{First: 1, Last: box.UIDNext - 1}},
	})
}

// announceFlags writes FLAGS and PERMANENTFLAGS and remembers the keywords.
func (c *conn) announceFlags(keywords []string) {
	sel := c.sel
	sel.keywords = keywords[:min(len(keywords), maxAnnounced)]
	flags := append(slices.Clone(systemFlags), sel.keywords...)
	c.enc.Untagged().Raw("FLAGS ").Flags(flags).CRLF()
	permanent := append(flags, `\*`)
	if sel.readOnly {
		permanent = nil
	}
	c.enc.Untagged().Raw("OK [PERMANENTFLAGS ").Flags(permanent).Raw("] Flags permitted").CRLF()
}

// announceKeywords tells of keywords that the client has not seen yet, before
// a response names them (RFC 3501 section 7.2.6).
func (c *conn) announceKeywords(keywords []string) {
	known := c.sel.keywords
	for _, k := range keywords {
		if len(known) < maxAnnounced && mailstore.FindKeyword(known, k) < 0 {
			known = append(slices.Clip(known), k)
		}
	}
	if len(known) > len(c.sel.keywords) {
		c.announceFlags(known)
	}
}

// fitted returns uids without much unused memory behind it.
func fitted(uids []uint32) []uint32 {
	if cap(uids) > len(uids)+len(uids)/8+64 {
		return slices.Clone(uids)
	}
	return uids
}

// dropCache gives the memory of decoded frames back; what is read later is
// kept in a new cache.
func (c *conn) dropCache() {
	if c.sel != nil {
		c.contents = c.srv.opts.Contents.WithCache(blobstore.NewFrameCache(blobstore.DefaultCacheBytes))
	}
}

// deselect leaves the selected state.
func (c *conn) deselect() {
	c.sel, c.state = nil, imap.ConnStateAuthenticated
	c.contents = c.srv.opts.Contents
}

// handleUnselect answers UNSELECT (RFC 3691).
func (c *conn) handleUnselect(_ context.Context, _ string, dec *wire.Decoder) error {
	if err := noArguments(dec); err != nil {
		return err
	}
	c.deselect()
	return nil
}

// handleClose answers CLOSE (RFC 3501 section 6.4.2): an expunge without
// EXPUNGE responses, unless the mailbox is open read-only.
func (c *conn) handleClose(ctx context.Context, _ string, dec *wire.Decoder) error {
	if err := noArguments(dec); err != nil {
		return err
	}
	sel := c.sel
	c.deselect()
	if sel.readOnly {
		return nil
	}
	_, _, err := c.srv.store.Expunge(ctx, sel.box, nil)
	return err
}
