package imap

import (
	"context"
	"errors"
	"sort"
	"strings"

	"gadwall/imap/wire"
	"gadwall/internal/account"
	"gadwall/internal/mailstore"
)

// listRequest is what LIST asks (RFC 3501 section 6.3.8, RFC 5258, RFC 5819,
// RFC 6154).
type listRequest struct {
	patterns patterns
	root     bool // an empty pattern: what is the separator?
	extended bool // has anything of RFC 5258

	// Selection options.
	onlySubscribed, onlySpecialUse, recursive bool

	// Return options.
	subscribed bool
	myRights   bool // RFC 8440
	status     []string
	metadata   []string // names of entries (RFC 9590)
}

// handleList answers LIST.
func (c *conn) handleList(ctx context.Context, cmd *command) error {
	req, err := parseList(cmd.args)
	if err != nil {
		return err
	}
	if req.root {
		c.enc.Untagged().Raw(`LIST (\Noselect) "/" ""`).CRLF()
		return nil
	}
	tree, err := c.mailboxTree(ctx, treeOf{
		subscriptions: req.onlySubscribed || req.subscribed,
		others:        !req.onlySpecialUse && req.patterns.mayMatchBelow(account.OthersPrefix, account.PublicPrefix),
	})
	if err != nil {
		return err
	}
	for _, n := range tree.nodes {
		if err := ctx.Err(); err != nil {
			return err
		}
		n.matches, n.selected = req.patterns.match(n.name), req.selects(n)
	}
	if req.recursive {
		tree.markAncestors()
	}
	annotations, err := c.listMetadata(ctx, tree, req)
	if err != nil {
		return err
	}
	for _, n := range tree.nodes {
		if !n.matches || !n.selected && !n.selectedUnlisted {
			continue
		}
		c.writeList("LIST", n, req)
		if entries := annotations[n]; entries != nil {
			c.writeMetadata(n.name, entries, -1)
		}
		if req.myRights && n.box != nil && n.selected {
			c.writeMyRights(n.name, n.rights)
		}
		// A name that is there for those below it alone has no STATUS (RFC 5819 section 2).
		if len(req.status) > 0 && n.box != nil && n.selected && n.rights.Has(account.Read) {
			if err := c.listStatus(ctx, n, req.status); err != nil {
				return err
			}
		}
	}
	return nil
}

// listStatus writes the STATUS of a mailbox that LIST has returned. In a mailbox of another user the
// client may have seen other messages than the owner.
func (c *conn) listStatus(ctx context.Context, n *node, items []string) error {
	box := n.box
	if n.others && c.account.SeenApart() {
		var err error
		box, err = c.account.Status(ctx, n.name)
		if errors.Is(err, mailstore.ErrNoSuchMailbox) || errors.Is(err, account.ErrNoRight) {
			return nil // since it was listed
		}
		if err != nil {
			return err
		}
	}
	c.writeStatus(n.name, box, items)
	return nil
}

// selects reports whether the selection options hold for the name.
func (r *listRequest) selects(n *node) bool {
	if r.onlySubscribed && !n.subscribed || r.onlySpecialUse && (n.box == nil || n.box.SpecialUse == "") {
		return false
	}
	// A name that is only subscribed to is no mailbox and no parent of one.
	return r.onlySubscribed || n.box != nil || n.children
}

func (c *conn) writeList(kind string, n *node, req *listRequest) {
	var attrs []string
	switch {
	case n.box != nil:
	case req.extended:
		attrs = append(attrs, attrNonExistent) // implies \Noselect (RFC 5258 section 3)
	default:
		attrs = append(attrs, `\Noselect`)
	}
	if req.onlySubscribed || req.subscribed {
		if n.subscribed {
			attrs = append(attrs, `\Subscribed`)
		}
	}
	if n.children {
		attrs = append(attrs, `\HasChildren`)
	} else {
		attrs = append(attrs, `\HasNoChildren`)
	}
	if n.box != nil && n.box.SpecialUse != "" {
		attrs = append(attrs, n.box.SpecialUse)
	}
	c.enc.Untagged().Raw(kind).SP().Flags(attrs).Raw(` "/" `).Mailbox(n.name)
	if n.selectedBelow {
		// RFC 5258 section 3.5: the options that mailboxes below the name meet.
		var met []string
		if req.onlySubscribed {
			met = append(met, `"SUBSCRIBED"`)
		}
		if req.onlySpecialUse {
			met = append(met, `"SPECIAL-USE"`)
		}
		c.enc.Raw(` ("CHILDINFO" (` + strings.Join(met, " ") + `))`)
	}
	c.enc.CRLF()
}

// parseList reads the arguments of LIST.
func parseList(dec *wire.Decoder) (*listRequest, error) {
	req := &listRequest{}
	if err := dec.SP(); err != nil {
		return nil, err
	}
	if req.extended = dec.Peek() == '('; req.extended {
		if err := req.parseSelection(dec); err != nil {
			return nil, err
		}
		if err := dec.SP(); err != nil {
			return nil, err
		}
	}
	reference, err := dec.Mailbox()
	nothing := err == wire.ErrMailboxName // no mailbox has such a name
	if err != nil && !nothing {
		return nil, err
	}
	if err := dec.SP(); err != nil {
		return nil, err
	}
	if dec.Peek() == '(' {
		req.extended = true
		err = dec.List(func() error {
			_, err := req.patterns.read(dec, reference)
			return err
		})
	} else {
		var text string
		text, err = req.patterns.read(dec, reference)
		// RFC 5258 section 3: only the basic form asks for the separator.
		req.root = text == "" && req.patterns.list != nil && !req.extended
	}
	if err != nil {
		return nil, err
	}
	if nothing {
		req.patterns.list, req.root = nil, false
	}
	if dec.Accept(' ') {
		req.extended, req.root = true, false
		if err := req.parseReturn(dec); err != nil {
			return nil, err
		}
	}
	return req, dec.CRLF()
}

// parseSelection reads the selection options (RFC 5258 section 3.1).
func (r *listRequest) parseSelection(dec *wire.Decoder) error {
	err := dec.List(func() error {
		name, err := dec.Keyword()
		if err != nil {
			return err
		}
		switch name {
		case "SUBSCRIBED":
			r.onlySubscribed = true
		case "SPECIAL-USE":
			r.onlySpecialUse = true
		case "RECURSIVEMATCH":
			r.recursive = true
		case "REMOTE": // all mailboxes are local
		default:
			return wire.Errorf("unknown selection option %s", name)
		}
		return nil
	})
	if err == nil && r.recursive && !r.onlySubscribed && !r.onlySpecialUse {
		// It modifies these, and is an error without (RFC 5258 section 3.1).
		return wire.Errorf("RECURSIVEMATCH needs SUBSCRIBED or SPECIAL-USE")
	}
	return err
}

// parseReturn reads RETURN (options).
func (r *listRequest) parseReturn(dec *wire.Decoder) error {
	word, err := dec.Keyword()
	if err != nil {
		return err
	}
	if word != "RETURN" {
		return wire.Errorf("expected RETURN")
	}
	if err := dec.SP(); err != nil {
		return err
	}
	return dec.List(func() error {
		name, err := dec.Keyword()
		if err != nil {
			return err
		}
		switch name {
		case "SUBSCRIBED":
			r.subscribed = true
		case "CHILDREN", "SPECIAL-USE": // always returned
		case "MYRIGHTS":
			r.myRights = true
		case "METADATA": // RFC 9590
			if err := dec.SP(); err != nil {
				return err
			}
			names, err := parseEntries(dec)
			if err == nil {
				r.metadata, err = entryNames(names, false)
			}
			return err
		case "STATUS": // RFC 5819
			if err := dec.SP(); err != nil {
				return err
			}
			r.status, err = statusItems(dec)
			return err
		default:
			return wire.Errorf("unknown return option %s", name)
		}
		return nil
	})
}

// handleLsub answers LSUB (RFC 3501 section 6.3.9).
func (c *conn) handleLsub(ctx context.Context, cmd *command) error {
	if err := cmd.args.SP(); err != nil {
		return err
	}
	reference, err := cmd.args.Mailbox()
	if err != nil && err != wire.ErrMailboxName {
		return err
	}
	nothing := err != nil // no mailbox has such a name
	if err := cmd.args.SP(); err != nil {
		return err
	}
	var asked patterns
	if _, err := asked.read(cmd.args, reference); err != nil {
		return err
	}
	if err := cmd.args.CRLF(); err != nil {
		return err
	}
	if nothing || asked.list == nil {
		return nil
	}
	p := asked.list[0]
	names, err := c.account.Subscriptions(ctx)
	if err != nil {
		return err
	}
	// A name that does not match is told by its first parent that does, when
	// the pattern ends in "%": "foo" for "foo/bar" (RFC 3501 section 6.3.9).
	answer := make(map[string]bool) // name: subscribed itself
	for _, name := range names {
		if p.matches(name) {
			answer[name] = true
			continue
		}
		if !strings.HasSuffix(p.text, "%") {
			continue
		}
		for parent := parentOf(name); parent != ""; parent = parentOf(parent) {
			if _, told := answer[parent]; !told && p.matches(parent) {
				answer[parent] = false
			}
		}
	}
	sorted := make([]string, 0, len(answer))
	for name := range answer {
		sorted = append(sorted, name)
	}
	sort.Strings(sorted)
	for _, name := range sorted {
		attrs := "()"
		if !answer[name] {
			attrs = `(\Noselect)`
		}
		c.enc.Untagged().Raw("LSUB ").Raw(attrs).Raw(` "/" `).Mailbox(name).CRLF()
	}
	return nil
}

// node is a name that LIST may return.
type node struct {
	name       string
	box        *mailstore.Mailbox // nil: a missing parent, or only subscribed to
	rights     account.Rights     // on the mailbox
	others     bool               // it is another user's
	subscribed bool
	children   bool // a mailbox is below it

	matches  bool // a pattern
	selected bool // the selection options hold for it

	// With RECURSIVEMATCH: a name below it is selected; and one of them matches no
	// pattern, so that LIST does not return it itself.
	selectedBelow, selectedUnlisted bool
}

// mailboxTree is all names of a user, sorted, INBOX first.
type mailboxTree struct {
	nodes []*node
	index map[string]*node
}

// treeOf says what a tree is to have beside the user's own mailboxes.
type treeOf struct{ subscriptions, others bool }

// mailboxTree reads the names.
func (c *conn) mailboxTree(ctx context.Context, of treeOf) (*mailboxTree, error) {
	boxes, err := c.account.Own(ctx)
	if err != nil {
		return nil, err
	}
	own := len(boxes)
	if of.others {
		others, err := c.account.Others(ctx)
		if err != nil {
			return nil, err
		}
		boxes = append(boxes, others...)
	}
	t := &mailboxTree{index: make(map[string]*node, len(boxes))}
	for i, box := range boxes {
		n := t.node(box.Path)
		n.box, n.rights, n.others = box.Mailbox, box.Rights, i >= own
		for parent := parentOf(box.Path); parent != ""; parent = parentOf(parent) {
			t.node(parent).children = true
		}
	}
	if of.subscriptions {
		names, err := c.account.Subscriptions(ctx)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			t.node(name).subscribed = true
			for parent := parentOf(name); parent != ""; parent = parentOf(parent) {
				t.node(parent)
			}
		}
	}
	sort.Slice(t.nodes, func(i, j int) bool {
		a, b := t.nodes[i].name, t.nodes[j].name
		if (a == "INBOX") != (b == "INBOX") {
			return a == "INBOX"
		}
		return a < b
	})
	return t, nil
}

// node returns the node of a name, made when it is new.
func (t *mailboxTree) node(name string) *node {
	n := t.index[name]
	if n == nil {
		n = &node{name: name}
		t.index[name] = n
		t.nodes = append(t.nodes, n)
	}
	return n
}

// markAncestors tells each name what is selected below it.
func (t *mailboxTree) markAncestors() {
	for _, n := range t.nodes {
		if !n.selected {
			continue
		}
		for name := parentOf(n.name); name != ""; name = parentOf(name) {
			parent := t.index[name]
			parent.selectedBelow = true
			parent.selectedUnlisted = parent.selectedUnlisted || !n.matches
		}
	}
}

// parentOf returns the name above, "" at the top.
func parentOf(name string) string {
	i := strings.LastIndex(name, separator)
	if i < 0 {
		return ""
	}
	return name[:i]
}
