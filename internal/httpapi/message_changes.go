package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"gadwall/internal/account"
	"gadwall/internal/mailstore"
	"gadwall/internal/uidset"
)

// flagsOfOne is a change of flags: either set, or add and remove.
type flagsOfOne struct {
	Add    []string `json:"add" doc:"Flags such as \\Seen, and keywords."`
	Remove []string `json:"remove"`
	Set    []string `json:"set" doc:"All others go. Not with add and remove."`
	// UnchangedSince is CONDSTORE's (RFC 7162 section 3.1.3).
	UnchangedSince uint64 `json:"unchangedSince" doc:"Messages with a greater modseq stay as they are."`
}

// flagsOfMany is a change of flags of several messages.
type flagsOfMany struct {
	UIDs []uint32 `json:"uids" required:"true"`
	flagsOfOne
}

type flagsChanged struct {
	Messages []Message `json:"messages" doc:"Those that exist, with their flags now."`
	Spared   []uint32  `json:"spared,omitempty" doc:"UIDs of messages that changed after unchangedSince."`
}

// destination is where messages are to go.
type destination struct {
	UIDs []uint32 `json:"uids" required:"true"`
	To   string   `json:"to" required:"true" doc:"The id or path of a mailbox."`
}

// copied says where messages went.
type copied struct {
	UIDValidity uint32       `json:"uidValidity" doc:"Of the destination."`
	Messages    []copiedPair `json:"messages"`
}

type copiedPair struct {
	From uint32 `json:"from" doc:"A UID in the source."`
	To   uint32 `json:"to" doc:"The UID in the destination."`
}

type removed struct {
	UIDs []uint32 `json:"uids" doc:"Of the messages that were there."`
}

// uidsOf makes a set of the UIDs of a request.
func uidsOf(uids []uint32) (uidset.Set, error) {
	if len(uids) == 0 || len(uids) > maxChanged || slices.Contains(uids, 0) {
		return nil, badField(fmt.Sprintf("uids must be 1 to %d UIDs", maxChanged))
	}
	sorted := slices.Clone(uids)
	slices.Sort(sorted)
	return uidset.FromAscending(slices.Compact(sorted)), nil
}

// changes returns what the store has to do.
func (in *flagsOfOne) changes() ([]mailstore.FlagChange, error) {
	if in.Set != nil && (in.Add != nil || in.Remove != nil) || in.Set == nil && in.Add == nil && in.Remove == nil {
		return nil, badField("either set, or add, remove or both must be there")
	}
	var list []mailstore.FlagChange
	for _, c := range []struct {
		op    mailstore.FlagOp
		names []string
	}{{mailstore.Set, in.Set}, {mailstore.Add, in.Add}, {mailstore.Remove, in.Remove}} {
		if c.names == nil {
			continue
		}
		flags, keywords, err := parseFlags(c.names)
		if err != nil {
			return nil, err
		}
		list = append(list, mailstore.FlagChange{Op: c.op, Flags: flags, Keywords: keywords,
			UnchangedSince: in.UnchangedSince})
	}
	return list, nil
}

// parseFlags tells system flags and keywords apart.
func parseFlags(names []string) (flags mailstore.Flags, keywords []string, err error) {
	for _, name := range names {
		flag, known := mailstore.ParseFlag(name)
		switch {
		case known:
			flags |= flag
		case strings.HasPrefix(name, `\`):
			return 0, nil, badField(name + " is no flag")
		default:
			keywords = append(keywords, name)
		}
	}
	return flags, keywords, nil
}

// change changes flags, and returns the messages with their flags then.
func (s *Server) change(ctx context.Context, box *account.Mailbox, uids uidset.Set, in *flagsOfOne) (
	flagsChanged, error,
) {
	result := flagsChanged{Messages: []Message{}}
	changes, err := in.changes()
	if err != nil {
		return result, err
	}
	for _, c := range changes {
		done, err := box.StoreFlags(ctx, uids, c)
		if err != nil {
			return result, err
		}
		result.Spared = append(result.Spared, done.Modified...)
		if len(changes) > 1 && c.UnchangedSince > 0 {
			// What this step changed has a greater mod-sequence; the next step may change it all the same.
			changed := make([]uint32, 0, len(done.Changed)+len(done.Unchanged))
			for _, m := range slices.Concat(done.Changed, done.Unchanged) {
				changed = append(changed, m.UID)
			}
			slices.Sort(changed)
			uids = uidset.FromAscending(changed)
			changes[1].UnchangedSince = 0
		}
	}
	spared := make(map[uint32]bool)
	for _, uid := range result.Spared {
		spared[uid] = true
	}
	for m, err := range box.Messages(ctx, mailstore.Query{UIDs: uids}, mailstore.FieldFlags) {
		if err != nil {
			return result, err
		}
		if !spared[m.UID] {
			result.Messages = append(result.Messages, shownMessage(m, mailstore.FieldFlags))
		}
	}
	return result, nil
}

func (s *Server) changeFlags(_ http.ResponseWriter, r *http.Request) (any, error) {
	var in flagsOfMany
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	uids, err := uidsOf(in.UIDs)
	if err != nil {
		return nil, err
	}
	box, _, err := s.mailbox(r, account.ReadWrite)
	if err != nil {
		return nil, err
	}
	return s.change(r.Context(), box, uids, &in.flagsOfOne)
}

func (s *Server) changeFlagsOfOne(_ http.ResponseWriter, r *http.Request) (any, error) {
	var in flagsOfOne
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	uid, err := parseUID(r.PathValue("uid"))
	if err != nil {
		return nil, err
	}
	box, at, err := s.mailbox(r, account.ReadWrite)
	if err != nil {
		return nil, err
	}
	since, err := matching(r, at.UIDValidity, uid)
	if err != nil {
		return nil, err
	}
	byTag := since > 0 && (in.UnchangedSince == 0 || since < in.UnchangedSince)
	if byTag {
		in.UnchangedSince = since
	}
	changed, err := s.change(r.Context(), box, uidset.FromAscending([]uint32{uid}), &in)
	switch {
	case err != nil:
		return nil, err
	case len(changed.Spared) > 0 && byTag:
		return nil, errPrecondition
	case len(changed.Spared) > 0:
		return nil, refuse(http.StatusConflict, "Changed", "the message has changed after unchangedSince")
	case len(changed.Messages) == 0:
		return nil, errNoMessage
	}
	return changed.Messages[0], nil
}

// transfer is account.Mailbox.Copy or Move.
type transfer func(m *account.Mailbox, r *http.Request, uids uidset.Set, to *account.Mailbox) (
	*mailstore.CopyResult, error)

func (s *Server) copyMessages(_ http.ResponseWriter, r *http.Request) (any, error) {
	return s.transfer(r, func(m *account.Mailbox, r *http.Request, uids uidset.Set, to *account.Mailbox) (
		*mailstore.CopyResult, error,
	) {
		return m.Copy(r.Context(), uids, to, nil)
	})
}

func (s *Server) moveMessages(_ http.ResponseWriter, r *http.Request) (any, error) {
	return s.transfer(r, func(m *account.Mailbox, r *http.Request, uids uidset.Set, to *account.Mailbox) (
		*mailstore.CopyResult, error,
	) {
		return m.Move(r.Context(), uids, to, nil)
	})
}

func (s *Server) transfer(r *http.Request, do transfer) (any, error) {
	var in destination
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	uids, err := uidsOf(in.UIDs)
	if err != nil {
		return nil, err
	}
	a, err := s.account(r)
	if err != nil {
		return nil, err
	}
	from, _, err := openMailbox(r.Context(), a, r.PathValue("mailbox"), account.ReadWrite)
	if err != nil {
		return nil, err
	}
	to, _, err := openMailbox(r.Context(), a, in.To, account.ReadWrite)
	if err != nil {
		return nil, err
	}
	done, err := do(from, r, uids, to)
	if err != nil {
		return nil, err
	}
	result := copied{UIDValidity: done.UIDValidity, Messages: make([]copiedPair, len(done.Source))}
	for i := range done.Source {
		result.Messages[i] = copiedPair{done.Source[i], done.Dest[i]}
	}
	return result, nil
}

// remove removes messages for good, and returns the UIDs of those that were there. With unchangedSince
// above 0 the error is errPrecondition if one of them changed since.
func (s *Server) remove(ctx context.Context, box *account.Mailbox, uids uidset.Set, unchangedSince uint64) (
	[]uint32, error,
) {
	// Both rights are needed, and told of before anything changes.
	if err := box.Check(account.DeleteMessages | account.Expunge); err != nil {
		return nil, err
	}
	done, err := box.StoreFlags(ctx, uids, mailstore.FlagChange{Op: mailstore.Add, Flags: mailstore.Deleted,
		UnchangedSince: unchangedSince})
	switch {
	case err != nil:
		return nil, err
	case len(done.Modified) > 0:
		return nil, errPrecondition
	}
	gone := []uint32{}
	err = box.Expunge(ctx, uids, func(uids []uint32, _ uint64) error {
		gone = append(gone, uids...)
		return nil
	})
	return gone, err
}

func (s *Server) deleteMessages(_ http.ResponseWriter, r *http.Request) (any, error) {
	var list []uint32
	for text := range strings.SplitSeq(r.FormValue("uids"), ",") {
		uid, err := parseUID(text)
		if err != nil {
			return nil, err
		}
		list = append(list, uid)
	}
	uids, err := uidsOf(list)
	if err != nil {
		return nil, err
	}
	box, _, err := s.mailbox(r, account.ReadWrite)
	if err != nil {
		return nil, err
	}
	gone, err := s.remove(r.Context(), box, uids, 0)
	if err != nil {
		return nil, err
	}
	return removed{gone}, nil
}

func (s *Server) deleteMessage(_ http.ResponseWriter, r *http.Request) (any, error) {
	uid, err := parseUID(r.PathValue("uid"))
	if err != nil {
		return nil, err
	}
	box, at, err := s.mailbox(r, account.ReadWrite)
	if err != nil {
		return nil, err
	}
	since, err := matching(r, at.UIDValidity, uid)
	if err != nil {
		return nil, err
	}
	gone, err := s.remove(r.Context(), box, uidset.FromAscending([]uint32{uid}), since)
	if err == nil && len(gone) == 0 {
		err = errNoMessage
	}
	return nil, err
}
