package imap

import (
	"context"
	"errors"
	"slices"

	"github.com/emersion/go-imap/v2"

	"gadwall/imap/wire"
	"gadwall/internal/account"
	"gadwall/internal/mailstore"
	"gadwall/internal/mailview"
	"gadwall/internal/uidset"
)

// searchSource is one of the sources of ESEARCH (RFC 7377 section 2.2): a kind, and the names that
// belong to it.
type searchSource struct {
	kind  string
	names mailboxNames
}

// mailboxNames are names of mailboxes. A look compares thousands of mailboxes with thousands of them.
type mailboxNames map[string]struct{}

func (m mailboxNames) add(name string) { m[name] = struct{}{} }

func (m mailboxNames) has(name string) bool {
	_, ok := m[name]
	return ok
}

// sourceKinds are the kinds of sources, and whether names follow them (RFC 5465 section 6,
// RFC 7377 section 4).
var sourceKinds = map[string]bool{
	"SELECTED": false, "INBOXES": false, "PERSONAL": false, "SUBSCRIBED": false,
	"SUBTREE": true, "SUBTREE-ONE": true, "MAILBOXES": true,
}

// parseSources reads " (source ... [(scope options)])". There are no scope options yet.
func (p *searchParser) parseSources() error {
	if err := p.dec.SP(); err != nil {
		return err
	}
	names := 0
	err := p.dec.List(func() error {
		kind, err := p.dec.Keyword()
		if err != nil {
			return err
		}
		source := searchSource{kind: kind}
		named, known := sourceKinds[kind]
		if !known {
			return wire.Errorf("unknown source %s", clip(kind))
		}
		if named {
			if err := p.dec.SP(); err != nil {
				return err
			}
			list, err := oneOrMoreMailboxes(p.dec)
			if err != nil {
				return err
			}
			names += len(list)
			source.names = make(mailboxNames, len(list))
			for _, name := range list {
				source.names.add(name)
			}
		}
		p.sources = append(p.sources, source)
		if names++; names > maxSearchSources {
			return wire.Limit("more than %d sources", maxSearchSources)
		}
		return nil
	})
	if err == nil && len(p.sources) == 0 {
		err = wire.Errorf("no sources")
	}
	return err
}

// oneOrMoreMailboxes reads a name, or a list of names (RFC 5465 section 8, one-or-more-mailbox).
func oneOrMoreMailboxes(dec *wire.Decoder) (names []string, err error) {
	read := func() error {
		name, err := dec.Mailbox()
		names = append(names, name)
		return err
	}
	if dec.Peek() != '(' {
		return names, read()
	}
	if err = dec.List(read); err == nil && len(names) == 0 {
		err = wire.Errorf("no mailbox names")
	}
	return names, err
}

// handleESearch answers ESEARCH (RFC 7377): a search of several mailboxes, one after the other.
func (c *conn) handleESearch(ctx context.Context, cmd *command) error {
	p := c.searchParser(cmd)
	err := p.esearch()
	if err == nil {
		err = cmd.args.CRLF()
	}
	if err == nil {
		err = c.checkESearch(cmd, p)
	}
	if err != nil {
		return c.failedSearch(p, err)
	}
	cmd.uid = true // the answers name UIDs, whatever is searched
	cmd.numbered = p.numbered
	if p.modseq {
		c.enable(condstore)
	}
	boxes, err := c.searchedMailboxes(ctx, p.sources)
	if err != nil {
		return c.failedSearch(p, err)
	}
	progress := c.newProgress(cmd.tag, 0, nil)
	for _, box := range boxes {
		progress.goal += uint32(box.Messages)
	}
	for _, box := range boxes {
		if err := c.searchMailbox(ctx, cmd, p, box, progress); err != nil {
			return c.failedSearch(p, err)
		}
		progress.began += uint32(box.Messages)
	}
	cmd.ok("", "ESEARCH completed")
	return c.enc.Err()
}

// checkESearch refuses what only the selected mailbox can do (RFC 7377 section 2.2).
func (c *conn) checkESearch(cmd *command, p *searchParser) error {
	selected := len(p.sources) == 0
	others := false
	for _, s := range p.sources {
		selected = selected || s.kind == "SELECTED"
		others = others || s.kind != "SELECTED"
	}
	items := p.returns.items
	switch {
	case selected && c.sel == nil:
		return wire.Errorf("no mailbox is selected")
	case items.has(returnSave) && others:
		return wire.Errorf("SAVE is for the selected mailbox alone")
	case items.has(returnUpdate) && c.sel == nil:
		return wire.Errorf("UPDATE is for the selected mailbox")
	case items.has(returnUpdate) && c.sel.contexts.find(cmd.tag) != nil:
		return wire.Errorf("the tag of a context that is updated")
	}
	return nil
}

// searchedMailboxes returns the mailboxes of the sources, each once, in the order of LIST. Names
// without a mailbox are passed over.
func (c *conn) searchedMailboxes(ctx context.Context, sources []searchSource) ([]*mailstore.Mailbox, error) {
	if len(sources) == 0 {
		sources = []searchSource{{kind: "SELECTED"}}
	}
	tree, err := c.mailboxTree(ctx, treeOf{
		subscriptions: slices.ContainsFunc(sources, func(s searchSource) bool { return s.kind == "SUBSCRIBED" }),
		others:        slices.ContainsFunc(sources, func(s searchSource) bool { return s.mayBeOthers(c) }),
	})
	if err != nil {
		return nil, err
	}
	var boxes []*mailstore.Mailbox
	selected := slices.ContainsFunc(sources, func(s searchSource) bool { return s.kind == "SELECTED" }) && c.sel != nil
	for _, n := range tree.nodes {
		if n.box != nil && slices.ContainsFunc(sources, func(s searchSource) bool { return s.has(c, n) }) {
			boxes = append(boxes, n.box)
			selected = selected && !c.isSelected(n.box)
		}
	}
	if selected && c.sel.box.Foreign() { // one that can be read, and is in no list
		box, err := c.sel.box.Status(ctx)
		if err != nil {
			return nil, err
		}
		boxes = append(boxes, box)
	}
	return boxes, nil
}

// mayBeOthers reports whether mailboxes of other users can belong to the source.
func (s *searchSource) mayBeOthers(c *conn) bool {
	switch s.kind {
	case "SELECTED":
		return c.sel != nil && c.sel.box.Foreign()
	case "SUBSCRIBED":
		return true
	}
	for name := range s.names {
		if c.account.Foreign(name) {
			return true
		}
	}
	return false
}

// has reports whether a mailbox belongs to the source.
func (s *searchSource) has(c *conn, n *node) bool {
	if s.kind == "SELECTED" {
		return c.isSelected(n.box)
	}
	return s.covers(n.name, n.others, n.subscribed || n.box.Subscribed)
}

// covers reports whether a name belongs to the source, which is not the selected mailbox. A foreign
// name is in a namespace of other users.
func (s *searchSource) covers(name string, foreign, subscribed bool) bool {
	switch s.kind {
	case "INBOXES": // where mail is delivered to
		return name == mailstore.Inbox
	case "SUBSCRIBED":
		return subscribed
	case "MAILBOXES":
		return s.names.has(name)
	case "SUBTREE-ONE":
		return s.names.has(name) || s.names.has(parentOf(name))
	case "SUBTREE":
		for ; name != ""; name = parentOf(name) {
			if s.names.has(name) {
				return true
			}
		}
		return false
	}
	return !foreign // PERSONAL
}

func (c *conn) isSelected(box *mailstore.Mailbox) bool {
	return c.sel != nil && box.Key == c.sel.box.Key()
}

// searchMailbox searches one mailbox, and answers if it finds something. In the selected mailbox
// only messages of the view are found.
func (c *conn) searchMailbox(
	ctx context.Context, cmd *command, p *searchParser, box *mailstore.Mailbox, progress *progress,
) error {
	var s *searching
	if c.isSelected(box) {
		s = c.searchSelected(cmd, &p.searchRequest)
	} else {
		var err error
		if s, err = c.searchOther(ctx, cmd, &p.searchRequest, box); s == nil || err != nil {
			return err
		}
	}
	progress.done, progress.total = s.progress.done, uint32(box.Messages)
	s.progress = progress
	s.source = " MAILBOX " + string(wire.AppendMailbox(nil, box.Path, c.enc.UTF8)) +
		" UIDVALIDITY " + string(wire.AppendNumber(nil, uint64(box.UIDValidity)))
	if err := progress.meanwhile(func() error { return s.run(ctx) }); err != nil {
		return err
	}
	if p.returns.items.has(returnSave) {
		c.sel.saved = s.saved()
	}
	if s.count > 0 || s.min != 0 || s.max != 0 || len(s.found) > 0 || len(s.partial) > 0 {
		s.answer(c.enc)
	}
	if p.returns.items.has(returnUpdate) && c.isSelected(box) {
		c.beginContext(s)
	}
	return c.enc.Flush()
}

// searchOther begins a search of a mailbox that is not selected. It is nil for one that the actor
// may not read, or that has gone.
func (c *conn) searchOther(
	ctx context.Context, cmd *command, req *searchRequest, box *mailstore.Mailbox,
) (*searching, error) {
	opened, box, err := c.account.OpenKey(ctx, box.Key, account.ReadOnly)
	if errors.Is(err, mailstore.ErrNoSuchMailbox) || errors.Is(err, account.ErrNoRight) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var numbering mailview.Numbering
	if slices.ContainsFunc(req.sets, func(set imap.NumSet) bool { return !imap.IsSearchRes(set) }) {
		uids, err := opened.UIDsOf(ctx, box)
		if err != nil {
			return nil, err
		}
		numbering = mailview.NewNumbering(uids)
	}
	s := &searching{
		req: req, tag: cmd.tag, uid: true, box: opened,
		scope: uidset.Of(uidset.Range{First: 1, Last: box.UIDNext - 1}),
		key: req.keyIn(c.idOf(box.Key.User()), func(set imap.NumSet) uidset.Set {
			if imap.IsSearchRes(set) {
				return nil // "$" is of the selected mailbox
			}
			return searchableIn(&numbering, set)
		}),
	}
	s.progress = c.newProgress(cmd.tag, 0, func(uid uint32) uint32 { // about: UIDs have gaps
		return uint32(uint64(box.Messages) * uint64(uid) / uint64(box.UIDNext))
	})
	return s, nil
}
