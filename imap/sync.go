package imap

import (
	"context"
	"slices"
	"time"

	"gadwall/internal/events"
	"gadwall/internal/mailstore"
	"gadwall/internal/uidset"
)

// subscribe begins to collect the user's events.
func (c *conn) subscribe() {
	if c.sub == nil {
		c.sub = c.account.Events()
	}
}

// sync tells the client what changed in the selected mailbox. It asks the
// database only when there is reason to: an event, a view that was not compared
// for long, or mode.
func (c *conn) sync(ctx context.Context, mode syncMode) error {
	if mode == syncNone {
		return nil
	}
	sel := c.sel
	changed := c.takeEvents()
	switch {
	case changed, sel.stale:
	case mode == syncForced, time.Since(sel.synced) >= c.srv.opts.PollInterval:
		box, err := sel.box.Status(ctx)
		if err != nil {
			return err
		}
		if box.HighestModSeq == sel.view.modseq {
			sel.synced = time.Now()
			c.tellGone(mode)
			return nil
		}
	default:
		c.tellGone(mode)
		return nil
	}
	sel.stale = true // until it worked
	changes, err := sel.box.Changes(ctx, sel.view.modseq)
	if err != nil {
		return err
	}
	if err := c.apply(ctx, changes, mode); err != nil {
		return err
	}
	sel.stale, sel.synced = false, time.Now()
	return c.enc.Err()
}

// takeEvents reads the events that wait, without blocking, and reports whether
// one of them is about changes the view does not have.
func (c *conn) takeEvents() bool {
	if c.sub == nil {
		return false
	}
	changed := false
	for {
		select {
		case ev, ok := <-c.sub.C():
			if !ok {
				c.sub = nil // the bus was closed; polling remains
				return changed
			}
			changed = changed || c.concerns(ev)
		default:
			return changed
		}
	}
}

// concerns reports whether an event is about changes the view does not have.
func (c *conn) concerns(ev events.Event) bool {
	if c.sel == nil {
		return false
	}
	if ev.Kind == events.Resync {
		return true
	}
	return ev.Mailbox == c.sel.box.Key().Number() && (ev.ModSeq == 0 || ev.ModSeq > c.sel.view.modseq)
}

// tellGone writes EXPUNGE for the messages that are known to be gone.
func (c *conn) tellGone(mode syncMode) {
	v := &c.sel.view
	if mode == syncNoExpunge || len(v.gone) == 0 {
		return
	}
	c.expunged(v.gone)
	v.gone = nil
}

// expunged writes EXPUNGE for UIDs (ascending) and takes them out of the view.
// The responses come from the highest number down, so that none changes the
// meaning of the next.
func (c *conn) expunged(uids []uint32) {
	v := &c.sel.view
	for i := len(uids) - 1; i >= 0; i-- {
		if seq, ok := v.Seq(uids[i]); ok {
			c.enc.Untagged().Number(seq).Raw(" EXPUNGE\r\n")
		}
	}
	v.remove(uids)
}

// apply writes changes and brings the view to their mod-sequence.
func (c *conn) apply(ctx context.Context, ch *mailstore.Changes, mode syncMode) error {
	v := &c.sel.view
	vanished := ch.Vanished
	if !ch.Complete {
		// The journal does not reach back so far: compare with what is there.
		present, err := knownUIDs(ctx, c.sel.box, ch.Mailbox)
		if err != nil {
			return err
		}
		vanished = slices.Collect(
			uidset.FromAscending(v.uids).Subtract(uidset.FromAscending(present)).UIDs())
	}
	v.addGone(vanished)
	c.tellGone(mode)

	before := v.Len()
	if err := c.addNew(ctx, ch); err != nil {
		return err
	}
	if v.Len() != before {
		c.enc.Untagged().Number(v.Len()).Raw(" EXISTS\r\n")
	}
	for _, f := range ch.Changed {
		if seq, ok := v.Seq(f.UID); ok && seq <= before && !v.isOwn(f.ModSeq) && !v.Gone(f.UID) {
			c.writeFlags(seq, f, true)
		}
	}
	v.told(ch.Mailbox.HighestModSeq)
	return nil
}

// addNew adds the messages that came since the last time to the view.
func (c *conn) addNew(ctx context.Context, ch *mailstore.Changes) error {
	v := &c.sel.view
	next := ch.Mailbox.UIDNext
	if next <= v.next {
		return nil
	}
	var uids []uint32
	for _, f := range ch.Changed {
		if f.UID >= v.next && f.UID < next {
			uids = append(uids, f.UID)
		}
	}
	gone := 0
	for _, uid := range ch.Vanished {
		if uid >= v.next && uid < next {
			gone++
		}
	}
	if len(uids)+gone < int(next-v.next) {
		// Some were expunged while the changes were read: what is there now counts.
		var err error
		uids, err = c.sel.box.UIDs(ctx, mailstore.Query{UIDs: uidset.Set{{First: v.next, Last: next - 1}}})
		if err != nil {
			return err
		}
	}
	v.uids = append(v.uids, uids...)
	v.next = next
	return nil
}

// writeFlags writes an untagged FETCH with a message's flags. With CONDSTORE
// it holds the mod-sequence too (RFC 7162 section 3.2.4).
func (c *conn) writeFlags(seq uint32, f mailstore.FlagState, withUID bool) {
	c.announceKeywords(f.Keywords)
	c.enc.Untagged().Number(seq).Raw(" FETCH (")
	if withUID {
		c.enc.Raw("UID ").Number(f.UID).SP()
	}
	c.enc.Raw("FLAGS ").Flags(append(f.Flags.Names(), f.Keywords...))
	if c.enabled.has(condstore) {
		c.enc.Raw(" MODSEQ (").Number64(f.ModSeq).Byte(')')
	}
	c.enc.Raw(")\r\n")
}

// remove takes UIDs (ascending) out of the view.
func (v *view) remove(uids []uint32) {
	if len(uids) == 0 {
		return
	}
	first, _ := slices.BinarySearch(v.uids, uids[0])
	out := v.uids[:first]
	i := 0
	for _, uid := range v.uids[first:] {
		for i < len(uids) && uids[i] < uid {
			i++
		}
		if i < len(uids) && uids[i] == uid {
			continue
		}
		out = append(out, uid)
	}
	v.uids = out
	if cap(v.uids) > 2*len(v.uids)+1024 {
		v.uids = fitted(v.uids)
	}
}

// addGone notes messages of the view that no longer exist.
func (v *view) addGone(uids []uint32) {
	known := slices.Clone(uids)
	slices.Sort(known)
	known = slices.Compact(known)
	known = slices.DeleteFunc(known, func(uid uint32) bool {
		_, ok := v.Seq(uid)
		return !ok
	})
	if len(known) == 0 {
		return
	}
	v.gone = append(v.gone, known...)
	slices.Sort(v.gone)
	v.gone = slices.Compact(v.gone)
}

// isOwn reports whether the client was told of the changes of a mod-sequence.
func (v *view) isOwn(modseq uint64) bool { return slices.Contains(v.own, modseq) }

// told says that the client knows everything up to modseq.
func (v *view) told(modseq uint64) {
	v.modseq = max(v.modseq, modseq)
	v.own = slices.DeleteFunc(v.own, func(m uint64) bool { return m <= v.modseq })
	if len(v.own) == 0 {
		v.own = nil
	}
}
