package imap

import (
	"context"
	"fmt"

	"github.com/emersion/go-imap/v2"

	"gadwall/imap/wire"
	"gadwall/internal/mailstore"
)

// copyHandler answers COPY, MOVE and their UID forms (RFC 3501 section 6.4.7,
// RFC 6851, RFC 4315 for COPYUID).
func copyHandler(uid, move bool) handler {
	return func(c *conn, ctx context.Context, _ string, dec *wire.Decoder) error {
		if err := dec.SP(); err != nil {
			return err
		}
		set, err := dec.NumSet(uid)
		if err != nil {
			return err
		}
		name, err := onlyMailbox(dec)
		if err != nil {
			return err
		}
		ranges, err := c.sel.view.Resolve(set)
		if err != nil {
			return err
		}
		if move && c.sel.readOnly {
			return errReadOnly
		}
		return c.copy(ctx, ranges, name, uid, move)
	}
}

func (c *conn) copy(ctx context.Context, ranges []mailstore.UIDRange, name string, uid, move bool) error {
	dest, err := c.destination(ctx, name)
	if err != nil {
		return err
	}
	if len(ranges) == 0 {
		c.ok("", "No messages found")
		return nil
	}
	if !uid {
		// A sequence number of a message that others expunged cannot be
		// copied, and then nothing is (RFC 2180 section 4.4.1).
		if err := c.allExist(ctx, ranges); err != nil {
			return err
		}
	}
	if dest.Key == c.sel.box {
		c.sel.stale = true // new messages
	}
	if move {
		return c.move(ctx, ranges, dest)
	}
	result, err := c.srv.store.Copy(ctx, c.sel.box, ranges, dest.Key)
	if err != nil {
		return tryCreate(err)
	}
	if len(result.Source) == 0 {
		c.ok("", "No messages found")
		return nil
	}
	c.ok(copyUID(result), "COPY completed")
	return nil
}

// move moves messages of the selected mailbox.
func (c *conn) move(ctx context.Context, ranges []mailstore.UIDRange, dest *mailstore.Mailbox) error {
	result, err := c.srv.store.Move(ctx, c.sel.box, ranges, dest.Key)
	// On error some may have been moved.
	if result != nil && len(result.Source) > 0 {
		// COPYUID comes before the EXPUNGE responses, in an untagged OK
		// (RFC 6851 section 4.3).
		c.status("*", imap.StatusResponseTypeOK, copyUID(result), "Moved")
		c.removed(result.Source, result.SourceModSeq)
	} else if err == nil {
		c.ok("", "No messages found")
	}
	return tryCreate(err)
}

// copyUID is the response code of RFC 4315 section 3.
func copyUID(r *mailstore.CopyResult) string {
	return fmt.Sprintf("COPYUID %d %s %s", r.UIDValidity, wire.FormatUIDs(r.Source), wire.FormatUIDs(r.Dest))
}

// allExist fails when a message of ranges that the client knows is gone.
func (c *conn) allExist(ctx context.Context, ranges []mailstore.UIDRange) error {
	uids, err := c.srv.store.UIDs(ctx, c.sel.box, mailstore.Query{UIDs: ranges})
	if err != nil {
		return err
	}
	if len(uids) < c.sel.view.Count(ranges) {
		c.sel.stale = true
		return refuse(codeExpungeIssued, "Some messages were expunged by another session")
	}
	return nil
}

// removed tells the client of messages which this session itself expunged, in a
// transaction with that mod-sequence.
func (c *conn) removed(uids []uint32, modseq uint64) {
	v := &c.sel.view
	if len(uids) == 0 {
		return
	}
	if c.sel.stale || modseq != v.modseq+1 {
		// There is more to tell, by others or of several transactions; sync
		// tells all in order.
		c.sel.stale = true
		return
	}
	v.addGone(uids)
	c.tellGone(syncAll)
	v.told(modseq)
}

// expungeHandler answers EXPUNGE and UID EXPUNGE (RFC 3501 section 6.4.3,
// RFC 4315 section 2.1).
func expungeHandler(uid bool) handler {
	return func(c *conn, ctx context.Context, _ string, dec *wire.Decoder) error {
		var ranges []mailstore.UIDRange // nil: all
		if uid {
			if err := dec.SP(); err != nil {
				return err
			}
			set, err := dec.UIDSet()
			if err != nil {
				return err
			}
			if ranges, err = c.sel.view.Resolve(set); err != nil {
				return err
			}
		}
		if err := dec.CRLF(); err != nil {
			return err
		}
		if c.sel.readOnly {
			return errReadOnly
		}
		if uid && len(ranges) == 0 {
			return nil
		}
		// Many take several transactions. The client is told of each at once: it sees that something
		// happens, and nobody has to remember them all.
		return c.srv.store.ExpungeEach(ctx, c.sel.box, ranges, func(uids []uint32, modseq uint64) error {
			c.removed(uids, modseq)
			if c.sel.stale { // others changed something in between
				if err := c.sync(ctx, syncAll); err != nil {
					return err
				}
			}
			return c.enc.Flush()
		})
	}
}
