package imap

import (
	"context"
	"sort"
	"strconv"

	"github.com/emersion/go-imap/v2"

	"gadwall/imap/wire"
	"gadwall/internal/mailview"
	"gadwall/internal/uidset"
)

// resyncRequest is the parameter QRESYNC of SELECT: what a client knew when it last had the
// mailbox open (RFC 7162 section 3.2.5).
type resyncRequest struct {
	uidValidity uint32
	modseq      uint64
	known       uidset.Set // the UIDs that the client has; nil: all
	seqs, uids  uidset.Set // sequence numbers and the UIDs they had; as many of each
}

// parseResync reads "(uidvalidity modseq [known-uids] [(sequence-set uid-set)])".
func (c *conn) parseResync(dec *wire.Decoder) (r *resyncRequest, err error) {
	r = &resyncRequest{}
	if err = dec.SP(); err != nil {
		return nil, err
	}
	if err = dec.Expect('('); err != nil {
		return nil, err
	}
	if r.uidValidity, err = dec.Number(); err != nil {
		return nil, err
	}
	if err = dec.SP(); err != nil {
		return nil, err
	}
	if r.modseq, err = dec.Number64(); err != nil {
		return nil, err
	}
	if r.uidValidity == 0 || r.modseq == 0 {
		return nil, wire.Errorf("UIDVALIDITY and mod-sequence are not 0")
	}
	matches := false
	for known := false; dec.Accept(' '); {
		switch {
		case dec.AtNumSet() && !known && !matches:
			known = true
			r.known, err = knownSet(dec)
		case dec.Peek() == '(' && !matches:
			matches = true
			err = r.parseMatches(dec)
		default:
			err = wire.Errorf("expected known UIDs or sequence match data")
		}
		if err != nil {
			return nil, err
		}
	}
	if matches && c.enabled.has(uidOnly) {
		return nil, errUIDRequired
	}
	return r, dec.Expect(')')
}

// parseMatches reads "(sequence-set uid-set)".
func (r *resyncRequest) parseMatches(dec *wire.Decoder) (err error) {
	if err = dec.Expect('('); err != nil {
		return err
	}
	if r.seqs, err = knownSet(dec); err != nil {
		return err
	}
	if err = dec.SP(); err != nil {
		return err
	}
	if r.uids, err = knownSet(dec); err != nil {
		return err
	}
	if r.seqs.Count() != r.uids.Count() {
		return wire.Errorf("as many sequence numbers as UIDs are needed")
	}
	return dec.Expect(')')
}

// knownSet reads a set without "*" (RFC 7162 section 7, known-uids).
func knownSet(dec *wire.Decoder) (uidset.Set, error) {
	set, err := dec.UIDSet()
	if err != nil {
		return nil, err
	}
	ranges := make([]uidset.Range, 0, len(set))
	for _, r := range set {
		if r.Start == 0 || r.Stop == 0 {
			return nil, wire.Errorf("* is not allowed here")
		}
		ranges = append(ranges, uidset.Range{First: uint32(r.Start), Last: uint32(r.Stop)})
	}
	return uidset.Of(ranges...), nil
}

// resync tells what changed in the mailbox, which was just opened, since the client left it: which
// messages vanished, and then which have other flags or are new.
func (c *conn) resync(ctx context.Context, r *resyncRequest) error {
	view := &c.sel.view
	if r.modseq >= view.ModSeq() {
		return nil
	}
	known := view.Assigned(imap.UIDSet{{Start: 1, Stop: 0}})
	if r.known != nil {
		known = known.Intersect(r.known)
	}
	changes, err := c.sel.box.Changes(ctx, r.modseq)
	if err != nil {
		return err
	}
	var vanished uidset.Set
	if changes.Complete {
		vanished = view.Missing(known.Intersect(uidset.FromAscending(changes.Vanished)))
	} else {
		// The journal does not reach back so far. Every UID that is not there may be one that
		// the client has, but those up to the last match.
		vanished = view.Missing(known.From(r.matched(view) + 1))
	}
	if len(vanished) > 0 {
		c.sel.show.vanishedEarlier(vanished)
	}
	if changes.Mailbox.HighestModSeq > view.ModSeq() {
		c.sel.stale = true // it changed while it was opened: the client's next command tells that
	}
	for _, f := range changes.Changed {
		if f.ModSeq > view.ModSeq() {
			c.sel.stale = true // its state of before is not there any more
			continue
		}
		if seq, ok := view.Seq(f.UID); ok && known.Contains(f.UID) {
			c.sel.show.state(seq, f, true)
		}
	}
	return nil
}

// matched returns the greatest UID that still has the sequence number which the client knows, 0 if
// there is none. No message before it was expunged.
func (r *resyncRequest) matched(view *mailview.View) uint32 {
	count := int(r.seqs.Count())
	// The first pair that does not match: none behind it does, since an expunge moves all that
	// follow.
	i := sort.Search(count, func(i int) bool { return view.UID(nth(r.seqs, i)) != nth(r.uids, i) })
	if i == 0 {
		return 0
	}
	return nth(r.uids, i-1)
}

// nth returns the member of set that has i members before it.
func nth(set uidset.Set, i int) uint32 {
	for _, r := range set {
		n := int(r.Last-r.First) + 1
		if i < n {
			return r.First + uint32(i)
		}
		i -= n
	}
	return 0
}

// tellVanished answers the modifier VANISHED of UID FETCH (RFC 7162 section 3.2.6): which messages of
// set were expunged after the mod-sequence.
func (c *conn) tellVanished(ctx context.Context, set imap.NumSet, since uint64) error {
	if imap.IsSearchRes(set) {
		return nil // what was expunged is not in "$" any more (RFC 5182 section 2.1)
	}
	uids, _ := set.(imap.UIDSet)
	asked := c.sel.view.Assigned(uids)
	changes, err := c.sel.box.Changes(ctx, since)
	if err != nil {
		return err
	}
	vanished := asked
	if changes.Complete {
		vanished = asked.Intersect(uidset.FromAscending(changes.Vanished))
	}
	if vanished = c.sel.view.Missing(vanished); len(vanished) > 0 {
		c.sel.show.vanishedEarlier(vanished)
	}
	if changes.Mailbox.HighestModSeq > c.sel.view.ModSeq() {
		// The messages which the client believes to be there are told without EARLIER.
		c.sel.stale = true
	}
	return nil
}

// warn tells a client with QRESYNC at which mod-sequence to begin if it loses the connection now: it
// was not allowed to tell which messages are gone, and higher mod-sequences of others were told
// (RFC 7162 section 3.2; its section 6 has an example). Likewise if something was told and the
// client does not want to hear of flags (NOTIFY).
func (c *conn) warn(told bool) {
	text := "Expunges are delayed"
	switch gone := c.sel.view.HasGone(); {
	case !c.enabled.has(qresync), !gone && !(told && c.sel.withheld != 0):
		return
	case !gone:
		text = "Flags are not told"
	}
	c.enc.Untagged().Raw("OK [").Raw(highestModSeq(c.sel.told())).Raw("] ").Raw(text).CRLF()
}

// highestModSeq is the response code of RFC 7162 section 3.1.2.1.
func highestModSeq(n uint64) string { return "HIGHESTMODSEQ " + strconv.FormatUint(n, 10) }

// errUIDRequired answers a message number after ENABLE UIDONLY (RFC 9586 section 3.5).
var errUIDRequired = &imap.Error{Type: imap.StatusResponseTypeBad, Code: "UIDREQUIRED",
	Text: "Message numbers are not allowed with UIDONLY"}
