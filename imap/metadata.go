package imap

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"gadwall/imap/wire"
	"gadwall/internal/account"
	"gadwall/internal/mailstore"
)

// The first components of the names of entries (RFC 5464 section 3.2): with one of them alone,
// DEPTH asks for all entries of a kind.
const (
	privateEntries = "/private"
	sharedEntries  = "/shared"
)

// Entries of the server that the operator sets, and clients only read (RFC 5464 section 3.2.1.1).
const (
	entryComment = "/shared/comment"
	entryAdmin   = "/shared/admin"
)

// codeTooManyEntries is of RFC 5464 section 4.3.
const codeTooManyEntries imap.ResponseCode = "METADATA TOOMANY"

// metadataRequest is what one GETMETADATA asks for.
type metadataRequest struct {
	mailbox string // "" is the server
	names   []string
	depth   int // levels below the names
	maxSize int // of values; less than 0 is no limit
}

// infinity is DEPTH infinity: deeper than any name is.
const infinity = mailstore.MaxMetadataName

// handleGetMetadata answers GETMETADATA (RFC 5464 section 4.2).
func (c *conn) handleGetMetadata(ctx context.Context, cmd *command) error {
	req, err := parseGetMetadata(cmd.args)
	if err != nil {
		return err
	}
	names := req.names
	if req.depth > 0 {
		names = nil // and looks what is below them
	}
	entries, err := c.account.Metadata(ctx, req.mailbox, names)
	if err != nil {
		return err
	}
	if req.mailbox == "" {
		entries = append(entries, c.srv.opts.entries()...)
	}
	longest := c.writeMetadata(req.mailbox, req.answer(entries), req.maxSize)
	if longest > 0 {
		cmd.ok(fmt.Sprintf("METADATA LONGENTRIES %d", longest), "GETMETADATA completed")
	}
	return nil
}

// entries returns the entries of the server that the operator set.
func (o *Options) entries() (entries []mailstore.MetadataEntry) {
	for _, e := range []struct{ name, value string }{{entryAdmin, o.AdminURI}, {entryComment, o.Comment}} {
		if e.value != "" {
			entries = append(entries, mailstore.MetadataEntry{Name: e.name, Value: []byte(e.value)})
		}
	}
	return entries
}

// answer returns what of the entries is asked for: in the order of the names, and below each name
// in alphabetical order. A name without an entry has the value NIL, but if it is a place to look
// below.
func (r *metadataRequest) answer(entries []mailstore.MetadataEntry) (answer []mailstore.MetadataEntry) {
	told := make(map[string]bool)
	for _, name := range r.names {
		there := false
		for _, e := range entries {
			below, isBelow := strings.CutPrefix(e.Name, name+"/")
			there = there || e.Name == name
			if e.Name != name && (!isBelow || strings.Count(below, "/") >= r.depth) || told[e.Name] {
				continue
			}
			told[e.Name] = true
			answer = append(answer, e)
		}
		if !there && r.depth == 0 {
			answer = append(answer, mailstore.MetadataEntry{Name: name})
		}
	}
	return answer
}

// writeMetadata writes a METADATA response with values (RFC 5464 section 4.4.1), without those
// that are longer than maxSize. It returns the size of the longest of these, 0 if there is none.
func (c *conn) writeMetadata(mailbox string, entries []mailstore.MetadataEntry, maxSize int) (longest int) {
	open := false
	for _, e := range entries {
		if maxSize >= 0 && len(e.Value) > maxSize {
			longest = max(longest, len(e.Value))
			continue
		}
		if !open {
			c.enc.Untagged().Raw("METADATA ").Mailbox(mailbox).Raw(" (")
			open = true
		} else {
			c.enc.SP()
		}
		c.entryName(e.Name)
		c.enc.SP()
		c.metadataValue(e.Value)
	}
	if open {
		c.enc.Raw(")\r\n")
	}
	return longest
}

// entryName writes the name of an entry, an astring.
func (c *conn) entryName(name string) { c.enc.RawBytes(wire.AppendAString(nil, name)) }

// metadataValue writes the value of an entry: NIL, a string, or a literal8 where there is a NUL in
// it (RFC 5464 section 5).
func (c *conn) metadataValue(value []byte) {
	switch {
	case value == nil:
		c.enc.NIL()
	case slices.Contains(value, 0):
		c.enc.Byte('~').RawBytes(wire.AppendLiteral(nil, int64(len(value)))).RawBytes(value)
	default:
		c.enc.String(string(value))
	}
}

// parseGetMetadata reads the arguments of GETMETADATA. The options stand before the mailbox as the
// grammar has it, or behind as in the examples of RFC 5464 section 4.2.
func parseGetMetadata(dec *wire.Decoder) (*metadataRequest, error) {
	req := &metadataRequest{maxSize: -1}
	if err := dec.SP(); err != nil {
		return nil, err
	}
	options := dec.Peek() == '('
	if options {
		if err := dec.List(func() error { return req.option(dec, "") }); err != nil {
			return nil, err
		}
		if err := dec.SP(); err != nil {
			return nil, err
		}
	}
	var err error
	if req.mailbox, err = dec.Mailbox(); err != nil {
		return nil, err
	}
	if err := dec.SP(); err != nil {
		return nil, err
	}
	if !options && dec.Peek() == '(' {
		if options, err = req.optionsOrEntries(dec); err != nil {
			return nil, err
		}
		if options {
			if err := dec.SP(); err != nil {
				return nil, err
			}
		}
	}
	if len(req.names) == 0 {
		if req.names, err = parseEntries(dec); err != nil {
			return nil, err
		}
	}
	for dec.Accept(' ') { // without parentheses, as in RFC 5464 section 4.4.1
		name, err := dec.AString()
		if err != nil {
			return nil, err
		}
		req.names = append(req.names, name)
	}
	if err := dec.CRLF(); err != nil {
		return nil, err
	}
	req.names, err = entryNames(req.names, req.depth > 0)
	return req, err
}

// optionsOrEntries reads a list behind the mailbox, and reports whether it has options. All names
// of entries begin with a slash.
func (r *metadataRequest) optionsOrEntries(dec *wire.Decoder) (options bool, err error) {
	err = dec.List(func() error {
		word, err := dec.AString()
		switch {
		case err != nil:
			return err
		case strings.HasPrefix(word, "/") && !options:
			r.names = append(r.names, word)
			return nil
		case len(r.names) > 0:
			return wire.Errorf("%s is not the name of an entry", clip(word))
		}
		options = true
		return r.option(dec, word)
	})
	if err == nil && !options && len(r.names) == 0 {
		err = wire.Errorf("no entries")
	}
	return options, err
}

// option reads MAXSIZE or DEPTH with its value; the name may have been read.
func (r *metadataRequest) option(dec *wire.Decoder, name string) error {
	if name == "" {
		var err error
		if name, err = dec.Keyword(); err != nil {
			return err
		}
	}
	if err := dec.SP(); err != nil {
		return err
	}
	switch strings.ToUpper(name) {
	case "MAXSIZE":
		size, err := dec.Number()
		r.maxSize = int(size)
		return err
	case "DEPTH":
		depth, err := dec.Keyword()
		if err != nil {
			return err
		}
		switch depth {
		case "0":
			r.depth = 0
		case "1":
			r.depth = 1
		case "INFINITY":
			r.depth = infinity
		default:
			return wire.Errorf("DEPTH is 0, 1 or infinity")
		}
		return nil
	}
	return wire.Errorf("unknown option %s", clip(name))
}

// parseEntries reads one name or a list of names.
func parseEntries(dec *wire.Decoder) (names []string, err error) {
	one := func() error {
		name, err := dec.AString()
		names = append(names, name)
		return err
	}
	if dec.Peek() == '(' {
		if err = dec.List(one); err == nil && len(names) == 0 {
			err = wire.Errorf("no entries")
		}
		return names, err
	}
	return names, one()
}

// entryNames checks names and returns them in lower case, each once: they are case-insensitive
// (RFC 5464 section 3.2).
func entryNames(names []string, places bool) ([]string, error) {
	if len(names) > maxMetadataNames {
		return nil, wire.Limit("more than %d entries", maxMetadataNames)
	}
	var checked []string
	for _, name := range names {
		name, err := entryName(name, places)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(checked, name) {
			checked = append(checked, name)
		}
	}
	return checked, nil
}

// entryName checks the name of an entry by the rules of RFC 5464 section 3.2. As a place to look
// below, a name may have fewer components.
func entryName(name string, place bool) (string, error) {
	bad := func(why string) (string, error) { return "", wire.Errorf("entry %s: %s", clip(name), why) }
	if len(name) > mailstore.MaxMetadataName {
		return "", wire.Limit("the name of an entry is longer than %d octets", mailstore.MaxMetadataName)
	}
	for i := range len(name) {
		if ch := name[i]; ch < ' ' || ch >= 0x7f || ch == '*' || ch == '%' {
			return bad("the name has a character that is not allowed")
		}
	}
	lower := strings.ToLower(name)
	parts := strings.Split(lower, "/")
	if slices.Contains(parts[1:], "") {
		return bad("an empty component")
	}
	if len(parts) < 2 || parts[0] != "" || parts[1] != "private" && parts[1] != "shared" {
		return bad("the name begins with neither " + privateEntries + " nor " + sharedEntries)
	}
	if place {
		return lower, nil
	}
	if len(parts) < 3 || parts[2] == "vendor" && len(parts) < 5 {
		return bad("too few components")
	}
	return lower, nil
}

// handleSetMetadata answers SETMETADATA (RFC 5464 section 4.3).
func (c *conn) handleSetMetadata(ctx context.Context, cmd *command) error {
	mailbox, err := mailboxArgument(cmd.args)
	if err != nil {
		return err
	}
	if err := cmd.args.SP(); err != nil {
		return err
	}
	entries, err := parseEntryValues(cmd.args)
	if err != nil {
		return err
	}
	if err := cmd.args.CRLF(); err != nil {
		return err
	}
	for _, e := range entries {
		if mailbox == "" && strings.HasPrefix(e.Name, mailstore.SharedMetadata) {
			return refuse(imap.ResponseCodeNoPerm, "Only the operator sets shared entries of the server")
		}
	}
	owner, change, err := c.account.SetMetadata(ctx, mailbox, entries)
	if err != nil {
		return err
	}
	if c.tellsAnnotations(c.notify) {
		c.annotations.made(owner, change)
	}
	return nil
}

// parseEntryValues reads a list of names and values. A name that is there again gets the last one.
func parseEntryValues(dec *wire.Decoder) (entries []mailstore.MetadataEntry, err error) {
	err = dec.List(func() error {
		name, err := dec.AString()
		if err != nil {
			return err
		}
		if name, err = entryName(name, false); err != nil {
			return err
		}
		if err := dec.SP(); err != nil {
			return err
		}
		value, err := parseMetadataValue(dec)
		if err != nil {
			return err
		}
		entries = slices.DeleteFunc(entries, func(e mailstore.MetadataEntry) bool { return e.Name == name })
		if len(entries) >= maxMetadataNames {
			return wire.Limit("more than %d entries", maxMetadataNames)
		}
		entries = append(entries, mailstore.MetadataEntry{Name: name, Value: value})
		return nil
	})
	if err == nil && len(entries) == 0 {
		err = wire.Errorf("no entries")
	}
	return entries, err
}

// parseMetadataValue reads a value; nil is NIL. The bytes of a literal that is too large are not
// asked for.
func parseMetadataValue(dec *wire.Decoder) ([]byte, error) {
	tooLarge := &wire.SyntaxError{Code: fmt.Sprintf("METADATA MAXSIZE %d", mailstore.MaxMetadataValue),
		Text: "the value is too large"}
	if mark, err := dec.LiteralMark(); err == nil && mark.Size > mailstore.MaxMetadataValue {
		return nil, tooLarge
	}
	value, there, err := dec.NString()
	switch {
	case err != nil || !there:
		return nil, err
	case len(value) > mailstore.MaxMetadataValue:
		return nil, tooLarge
	}
	return []byte(value), nil
}

// listMetadata returns the answers of METADATA for what LIST returns (RFC 9590 section 3): each has
// all the names, as with GETMETADATA. Mailboxes whose annotations the client may not read have
// none.
func (c *conn) listMetadata(
	ctx context.Context, tree *mailboxTree, req *listRequest,
) (map[*node][]mailstore.MetadataEntry, error) {
	if req.metadata == nil {
		return nil, nil
	}
	var boxes []account.Listed
	for _, n := range tree.nodes {
		if n.matches && n.selected && n.box != nil && n.rights.Annotate() {
			boxes = append(boxes, account.Listed{Mailbox: n.box, Rights: n.rights})
		}
	}
	found, err := c.account.ListMetadata(ctx, boxes, req.metadata)
	if err != nil {
		return nil, err
	}
	answers := make(map[*node][]mailstore.MetadataEntry, len(boxes))
	asked := metadataRequest{names: req.metadata}
	for _, box := range boxes {
		answers[tree.index[box.Path]] = asked.answer(found[box.Key])
	}
	return answers, nil
}
