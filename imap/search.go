package imap

import (
	"context"
	"slices"
	"time"

	"gadwall/imap/wire"
	"gadwall/internal/search"
	"gadwall/internal/uidset"
)

// handleSearch answers SEARCH and UID SEARCH (RFC 3501 sections 6.4.4 and 6.4.8,
// RFC 4731). Only messages of the view are found.
func (c *conn) handleSearch(ctx context.Context, cmd *command) error {
	p := searchParser{dec: cmd.args, resolve: c.sel.view.Existing,
		uidOnly: c.enabled.has(uidOnly), now: time.Now().Truncate(time.Second)}
	req, err := p.parse()
	if err != nil {
		return err
	}
	if err := cmd.args.CRLF(); err != nil {
		return err
	}
	if req.modseq {
		c.enable(condstore)
	}
	found, err := c.search(ctx, req)
	if err != nil {
		return err
	}
	if !cmd.uid {
		found.toSeqs(&c.sel.view)
	}
	if req.extended {
		found.writeExtended(c.enc, cmd.tag, cmd.uid, req)
	} else {
		found.write(c.enc, req)
	}
	cmd.ok("", "SEARCH completed")
	if cmd.uid || len(found.asked) == 0 {
		return c.enc.Err() // what UID SEARCH left out, EXPUNGE tells right after it
	}
	if err := c.sync(ctx, syncNoExpunge); err != nil {
		return err
	}
	view := &c.sel.view
	if view.HasGone() && slices.ContainsFunc(view.Within(found.asked), view.Gone) {
		cmd.ok("EXPUNGEISSUED", "Some messages were already expunged")
	}
	return c.enc.Err()
}

// searchResult is the messages found, in ascending order.
type searchResult struct {
	nums    []uint32 // UIDs, or sequence numbers
	modseqs []uint64 // beside them, if asked for

	asked uidset.Set // the messages that the store was asked about, not the view
}

// search finds the UIDs that req asks for.
func (c *conn) search(ctx context.Context, req *searchRequest) (*searchResult, error) {
	view := &c.sel.view
	scope := uidset.Of(uidset.Range{First: view.UID(1), Last: view.Max()})
	plan, err := search.Compile(req.key, c.sel.box.Key(), scope)
	if err != nil {
		return nil, wire.Errorf("%v", err)
	}
	if plan.Filter == nil && plan.Residual == nil && !req.modseq {
		return &searchResult{nums: view.Within(plan.UIDs)}, nil // needs no query
	}
	found := &searchResult{asked: plan.UIDs}
	for msg, err := range c.sel.box.Search(ctx, search.Request{
		Plan: plan, ModSeqs: req.modseq,
		Known: func(uid uint32) bool { _, ok := view.Seq(uid); return ok },
	}) {
		if err != nil {
			return nil, err
		}
		found.nums = append(found.nums, msg.UID)
		if req.modseq {
			found.modseqs = append(found.modseqs, msg.ModSeq)
		}
	}
	return found, nil
}
