package imap

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/emersion/go-imap/v2"

	"gadwall/imap/wire"
	"gadwall/internal/account"
	"gadwall/internal/search"
	"gadwall/internal/uidset"
)

// handleSearch answers SEARCH and UID SEARCH (RFC 3501 sections 6.4.4 and 6.4.8,
// RFC 4731). Only messages of the view are found.
func (c *conn) handleSearch(ctx context.Context, cmd *command) error {
	p := c.searchParser(cmd)
	p.returns.given = c.enabled.has(imap4rev2) // RFC 9051 section 6.4.4
	return c.searchCommand(ctx, cmd, p, p.search, "SEARCH completed")
}

// handleSort answers SORT and UID SORT (RFC 5256 section 3, RFC 5267 section 3).
func (c *conn) handleSort(ctx context.Context, cmd *command) error {
	p := c.searchParser(cmd)
	return c.searchCommand(ctx, cmd, p, p.sort, "SORT completed")
}

func (c *conn) searchParser(cmd *command) *searchParser {
	return &searchParser{
		dec: cmd.args, uidOnly: c.enabled.has(uidOnly), onlyUTF8: c.enabled.has(utf8Accept),
		now: time.Now().Truncate(time.Second),
	}
}

// searchCommand parses and answers SEARCH and SORT.
func (c *conn) searchCommand(
	ctx context.Context, cmd *command, p *searchParser, parse func() error, done string,
) error {
	err := parse()
	if err == nil {
		err = cmd.args.CRLF()
	}
	if err == nil && p.returns.items.has(returnUpdate) && c.sel.contexts.find(cmd.tag) != nil {
		err = wire.Errorf("the tag of a context that is updated") // RFC 5267 section 4.3
	}
	if err != nil {
		return c.failedSearch(p, err)
	}
	if p.modseq || p.returns.fetch != nil && p.returns.fetch.usesModSeq() {
		c.enable(condstore)
	}
	cmd.numbered = p.numbered
	s := c.searchSelected(cmd, &p.searchRequest)
	if err := s.progress.meanwhile(func() error { return s.run(ctx) }); err != nil {
		return c.failedSearch(p, err)
	}
	if p.returns.items.has(returnSave) {
		c.sel.saved = s.saved()
	}
	s.answer(c.enc)
	if p.returns.items.has(returnUpdate) {
		c.beginContext(s)
	}
	cmd.ok("", done)
	return c.tellExpunged(ctx, cmd, s)
}

// tellExpunged tells changes before the tagged answer of a command with sequence numbers, and in
// that answer that others have expunged some of the messages that were searched.
func (c *conn) tellExpunged(ctx context.Context, cmd *command, s *searching) error {
	if cmd.uid || len(s.asked) == 0 {
		return c.enc.Err() // what UID SEARCH left out, EXPUNGE tells right after it
	}
	if err := c.sync(ctx, syncNoExpunge); err != nil {
		return err
	}
	view := &c.sel.view
	if view.HasGone() && slices.ContainsFunc(view.Within(s.asked), view.Gone) {
		cmd.ok("EXPUNGEISSUED", "Some messages were already expunged")
	}
	return c.enc.Err()
}

// failedSearch notes that a search with SAVE failed: that saves the empty set, unless the answer is
// BAD (RFC 5182 section 2.1).
func (c *conn) failedSearch(p *searchParser, err error) error {
	var syntax *wire.SyntaxError
	bad := errors.As(err, &syntax) && syntax.Code == ""
	if p.returns.items.has(returnSave) && !bad && c.sel != nil {
		c.sel.saved = nil
	}
	return err
}

// searchable returns the UIDs that a set of the client means in a search: numbers past the last
// message are of none. A set of UIDs is not cut off at the last message, so that a context finds
// messages that come later.
func (c *conn) searchable(set imap.NumSet) uidset.Set {
	if imap.IsSearchRes(set) {
		return c.sel.saved
	}
	return searchableIn(&c.sel.view.Numbering, set)
}

// searching is one search of one mailbox, and what it found.
type searching struct {
	req      *searchRequest
	tag      string
	uid      bool                    // the answer names UIDs
	number   func(uid uint32) uint32 // else what it names; nil for UIDs
	source   string                  // further correlators of the answer: " MAILBOX x UIDVALIDITY 1"
	box      *account.Mailbox
	known    func(uidset.Set) []uint32 // the messages of a set, if no query is needed for that
	scope    uidset.Set                // all that may be found
	key      *search.Key
	progress *progress

	asked uidset.Set // the messages that the store was asked about

	// What was found. found, in the order of the answer, is there only if all of it was needed.
	found    []uint32
	modseqs  map[uint32]uint64 // if asked for
	min, max uint32            // 0: none
	count    int64
	partial  []uint32
}

// searchSelected begins a search of the selected mailbox.
func (c *conn) searchSelected(cmd *command, req *searchRequest) *searching {
	view := &c.sel.view
	s := &searching{
		req: req, tag: cmd.tag, uid: cmd.uid, box: c.sel.box, known: view.Within,
		scope: uidset.Of(uidset.Range{First: view.UID(1), Last: view.Max()}),
		key:   req.keyIn(c.idOf(c.sel.box.Key().User()), c.searchable),
	}
	s.progress = c.newProgress(cmd.tag, view.Len(), func(uid uint32) uint32 {
		seq, _ := view.Seq(uid)
		return seq
	})
	if !cmd.uid {
		s.number = func(uid uint32) uint32 {
			seq, _ := view.Seq(uid)
			return seq
		}
	}
	return s
}

// run finds what the answer tells, and no more where that is possible.
func (s *searching) run(ctx context.Context) error {
	key, err := s.box.SearchKey(ctx, s.key)
	if err != nil {
		return err
	}
	plan, err := search.Compile(key, s.box.Key(), s.scope)
	if err != nil {
		return wire.Errorf("%v", err)
	}
	req := search.Request{Plan: plan, ModSeqs: s.req.modseq, Progress: s.progress.at}
	items := s.req.returns.items
	switch {
	case plan.Filter == nil && plan.Residual == nil && !s.req.modseq && s.known != nil:
		s.found = s.known(plan.UIDs) // needs no query
	case s.req.returns.whole(), s.req.modseq, s.sorts(), items.has(returnCount) && plan.Residual != nil:
		s.asked = plan.UIDs
		err = s.all(ctx, req)
	default:
		s.asked = plan.UIDs
		return s.some(ctx, req)
	}
	if err != nil {
		return err
	}
	if s.sorts() {
		if s.found, err = s.box.Sort(ctx, s.found, s.req.order); err != nil {
			return err
		}
	}
	s.summarise()
	return nil
}

// sorts reports whether the order of what is found matters and is not that of the mailbox.
func (s *searching) sorts() bool {
	o := &s.req.returns
	return s.req.order != nil && (!o.given || o.items.has(returnAll|returnMin|returnMax|returnPartial|returnUpdate))
}

// all finds everything.
func (s *searching) all(ctx context.Context, req search.Request) error {
	if req.ModSeqs {
		s.modseqs = make(map[uint32]uint64)
	}
	for msg, err := range s.box.Search(ctx, req) {
		if err != nil {
			return err
		}
		s.found = append(s.found, msg.UID)
		if req.ModSeqs {
			s.modseqs[msg.UID] = msg.ModSeq
		}
	}
	return nil
}

// summarise takes MIN, MAX, COUNT and PARTIAL from all that was found.
func (s *searching) summarise() {
	n := len(s.found)
	s.count = int64(n)
	if n > 0 {
		s.min, s.max = s.found[0], s.found[n-1]
	}
	if s.req.returns.items.has(returnPartial) {
		lo, hi := s.req.returns.partial.of(n)
		s.partial = s.found[lo:hi]
	}
}

// some finds MIN, MAX, COUNT and PARTIAL, each by itself, in the order of the mailbox.
func (s *searching) some(ctx context.Context, req search.Request) (err error) {
	items, partial := s.req.returns.items, s.req.returns.partial
	if items.has(returnCount) {
		if s.count, err = s.box.CountFound(ctx, req); err != nil || s.count == 0 {
			return err
		}
	}
	var first, last []uint32 // the first results, and the last ones from the end
	if n := s.firsts(items, partial, false); n > 0 {
		if first, err = s.limited(ctx, req, n, false); err != nil || len(first) == 0 {
			return err
		}
		s.min = first[0]
	}
	if n := s.firsts(items, partial, true); n > 0 {
		if last, err = s.limited(ctx, req, n, true); err != nil || len(last) == 0 {
			return err
		}
		s.max = last[0]
	}
	if !items.has(returnPartial) {
		return nil
	}
	from := first
	if partial.fromEnd {
		from = last
	}
	lo, hi := min(int(partial.first)-1, len(from)), min(int(partial.last), len(from))
	s.partial = from[lo:hi]
	slices.SortFunc(s.partial, cmp.Compare)
	return nil
}

// firsts is how many results are wanted, from the first one or from the last one on.
func (s *searching) firsts(items returnItems, partial partialRange, fromEnd bool) int {
	n := 0
	if !fromEnd && items.has(returnMin) || fromEnd && items.has(returnMax) {
		n = 1
	}
	if items.has(returnPartial) && partial.fromEnd == fromEnd {
		n = max(n, int(partial.last))
	}
	return n
}

// limited finds up to n messages.
func (s *searching) limited(
	ctx context.Context, req search.Request, n int, reverse bool,
) (uids []uint32, err error) {
	req.Limit, req.Reverse = n, reverse
	if reverse {
		req.Progress = s.progress.back
	}
	for msg, err := range s.box.Search(ctx, req) {
		if err != nil {
			return nil, err
		}
		uids = append(uids, msg.UID)
	}
	return uids, nil
}

// saved is what "$" means after a search with SAVE (RFC 5182 section 2.4, RFC 9394 section 3.2).
func (s *searching) saved() uidset.Set {
	if s.req.returns.savesAll() {
		uids := s.found
		if s.req.order != nil {
			uids = slices.Sorted(slices.Values(uids))
		}
		return uidset.FromAscending(uids)
	}
	items := s.req.returns.items
	uids := slices.Clone(s.partial)
	if items.has(returnMin) && s.min != 0 {
		uids = append(uids, s.min)
	}
	if items.has(returnMax) && s.max != 0 {
		uids = append(uids, s.max)
	}
	slices.Sort(uids)
	return uidset.FromAscending(slices.Compact(uids))
}
