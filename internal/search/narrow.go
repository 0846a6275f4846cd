package search

import (
	"context"
	"fmt"
	"slices"

	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/internal/search/index"
	"gadwall/internal/uidset"
)

// Index rules messages out by their numbers (index.Index).
type Index interface {
	Exclude(ctx context.Context, user mailkey.UserID, q *index.Query, wanted []uint64) (*index.Excluded, error)
}

const (
	// smallScope is how many messages are read rather than looked up in the index.
	smallScope = 32
	// fieldScope is the same where their documents alone decide: the database compares the stored
	// fields of so many messages in less time than the index takes.
	fieldScope = 4096
	// manyNumbers is how many numbers are too many to look up only what has them.
	manyNumbers = 1 << 16
)

// indexQuery returns what the index can tell of a residual.
func indexQuery(k *Key) index.Query {
	switch k.op {
	case opAnd, opOr:
		kids := make([]index.Query, len(k.kids))
		for i, kid := range k.kids {
			kids[i] = indexQuery(kid)
		}
		if k.op == opAnd {
			return index.All(kids...)
		}
		return index.Any(kids...)
	case opField:
		return index.Holds(index.FieldOf(k.name), k.text)
	case opHeader, opBody, opText:
		return index.Holds(index.Text, k.text)
	}
	return index.Query{}
}

// inDocuments reports whether a search looks for texts in stored fields only.
func inDocuments(k *Key) bool {
	switch k.op {
	case opHeader, opBody, opText:
		return false
	}
	return !slices.ContainsFunc(k.kids, func(kid *Key) bool { return !inDocuments(kid) })
}

// narrow leaves in the plan the UIDs of messages that may match: flags, dates and sizes decide
// first, and then the index. It changes nothing if it cannot tell. Errors of the index are logged:
// it only saves work.
func (r *run) narrow(ctx context.Context) error {
	s := r.searcher
	q := indexQuery(r.Plan.Residual)
	if s.index == nil || r.Numbers == nil || q.Everything() {
		return nil
	}
	var uids []uint32
	var numbers []uint64
	err := r.numbers(ctx, func(uid uint32, number mailstore.Number) {
		uids, numbers = append(uids, uid), append(numbers, uint64(number))
	})
	if err != nil {
		return err
	}
	scope := smallScope
	if inDocuments(r.Plan.Residual) {
		scope = fieldScope
	}
	if len(uids) > scope {
		wanted := numbers
		if len(wanted) >= manyNumbers {
			wanted = nil
		} else if !slices.IsSorted(wanted) {
			wanted = slices.Clone(wanted)
			slices.Sort(wanted)
		}
		excluded, err := s.index.Exclude(ctx, r.Plan.Mailbox.User(), &q, wanted)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			s.log.Warn("search without the text index", "mailbox", r.Plan.Mailbox.String(), "error", err)
		default:
			left := uids[:0]
			for i, uid := range uids {
				// A message of before there were numbers is read.
				if numbers[i] == 0 || !excluded.Has(numbers[i]) {
					left = append(left, uid)
				}
			}
			s.excluded.Add(int64(len(uids) - len(left)))
			uids = left
		}
	}
	r.Plan.UIDs = uidset.FromAscending(uids)
	return nil
}

// numbers calls f with the messages that UIDs, flags, dates and sizes leave, by ascending UID.
func (r *run) numbers(ctx context.Context, f func(uid uint32, number mailstore.Number)) error {
	var cut func(*mailstore.FlagState) bool
	if r.Plan.Cut != nil {
		var msg mailstore.Message
		cut = func(s *mailstore.FlagState) bool {
			msg.UID, msg.ModSeq, msg.Flags, msg.Keywords = s.UID, s.ModSeq, s.Flags, s.Keywords
			msg.Size, msg.InternalDate, msg.Number = s.Size, s.InternalDate, s.Number
			return matchRow(r.Plan.Cut, &msg)
		}
	}
	ok, err := r.Numbers(ctx, r.Plan.UIDs, cut, f)
	if err != nil {
		return fmt.Errorf("search rows: %w", err)
	}
	if ok {
		return nil
	}
	q := mailstore.Query{UIDs: r.Plan.UIDs, Filter: r.Plan.Filter}
	for msg, err := range r.searcher.messages.Messages(ctx, r.Plan.Mailbox, q, mailstore.FieldNumber) {
		if err != nil {
			return fmt.Errorf("search messages: %w", err)
		}
		f(msg.UID, msg.Number)
	}
	return nil
}
