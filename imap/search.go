package imap

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"gadwall/internal/contents"
	"gadwall/internal/mailstore"
	"gadwall/internal/uidset"
)

// handleSearch answers SEARCH and UID SEARCH (RFC 3501 sections 6.4.4 and 6.4.8,
// RFC 4731). Only messages of the view are found.
func (c *conn) handleSearch(ctx context.Context, cmd *command) error {
	p := searchParser{dec: cmd.args, resolve: c.sel.view.Resolve, now: time.Now().Truncate(time.Second)}
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
	return c.enc.Err()
}

// searchResult is the messages found, in ascending order.
type searchResult struct {
	nums    []uint32 // UIDs, or sequence numbers
	modseqs []uint64 // beside them, if asked for
}

// search finds the UIDs that req asks for.
func (c *conn) search(ctx context.Context, req *searchRequest) (*searchResult, error) {
	view := &c.sel.view
	scope := uidset.Of(uidset.Range{First: view.UID(1), Last: view.Max()})
	plan := compileSearch(req.key, c.sel.box, scope)
	switch {
	case len(plan.uids) == 0:
		return &searchResult{}, nil
	case plan.residual != nil:
		return c.searchContents(ctx, plan, req.modseq)
	case req.modseq:
		return c.searchModSeqs(ctx, plan)
	case plan.filter == nil:
		return &searchResult{nums: view.within(plan.uids)}, nil
	}
	uids, err := c.srv.store.UIDs(ctx, c.sel.box, mailstore.Query{UIDs: plan.uids, Filter: plan.filter})
	if err != nil {
		return nil, fmt.Errorf("search messages: %w", err)
	}
	return &searchResult{nums: view.known(uids)}, nil
}

// within returns the UIDs of the view that lie in ranges.
func (v *view) within(ranges uidset.Set) []uint32 {
	uids := make([]uint32, 0, v.Count(ranges))
	for _, r := range ranges {
		lo, hi := v.bounds(r)
		uids = append(uids, v.uids[lo:hi]...)
	}
	return uids
}

// known returns those of uids (ascending) that are in the view.
func (v *view) known(uids []uint32) []uint32 {
	out := uids[:0]
	for _, uid := range uids {
		if _, ok := v.Seq(uid); ok {
			out = append(out, uid)
		}
	}
	return out
}

// searchModSeqs finds what the plan says exactly, with mod-sequences.
func (c *conn) searchModSeqs(ctx context.Context, plan searchPlan) (*searchResult, error) {
	found := &searchResult{}
	q := mailstore.Query{UIDs: plan.uids, Filter: plan.filter}
	for msg, err := range c.srv.store.Messages(ctx, c.sel.box, q, mailstore.FieldFlags) {
		if err != nil {
			return nil, fmt.Errorf("search messages: %w", err)
		}
		if _, ok := c.sel.view.Seq(msg.UID); ok {
			found.nums = append(found.nums, msg.UID)
			found.modseqs = append(found.modseqs, msg.ModSeq)
		}
	}
	return found, nil
}

// searchContents finds the candidates of the plan and reads of their contents
// what decides the residual, batch by batch.
func (c *conn) searchContents(ctx context.Context, plan searchPlan, modseq bool) (*searchResult, error) {
	found := &searchResult{}
	m := newMatcher(plan.residual)
	fields := m.fields
	if modseq {
		fields |= mailstore.FieldFlags
	}
	var batch []*mailstore.Message
	flush := func() error {
		matches, err := c.matchBatch(ctx, m, batch)
		if err != nil {
			return err
		}
		for i, msg := range batch {
			if matches[i] {
				found.nums = append(found.nums, msg.UID)
				if modseq {
					found.modseqs = append(found.modseqs, msg.ModSeq)
				}
			}
		}
		batch = batch[:0]
		return nil
	}
	q := mailstore.Query{UIDs: plan.uids, Filter: plan.filter}
	for msg, err := range c.srv.store.Messages(ctx, c.sel.box, q, fields) {
		if err != nil {
			return nil, fmt.Errorf("search messages: %w", err)
		}
		if _, ok := c.sel.view.Seq(msg.UID); !ok {
			continue
		}
		if batch = append(batch, msg); len(batch) == searchBatch {
			if err := flush(); err != nil {
				return nil, err
			}
		}
	}
	if err := flush(); err != nil {
		return nil, err
	}
	return found, nil
}

// matchBatch decides the residual for the messages of a batch. What their
// documents decide is not loaded.
func (c *conn) matchBatch(ctx context.Context, m *matcher, batch []*mailstore.Message) ([]bool, error) {
	matches := make([]bool, len(batch))
	var ids []contents.ID
	var open []int
	for i, msg := range batch {
		m.begin(msg)
		switch m.result() {
		case yes:
			matches[i] = true
		case maybe:
			ids = append(ids, msg.Content)
			open = append(open, i)
		}
	}
	if len(open) == 0 {
		return matches, nil
	}
	loaded, err := c.loadContents(ctx, ids, contents.Want{RootHeader: m.header, Parts: m.parts})
	if err != nil {
		return nil, err
	}
	if m.parts {
		if err := c.prefetchText(ctx, loaded); err != nil {
			return nil, err
		}
	}
	for _, i := range open {
		content := loaded[batch[i].Content]
		if content == nil {
			c.log.Error("content of a message is missing", slog.Uint64("uid", uint64(batch[i].UID)),
				slog.String("mailbox", c.sel.box.String()), slog.String("content", batch[i].Content.String()))
			continue
		}
		if matches[i], err = m.match(ctx, batch[i], content); err != nil {
			return nil, err
		}
	}
	return matches, nil
}

// prefetchText reads the text parts of several contents by one query, as far
// as they are small.
func (c *conn) prefetchText(ctx context.Context, loaded map[contents.ID]*contents.Content) error {
	var ranges []contents.Range
	total := int64(0)
	for _, content := range loaded {
		for part := range textParts(content.Root()) {
			n := part.End() - part.HeaderOffset
			if total+n > fetchBatchBytes || part.BodySize > searchBuffer {
				continue
			}
			total += n
			ranges = append(ranges, contents.Range{Content: content, Off: part.HeaderOffset, N: n})
		}
	}
	return c.prefetch(ctx, ranges)
}
