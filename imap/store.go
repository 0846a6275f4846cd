package imap

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"gadwall/imap/wire"
	"gadwall/internal/mailstore"
	"gadwall/internal/uidset"
)

// storeRequest is the arguments of STORE (RFC 3501 section 6.4.6,
// RFC 7162 section 3.1.3).
type storeRequest struct {
	set    imap.NumSet
	change mailstore.FlagChange
	silent bool
}

// handleStore answers STORE and UID STORE.
func (c *conn) handleStore(ctx context.Context, cmd *command) error {
	req, err := parseStore(cmd.args, cmd.uid)
	if err != nil {
		return err
	}
	ranges, err := c.resolve(req.set)
	if err != nil {
		return err
	}
	if req.change.Conditional {
		c.enable(condstore)
	}
	var result *mailstore.FlagResult
	err = c.newCount(cmd.tag, "Setting flags").meanwhile(func() (err error) {
		result, err = c.sel.box.StoreFlags(ctx, ranges, req.change)
		return err
	})
	if err != nil {
		c.sel.stale = true // some may have changed
		return err
	}
	v := &c.sel.view
	// Messages that had the flags already are answered for, too.
	states := merge(result.Changed, result.Unchanged)
	surprises := c.surprises(result)
	for _, f := range states {
		seq, ok := v.Seq(f.UID)
		if !ok {
			continue
		}
		switch {
		case !req.silent || surprises[f.UID]:
			c.sel.show.state(seq, f, cmd.uid)
		case c.enabled.has(condstore):
			// Even .SILENT tells the new mod-sequence (RFC 7162 section 3.1.3).
			c.sel.show.modseq(seq, f, cmd.uid)
		}
	}
	for _, f := range result.Changed {
		c.sel.reported(f.ModSeq)
		c.sel.contexts.changed(f.UID)
	}
	if len(result.Modified) > 0 {
		// What others changed is told before the answer (RFC 7162 section 3.1.3, example 10).
		c.sel.stale = true
		cmd.ok("MODIFIED "+c.numbers(result.Modified, cmd.uid), "Conditional STORE failed for some messages")
		return nil
	}
	if !cmd.uid && v.Count(ranges) > len(states) {
		// Other sessions expunged them meanwhile. RFC 2180 section 4.2 wants NO when
		// some are left; clients show that to people as an error, and it is none.
		c.sel.stale = true
		if len(states) == 0 && !req.silent {
			return errExpunged
		}
		cmd.ok(string(codeExpungeIssued), "Some messages were expunged by another session")
	}
	return nil
}

// surprises returns the messages whose flags another session changed before, without the client
// having been told. From its own command alone the client does not know what their flags are now
// (RFC 3501 section 6.4.6).
func (c *conn) surprises(result *mailstore.FlagResult) map[uint32]bool {
	var uids map[uint32]bool
	surprise := func(uid uint32, before uint64) {
		if c.sel.knows(before) {
			return
		}
		if uids == nil {
			uids = make(map[uint32]bool)
		}
		uids[uid] = true
	}
	for i, f := range result.Changed {
		surprise(f.UID, result.Before[i])
	}
	for _, f := range result.Unchanged {
		surprise(f.UID, f.ModSeq)
	}
	return uids
}

// codeExpungeIssued is of RFC 5530 section 3.
const codeExpungeIssued imap.ResponseCode = "EXPUNGEISSUED"

var errExpunged = refuse(codeExpungeIssued, "The messages were expunged by another session")

// merge joins two lists in ascending order of UIDs.
func merge(a, b []mailstore.FlagState) []mailstore.FlagState {
	if len(b) == 0 {
		return a
	}
	all := slices.Concat(a, b)
	slices.SortFunc(all, func(x, y mailstore.FlagState) int { return cmp.Compare(x.UID, y.UID) })
	return all
}

// numbers writes UIDs (ascending) as a set of UIDs or of sequence numbers.
func (c *conn) numbers(uids []uint32, uid bool) string {
	if uid {
		return uidset.Format(uids)
	}
	seqs := make([]uint32, 0, len(uids))
	for _, u := range uids {
		if seq, ok := c.sel.view.Seq(u); ok {
			seqs = append(seqs, seq)
		}
	}
	return uidset.Format(seqs)
}

func parseStore(dec *wire.Decoder, uid bool) (*storeRequest, error) {
	req := &storeRequest{}
	if err := dec.SP(); err != nil {
		return nil, err
	}
	var err error
	if req.set, err = dec.NumSet(uid); err != nil {
		return nil, err
	}
	if err := dec.SP(); err != nil {
		return nil, err
	}
	if dec.Peek() == '(' {
		if err := req.parseModifiers(dec); err != nil {
			return nil, err
		}
		if err := dec.SP(); err != nil {
			return nil, err
		}
	}
	item, err := dec.Keyword()
	if err != nil {
		return nil, err
	}
	item, req.silent = strings.CutSuffix(item, ".SILENT")
	switch item {
	case "FLAGS":
		req.change.Op = mailstore.Set
	case "+FLAGS":
		req.change.Op = mailstore.Add
	case "-FLAGS":
		req.change.Op = mailstore.Remove
	default:
		return nil, wire.Errorf("unknown item %s", item)
	}
	if err := dec.SP(); err != nil {
		return nil, err
	}
	flags, err := flagArgument(dec)
	if err != nil {
		return nil, err
	}
	if req.change.Flags, req.change.Keywords, err = splitFlags(flags); err != nil {
		return nil, err
	}
	return req, dec.CRLF()
}

// parseModifiers reads "(UNCHANGEDSINCE n)".
func (r *storeRequest) parseModifiers(dec *wire.Decoder) error {
	return dec.List(func() error {
		name, err := dec.Keyword()
		if err != nil {
			return err
		}
		if name != "UNCHANGEDSINCE" {
			return wire.Errorf("unknown modifier %s", name)
		}
		if err := dec.SP(); err != nil {
			return err
		}
		r.change.Conditional = true
		r.change.UnchangedSince, err = dec.Number64()
		return err
	})
}

// flagArgument reads a list of flags, or flags without parentheses
// (RFC 3501 section 9, store-att-flags).
func flagArgument(dec *wire.Decoder) ([]string, error) {
	if dec.Peek() == '(' {
		return dec.FlagList()
	}
	var flags []string
	for {
		f, err := dec.Flag()
		if err != nil {
			return nil, err
		}
		if flags = append(flags, f); len(flags) > maxStoreFlags {
			return nil, wire.Limit("more than %d flags", maxStoreFlags)
		}
		if !dec.Accept(' ') {
			return flags, nil
		}
	}
}

// splitFlags parts system flags from keywords. \Recent cannot be set
// (RFC 3501 section 2.3.2) and other flags with a backslash do not exist here.
func splitFlags(names []string) (flags mailstore.Flags, keywords []string, err error) {
	if len(names) > maxStoreFlags {
		return 0, nil, wire.Limit("more than %d flags", maxStoreFlags)
	}
	for _, name := range names {
		if !strings.HasPrefix(name, `\`) {
			if mailstore.FindKeyword(keywords, name) < 0 {
				keywords = append(keywords, name)
			}
			continue
		}
		f, ok := mailstore.ParseFlag(name)
		if !ok {
			return 0, nil, wire.Errorf("flag %s cannot be set", name)
		}
		flags |= f
	}
	return flags, keywords, nil
}
