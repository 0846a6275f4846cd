package search

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"runtime"
	"slices"
	"sync/atomic"

	"gadwall/internal/contents"
	"gadwall/internal/mailkey"
	"gadwall/internal/mailstore"
	"gadwall/internal/uidset"
	"gadwall/mimestream"
)

// Messages is what a search asks of the store of messages (mailstore.Store).
type Messages interface {
	// Messages iterates over the messages that q names, by ascending UID.
	Messages(ctx context.Context, box mailkey.Mailbox, q mailstore.Query,
		fields mailstore.Fields) iter.Seq2[*mailstore.Message, error]
	// UIDs returns the UIDs of these messages.
	UIDs(ctx context.Context, box mailkey.Mailbox, q mailstore.Query) ([]uint32, error)
	// Count returns how many they are.
	Count(ctx context.Context, box mailkey.Mailbox, q mailstore.Query) (int64, error)
}

// Contents is what a search asks of the store of contents (contents.Store).
type Contents interface {
	Load(ctx context.Context, ids []contents.ID, want contents.Want) (map[contents.ID]*contents.Content, error)
	Prefetch(ctx context.Context, ranges []contents.Range) error
}

// Searcher runs searches. It may be used by any number of goroutines.
// An instance has one, since it shares the processors between the users who search.
type Searcher struct {
	messages Messages
	index    Index // nil for none
	log      *slog.Logger
	turns    *turns

	excluded, candidates, hits atomic.Int64
}

// Stats counts what searches for texts did.
type Stats struct {
	Excluded   int64 // messages that the text index ruled out
	Candidates int64 // messages whose document or text was compared
	Hits       int64 // of these, those found
}

// Stats returns the counts since NewSearcher.
func (s *Searcher) Stats() Stats {
	return Stats{s.excluded.Load(), s.candidates.Load(), s.hits.Load()}
}

// NewSearcher returns a Searcher. Without an index it reads all that only the texts decide. Without
// a logger it logs to slog.Default().
func NewSearcher(messages Messages, index Index, log *slog.Logger) *Searcher {
	if log == nil {
		log = slog.Default()
	}
	return &Searcher{messages: messages, index: index, log: log, turns: newTurns(runtime.GOMAXPROCS(0))}
}

// Request is a search to run.
type Request struct {
	Plan Plan
	// Contents is where the texts are read: a session passes its own, with its
	// cache.
	Contents Contents
	// Known restricts the search to messages that the caller knows; nil means
	// all. What it refuses is not read.
	Known func(uid uint32) bool
	// Rows, if set, iterates over messages with what Plan.Rows asks for, which is in memory. Each is
	// good until the next one. ok is false if they are not there; then the database is asked.
	Rows func(ctx context.Context, q mailstore.Query) (
		messages iter.Seq2[*mailstore.Message, error], ok bool, err error)
	// Numbers, if set, calls f with the UIDs of a set and the numbers of their messages, by ascending
	// UID, but for those that cut, if it is not nil, refuses. ok is false if that is better left to
	// the database.
	Numbers func(ctx context.Context, set uidset.Set, cut func(*mailstore.FlagState) bool,
		f func(uid uint32, number mailstore.Number)) (ok bool, err error)
	// ModSeqs asks for the mod-sequences of the messages found.
	ModSeqs bool
	// Reverse finds messages by descending UID.
	Reverse bool
	// Limit ends the search after so many messages; 0 means no limit.
	Limit int
	// Progress, if set, is called now and then by the goroutine that iterates, with a UID: all
	// messages before it, in the order of the search, are decided.
	Progress func(uid uint32)
}

// Found is a message that a search found.
type Found struct {
	UID    uint32
	ModSeq uint64 // 0 unless asked for
}

// Run iterates over the messages found, by ascending UID (descending with Request.Reverse). A message whose
// content is missing or damaged is logged and not found. After an error the
// iteration ends.
func (s *Searcher) Run(ctx context.Context, req Request) iter.Seq2[Found, error] {
	return func(yield func(Found, error) bool) {
		r := run{searcher: s, Request: req}
		if req.Limit > 0 {
			yield = atMost(req.Limit, yield)
		}
		if len(req.Plan.UIDs) > 0 && req.Plan.Rows != nil && req.Rows != nil {
			messages, ok, err := req.Rows(ctx, mailstore.Query{UIDs: req.Plan.UIDs})
			if err != nil {
				yield(Found{}, fmt.Errorf("search rows: %w", err))
				return
			}
			if ok && req.Reverse {
				r.rowsBackward(messages, yield)
				return
			}
			if ok {
				r.rows(messages, yield)
				return
			}
		}
		switch {
		case len(req.Plan.UIDs) == 0:
		case req.Plan.Residual != nil:
			r.texts(ctx, yield)
		case req.ModSeqs:
			r.documents(ctx, yield)
		default:
			r.uids(ctx, yield)
		}
	}
}

// Count returns how many messages Run would find, without finding them where the database can
// count. Limit and Known do not count here.
func (s *Searcher) Count(ctx context.Context, req Request) (int64, error) {
	req.Limit, req.Known = 0, nil
	n := int64(0)
	if req.Plan.Rows != nil && req.Rows != nil {
		messages, ok, err := req.Rows(ctx, mailstore.Query{UIDs: req.Plan.UIDs})
		if err != nil {
			return 0, fmt.Errorf("count rows: %w", err)
		}
		if ok {
			for msg, err := range messages {
				if err != nil {
					return 0, fmt.Errorf("count rows: %w", err)
				}
				if matchRow(req.Plan.Rows, msg) {
					n++
				}
			}
			return n, nil
		}
	}
	if req.Plan.Residual == nil {
		if len(req.Plan.UIDs) == 0 {
			return 0, nil
		}
		r := run{searcher: s, Request: req}
		return s.messages.Count(ctx, req.Plan.Mailbox, r.query())
	}
	for _, err := range s.Run(ctx, req) {
		if err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

// atMost returns a yield that ends after n messages.
func atMost(n int, yield func(Found, error) bool) func(Found, error) bool {
	return func(found Found, err error) bool {
		n--
		return yield(found, err) && n > 0
	}
}

// run is one search that runs.
type run struct {
	searcher *Searcher
	Request
	others []*matcher // that work beside the first
	memo   memo
}

func (r *run) query() mailstore.Query {
	q := mailstore.Query{UIDs: r.Plan.UIDs, Filter: r.Plan.Filter, Reverse: r.Reverse}
	switch {
	case r.Limit > 0 && r.Plan.Residual != nil:
		q.Batch = limitedBatch
	case r.Known == nil:
		q.Limit = r.Limit
	}
	return q
}

func (r *run) known(uid uint32) bool { return r.Known == nil || r.Known(uid) }

// rows finds among messages that are in memory.
func (r *run) rows(messages iter.Seq2[*mailstore.Message, error], yield func(Found, error) bool) {
	for msg, err := range messages {
		if err != nil {
			yield(Found{}, fmt.Errorf("search rows: %w", err))
			return
		}
		if !matchRow(r.Plan.Rows, msg) || !r.known(msg.UID) {
			continue
		}
		found := Found{UID: msg.UID}
		if r.ModSeqs {
			found.ModSeq = msg.ModSeq
		}
		if !yield(found, nil) {
			return
		}
	}
}

// rowsBackward is rows for a search from the end. An error comes first.
func (r *run) rowsBackward(messages iter.Seq2[*mailstore.Message, error], yield func(Found, error) bool) {
	var list []Found
	var failed error
	r.rows(messages, func(f Found, err error) bool {
		list, failed = append(list, f), err
		return err == nil
	})
	if failed != nil {
		yield(Found{}, failed)
		return
	}
	for _, f := range slices.Backward(list) {
		if !yield(f, nil) {
			return
		}
	}
}

// uids finds what the plan says exactly.
func (r *run) uids(ctx context.Context, yield func(Found, error) bool) {
	uids, err := r.searcher.messages.UIDs(ctx, r.Plan.Mailbox, r.query())
	if err != nil {
		yield(Found{}, fmt.Errorf("search messages: %w", err))
		return
	}
	for _, uid := range uids {
		if r.known(uid) && !yield(Found{UID: uid}, nil) {
			return
		}
	}
}

// documents finds what the plan says exactly, with mod-sequences.
func (r *run) documents(ctx context.Context, yield func(Found, error) bool) {
	for msg, err := range r.candidates(ctx, mailstore.FieldFlags) {
		if err != nil {
			yield(Found{}, err)
			return
		}
		if !yield(Found{msg.UID, msg.ModSeq}, nil) {
			return
		}
	}
}

// candidates iterates over the known messages that the plan's ranges and filter
// leave.
func (r *run) candidates(ctx context.Context, fields mailstore.Fields) iter.Seq2[*mailstore.Message, error] {
	return func(yield func(*mailstore.Message, error) bool) {
		for msg, err := range r.searcher.messages.Messages(ctx, r.Plan.Mailbox, r.query(), fields) {
			if err != nil {
				yield(nil, fmt.Errorf("search messages: %w", err))
				return
			}
			if r.known(msg.UID) && !yield(msg, nil) {
				return
			}
		}
	}
}

// texts decides the residual for the candidates, batch by batch.
func (r *run) texts(ctx context.Context, yield func(Found, error) bool) {
	if err := r.narrow(ctx); err != nil {
		yield(Found{}, err)
		return
	}
	if len(r.Plan.UIDs) == 0 {
		return
	}
	m := newMatcher(r.Plan.Residual)
	fields := m.want
	if r.ModSeqs {
		fields |= mailstore.FieldFlags
	}
	var batch []*mailstore.Message
	size := batchMessages
	if r.Limit > 0 {
		size = min(size, max(r.Limit, firstBatch)) // the first ones may do
	}
	flush := func() bool {
		if len(batch) == 0 {
			return true
		}
		matches, err := r.matchBatch(ctx, m, batch)
		if err != nil {
			yield(Found{}, err)
			return false
		}
		r.searcher.candidates.Add(int64(len(batch)))
		for i, msg := range batch {
			if !matches[i] {
				continue
			}
			r.searcher.hits.Add(1)
			if !yield(Found{msg.UID, msg.ModSeq}, nil) {
				return false
			}
		}
		if r.Progress != nil {
			r.Progress(batch[len(batch)-1].UID)
		}
		batch, size = batch[:0], min(2*size, batchMessages)
		return true
	}
	for msg, err := range r.candidates(ctx, fields) {
		if err != nil {
			yield(Found{}, err)
			return
		}
		if batch = append(batch, msg); len(batch) >= size && !flush() {
			return
		}
	}
	flush()
}

// matchBatch decides the residual for the messages of a batch. What their
// documents decide is not loaded.
func (r *run) matchBatch(ctx context.Context, m *matcher, batch []*mailstore.Message) ([]bool, error) {
	matches := make([]bool, len(batch))
	var ids []contents.ID
	var open []int
	for i, msg := range batch {
		m.begin(msg)
		r.memo.apply(m, msg)
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
	loaded, err := r.load(ctx, ids, contents.Want{RootHeader: m.header, Parts: m.parts})
	if err != nil {
		return nil, err
	}
	if m.parts {
		if err := r.prefetch(ctx, loaded); err != nil {
			return nil, err
		}
	}
	return matches, r.matchTexts(ctx, m, batch, open, loaded, matches)
}

// inTurn runs match with a place of the Searcher's. The matcher lets others have their
// turn in between.
func (r *run) inTurn(ctx context.Context, m *matcher, match func() error) error {
	turns, user := r.searcher.turns, r.Plan.Mailbox.User()
	if err := turns.take(ctx, user); err != nil {
		return err
	}
	placed := true
	defer func() {
		if placed {
			turns.done(user)
		}
	}()
	m.pause = func() error {
		err := turns.pass(ctx, user)
		placed = err == nil
		return err
	}
	return match()
}

// load loads contents, leaving out those that are damaged.
func (r *run) load(ctx context.Context, ids []contents.ID,
	want contents.Want) (map[contents.ID]*contents.Content, error) {
	loaded, err := r.Contents.Load(ctx, ids, want)
	if !contents.IsUnreadable(err) {
		return loaded, err
	}
	// One of them makes all fail: find out which.
	loaded = make(map[contents.ID]*contents.Content, len(ids))
	for _, id := range ids {
		one, err := r.Contents.Load(ctx, []contents.ID{id}, want)
		switch {
		case contents.IsUnreadable(err):
			r.searcher.log.Error("content is damaged", slog.Any("error", err))
		case err != nil:
			return nil, err
		case one[id] != nil:
			loaded[id] = one[id]
		}
	}
	return loaded, nil
}

// prefetch reads the text parts of several contents by one query, as far as
// they are small. Damage is left to the reading of the part that has it.
func (r *run) prefetch(ctx context.Context, loaded map[contents.ID]*contents.Content) error {
	var ranges []contents.Range
	total := int64(0)
	for _, content := range loaded {
		content.Root().Walk(func(part *mimestream.Part) bool {
			n := part.End() - part.HeaderOffset
			if isText(part) && total+n <= batchBytes && part.BodySize <= maxAtOnce {
				total += n
				ranges = append(ranges, contents.Range{Content: content, Off: part.HeaderOffset, N: n})
			}
			return true
		})
	}
	if len(ranges) == 0 {
		return nil
	}
	if err := r.Contents.Prefetch(ctx, ranges); err != nil && !contents.IsUnreadable(err) {
		return fmt.Errorf("read texts: %w", err)
	}
	return nil
}
