package imap

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/emersion/go-imap/v2"

	"gadwall/imap/wire"
	"gadwall/internal/search"
	"gadwall/internal/uidset"
)

// contexts are the searches with UPDATE of the selected mailbox, whose clients are told what comes
// to their results and what goes (RFC 5267 section 4.3).
//
// A message that vanishes is told at once, before its EXPUNGE, so that its number is still valid. A
// message that is new or has other flags is noted (changed), and is searched anew at the end of the
// next sync, after its EXISTS or FETCH.
type contexts struct {
	list  []*searchContext
	noted []uint32 // UIDs to search anew
}

// searchContext is one such search. Its results are as the client knows them, 4 octets each.
type searchContext struct {
	*searching
	results []uint32 // UIDs, in the order of the search
}

// find returns the context of a tag, nil if there is none.
func (x *contexts) find(tag string) *searchContext {
	for _, ctx := range x.list {
		if ctx.tag == tag {
			return ctx
		}
	}
	return nil
}

// size is how many results all contexts have.
func (x *contexts) size() int {
	n := 0
	for _, ctx := range x.list {
		n += len(ctx.results)
	}
	return n
}

// changed notes messages that are new or have other flags.
func (x *contexts) changed(uids ...uint32) {
	if len(x.list) > 0 {
		x.noted = append(x.noted, uids...)
	}
}

// beginContext makes a context of a search that found everything, or tells the client that there
// are too many (RFC 5267 section 4.3.1). One is always possible.
func (c *conn) beginContext(s *searching) {
	x := &c.sel.contexts
	if n := len(x.list); n > 0 && (n >= maxContexts || x.size()+len(s.found) > maxContextResults) {
		c.status("*", imap.StatusResponseTypeNo, "NOUPDATE "+string(wire.AppendString(nil, s.tag)), "Too many contexts")
		return
	}
	x.list = append(x.list, &searchContext{s, slices.Clip(s.found)})
	s.found, s.partial, s.modseqs = nil, nil, nil
}

// handleCancelUpdate answers CANCELUPDATE (RFC 5267 section 4.3.5).
func (c *conn) handleCancelUpdate(_ context.Context, cmd *command) error {
	var tags []string
	for first := true; first || !cmd.args.AtEnd(); first = false {
		if err := cmd.args.SP(); err != nil {
			return err
		}
		tag, err := cmd.args.String()
		if err != nil {
			return err
		}
		tags = append(tags, tag)
	}
	if err := cmd.args.CRLF(); err != nil {
		return err
	}
	x := &c.sel.contexts
	for _, tag := range tags {
		if x.find(tag) == nil {
			return refuse("", "No search with the tag "+clip(tag)+" is updated")
		}
	}
	x.list = slices.DeleteFunc(x.list, func(ctx *searchContext) bool { return slices.Contains(tags, ctx.tag) })
	cmd.ok("", "No further updates")
	return nil
}

// vanished tells that messages have gone. Their numbers are still valid.
func (c *conn) vanished(uids []uint32) {
	for _, ctx := range c.sel.contexts.list {
		if !ctx.uid && c.enabled.has(uidOnly) {
			continue // there are no message numbers any more
		}
		gone := make(map[uint32]bool, len(uids))
		for _, uid := range uids {
			gone[uid] = true
		}
		ctx.remove(c.enc, gone)
	}
}

// updateContexts searches noted messages anew, and tells what came and went.
func (c *conn) updateContexts(ctx context.Context) error {
	x := &c.sel.contexts
	if len(x.noted) == 0 {
		return nil
	}
	slices.Sort(x.noted)
	noted := slices.Compact(x.noted)
	view := &c.sel.view
	noted = slices.DeleteFunc(noted, func(uid uint32) bool {
		_, known := view.Seq(uid)
		return !known || view.Gone(uid)
	})
	x.noted = noted
	found := make([]contextUpdate, 0, len(x.list))
	for _, one := range x.list {
		if !one.uid && c.enabled.has(uidOnly) {
			continue
		}
		update, err := one.update(ctx, noted)
		if err != nil {
			return fmt.Errorf("update of a search: %w", err)
		}
		found = append(found, update)
	}
	if err := c.fetchFound(ctx, found); err != nil {
		return fmt.Errorf("update of a search: %w", err)
	}
	for _, u := range found {
		u.search.remove(c.enc, u.lost)
		if err := u.search.add(ctx, c.enc, u.came); err != nil {
			return fmt.Errorf("update of a search: %w", err)
		}
	}
	x.noted = nil
	return nil
}

// contextUpdate is what a new search of some messages found.
type contextUpdate struct {
	search *searchContext
	came   []uint32        // UIDs that are results now, ascending
	lost   map[uint32]bool // UIDs that are not, perhaps not any more
}

// update searches some messages (ascending) anew.
func (x *searchContext) update(ctx context.Context, uids []uint32) (u contextUpdate, err error) {
	u.search = x
	if len(uids) == 0 {
		return u, nil
	}
	key, err := x.box.SearchKey(ctx, x.key)
	if err != nil {
		return u, err
	}
	plan, err := search.Compile(key, x.box.Key(), uidset.FromAscending(uids))
	if err != nil {
		return u, err
	}
	matching := make(map[uint32]bool)
	for msg, err := range x.box.Search(ctx, search.Request{Plan: plan}) {
		if err != nil {
			return u, err
		}
		matching[msg.UID] = true
	}
	u.lost = make(map[uint32]bool)
	for _, uid := range uids {
		if !matching[uid] {
			u.lost[uid] = true
		}
	}
	for _, uid := range x.results {
		delete(matching, uid)
	}
	for _, uid := range uids {
		if matching[uid] {
			u.came = append(u.came, uid)
		}
	}
	return u, nil
}

// remove takes messages out of the results, as far as they are there, and tells it (RFC 5267
// section 4.3.4).
func (x *searchContext) remove(enc *wire.Encoder, uids map[uint32]bool) {
	var gone []uint32
	var pairs []byte
	// From the end, so that no position changes before it is used.
	for i, uid := range slices.Backward(x.results) {
		if uids[uid] {
			gone = append(gone, uid)
			pairs = appendPair(pairs, i+1, x.numberOf(uid))
		}
	}
	if len(gone) == 0 {
		return
	}
	x.results = slices.DeleteFunc(x.results, func(uid uint32) bool { return uids[uid] })
	if x.req.order == nil {
		slices.Reverse(gone)
		pairs = append([]byte("0 "), uidset.Format(x.numbers(gone))...)
	}
	x.tell(enc, "REMOVEFROM", pairs)
}

// add puts messages (ascending) into the results, and tells it (RFC 5267 section 4.3.3).
func (x *searchContext) add(ctx context.Context, enc *wire.Encoder, uids []uint32) error {
	if len(uids) == 0 {
		return nil
	}
	if x.req.order == nil {
		x.results = append(x.results, uids...)
		slices.Sort(x.results)
		x.tell(enc, "ADDTO", append([]byte("0 "), uidset.Format(x.numbers(uids))...))
		return nil
	}
	keys, err := x.box.SortKeys(ctx, uids, x.req.order)
	if err != nil {
		return err
	}
	var pairs []byte
	for _, uid := range uids {
		if keys[uid] == nil {
			continue // it has gone since
		}
		at, err := x.place(ctx, uid, keys)
		if err != nil {
			return err
		}
		x.results = slices.Insert(x.results, at, uid)
		pairs = appendPair(pairs, at+1, x.numberOf(uid))
	}
	if pairs != nil {
		x.tell(enc, "ADDTO", pairs)
	}
	return nil
}

// place returns where a message belongs among the results. The keys of those that it is compared
// with are read one by one: as many as the logarithm of the number of results.
func (x *searchContext) place(ctx context.Context, uid uint32, keys map[uint32][]byte) (int, error) {
	lo, hi := 0, len(x.results)
	for lo < hi {
		// The first one from the middle on that is still there: its neighbours may have gone.
		mid := lo + (hi-lo)/2
		at := mid
		for ; at < hi; at++ {
			other := x.results[at]
			if _, known := keys[other]; !known {
				more, err := x.box.SortKeys(ctx, []uint32{other}, x.req.order)
				if err != nil {
					return 0, err
				}
				keys[other] = more[other]
			}
			if keys[other] != nil {
				break
			}
		}
		if at == hi {
			hi = mid
			continue
		}
		other := x.results[at]
		c := bytes.Compare(keys[other], keys[uid])
		if c < 0 || c == 0 && other < uid {
			lo = at + 1
		} else {
			hi = mid
		}
	}
	return lo, nil
}

// tell writes an ESEARCH response with one item.
func (x *searchContext) tell(enc *wire.Encoder, item string, pairs []byte) {
	x.beginResponse(enc)
	enc.SP().Raw(item).Raw(" (").RawBytes(pairs).Byte(')').CRLF()
}

// appendPair appends "position number" to others.
func appendPair(dst []byte, position int, number uint32) []byte {
	if len(dst) > 0 {
		dst = append(dst, ' ')
	}
	dst = append(wire.AppendNumber(dst, uint64(position)), ' ')
	return wire.AppendNumber(dst, uint64(number))
}
