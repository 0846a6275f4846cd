package imap

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/emersion/go-imap/v2"

	"gadwall/imap/wire"
	"gadwall/internal/contents"
	"gadwall/internal/mailstore"
)

// handleFetch answers FETCH and UID FETCH (RFC 3501 6.4.5 and 6.4.8).
//
// One query walks the messages in ascending order. A request without sections
// is answered as they come; otherwise they are gathered into batches that
// share the change of \Seen and the reads of contents, and sections are
// streamed from there to the connection. Memory is bounded by one batch,
// whatever the set, and by no message's size.
func (c *conn) handleFetch(ctx context.Context, tag string, uid bool, dec *wire.Decoder) error {
	if err := dec.SP(); err != nil {
		return err
	}
	set, err := dec.NumSet(uid)
	if err != nil {
		return err
	}
	if err := dec.SP(); err != nil {
		return err
	}
	req, err := parseFetch(dec, uid)
	if err != nil {
		return err
	}
	if err := dec.CRLF(); err != nil {
		return err
	}
	ranges, err := c.sel.view.Resolve(set)
	if err != nil {
		return err
	}
	if req.usesModSeq() {
		c.enableCondstore()
	}
	f := newFetcher(c, req)
	if err := f.run(ctx, ranges); err != nil {
		return err
	}
	switch {
	case f.unreadable > 0:
		return &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeServerBug,
			Text: fmt.Sprintf("%d messages could not be read", f.unreadable)}
	case f.gone > 0:
		c.ok("EXPUNGEISSUED", "Some messages were already expunged")
	default:
		c.ok("", "FETCH completed")
	}
	return nil
}

// fetched is a message on its way to the client.
type fetched struct {
	seq     uint32
	msg     *mailstore.Message
	changed bool // this FETCH set \Seen
}

// fetcher runs one FETCH.
type fetcher struct {
	c       *conn
	req     *fetchRequest
	plan    fetchPlan
	setSeen bool

	batch      []fetched
	batchBytes int64

	out   []byte // the response being built
	head  []byte // a header that is filtered
	first bool   // no item is in the response yet
	sent  bool   // a part of the response was written

	cursor     uint32 // sequence number where the last message was found
	found      int
	gone       int // messages of the set that no longer exist
	unreadable int // messages that are there but could not be read
}

func newFetcher(c *conn, req *fetchRequest) *fetcher {
	f := &fetcher{c: c, req: req}
	f.setSeen = req.setsSeen() && !c.sel.readOnly
	f.plan = planFetch(req, f.setSeen)
	return f
}

// run answers for all messages of ranges.
func (f *fetcher) run(ctx context.Context, ranges []mailstore.UIDRange) error {
	if len(ranges) == 0 {
		return nil
	}
	if f.plan.fields == 0 && !f.req.hasSince {
		return f.uidsOnly(ranges)
	}
	q := mailstore.Query{UIDs: ranges}
	if f.req.hasSince {
		q.ModSince = f.req.changedSince
	}
	for msg, err := range f.c.srv.store.Messages(ctx, f.c.sel.box, q, f.plan.fields) {
		if err != nil {
			return fmt.Errorf("fetch messages: %w", err)
		}
		seq, ok := f.seq(msg.UID)
		if !ok {
			continue // not in the view: expunged, and the client knows it
		}
		f.found++
		if err := f.take(ctx, fetched{seq: seq, msg: msg}); err != nil {
			return err
		}
	}
	if err := f.writeBatch(ctx); err != nil {
		return err
	}
	if !f.req.hasSince {
		f.gone += f.c.sel.view.Count(ranges) - f.found
	}
	return nil
}

// seq returns the sequence number of a UID; they come in ascending order.
func (f *fetcher) seq(uid uint32) (uint32, bool) {
	if next := f.cursor + 1; f.c.sel.view.UID(next) == uid {
		f.cursor = next
		return next, true
	}
	seq, ok := f.c.sel.view.Seq(uid)
	if ok {
		f.cursor = seq
	}
	return seq, ok
}

// uidsOnly answers from the view.
func (f *fetcher) uidsOnly(ranges []mailstore.UIDRange) error {
	for _, r := range ranges {
		lo, hi := f.c.sel.view.bounds(r)
		for i := lo; i < hi; i++ {
			m := mailstore.Message{UID: f.c.sel.view.uids[i]}
			f.begin(fetched{seq: uint32(i + 1), msg: &m})
			f.out = append(f.out, ")\r\n"...)
			if _, err := f.c.enc.Write(f.out); err != nil {
				return err
			}
		}
	}
	return nil
}

// take answers for one message, or puts it into the batch.
func (f *fetcher) take(ctx context.Context, m fetched) error {
	if !f.plan.content {
		return f.write(ctx, m, nil)
	}
	size := m.msg.Size
	if !f.plan.body { // of headers and partials there is less
		size = min(size, fetchBuffer)
	}
	if len(f.batch) >= fetchBatch || f.batchBytes+size > fetchBatchBytes && len(f.batch) > 0 {
		if err := f.writeBatch(ctx); err != nil {
			return err
		}
	}
	f.batch = append(f.batch, m)
	f.batchBytes += size
	return nil
}

// writeBatch answers for the messages gathered.
func (f *fetcher) writeBatch(ctx context.Context) error {
	if len(f.batch) == 0 {
		return nil
	}
	if f.setSeen {
		if err := f.markSeen(ctx); err != nil {
			return err
		}
	}
	ids := make([]contents.ID, len(f.batch))
	for i, m := range f.batch {
		ids[i] = m.msg.Content
	}
	loaded, err := f.c.loadContents(ctx, ids, f.plan.want(len(f.batch), f.batchBytes))
	if err != nil {
		return err
	}
	if err := f.prefetch(ctx, loaded); err != nil {
		return err
	}
	for i, m := range f.batch {
		f.batch[i].msg = nil
		content := loaded[m.msg.Content]
		if content == nil {
			f.c.log.Error("content of a message is missing", slog.Uint64("uid", uint64(m.msg.UID)),
				slog.String("mailbox", f.c.sel.box.String()), slog.String("content", m.msg.Content.String()))
			f.unreadable++
			continue
		}
		if err := f.write(ctx, m, content); err != nil {
			return err
		}
	}
	f.batch, f.batchBytes = f.batch[:0], 0
	return nil
}

// loadContents loads contents, leaving out those that are damaged.
func (c *conn) loadContents(ctx context.Context, ids []contents.ID, want contents.Want) (map[contents.ID]*contents.Content, error) {
	loaded, err := c.contents.Load(ctx, ids, want)
	if err == nil || !errors.Is(err, contents.ErrCorrupt) {
		return loaded, err
	}
	// One of them makes all fail: find out which.
	loaded = make(map[contents.ID]*contents.Content, len(ids))
	for _, id := range ids {
		one, err := c.contents.Load(ctx, []contents.ID{id}, want)
		switch {
		case errors.Is(err, contents.ErrCorrupt):
			c.log.Error("content is damaged", slog.Any("error", err))
		case err != nil:
			return nil, err
		case one[id] != nil:
			loaded[id] = one[id]
		}
	}
	return loaded, nil
}

// prefetch reads what several messages will need of their contents by one
// query, where Load could not know it: the bytes of parts, and partials.
func (f *fetcher) prefetch(ctx context.Context, loaded map[contents.ID]*contents.Content) error {
	if len(f.batch) < 2 || !f.plan.parts && !f.plan.cuts {
		return nil
	}
	var ranges []contents.Range
	total := int64(0)
	for _, m := range f.batch {
		content := loaded[m.msg.Content]
		if content == nil {
			continue
		}
		for i := range f.req.sections {
			s := &f.req.sections[i]
			if s.rootHeader() {
				continue
			}
			span := s.span(m.msg, content)
			if span.n == 0 || total+span.n > fetchBatchBytes {
				continue // read when it is written
			}
			total += span.n
			ranges = append(ranges, contents.Range{Content: content, Off: span.off, N: span.n})
		}
	}
	if len(ranges) == 0 {
		return nil
	}
	if err := f.c.contents.Prefetch(ctx, ranges); err != nil {
		return fmt.Errorf("prefetch contents: %w", err)
	}
	return nil
}

// markSeen sets \Seen of the messages of the batch that have it not, in one
// change, and notes the new state for their responses.
func (f *fetcher) markSeen(ctx context.Context) error {
	var unseen []mailstore.UIDRange
	for _, m := range f.batch {
		if m.msg.Flags&mailstore.Seen != 0 {
			continue
		}
		if n := len(unseen); n > 0 && unseen[n-1].Last+1 == m.msg.UID {
			unseen[n-1].Last++
			continue
		}
		unseen = append(unseen, mailstore.UIDRange{First: m.msg.UID, Last: m.msg.UID})
	}
	if len(unseen) == 0 {
		return nil
	}
	result, err := f.c.srv.store.StoreFlags(ctx, f.c.sel.box, unseen,
		mailstore.FlagChange{Op: mailstore.Add, Flags: mailstore.Seen})
	if err != nil {
		return fmt.Errorf("set seen: %w", err)
	}
	i := 0
	for _, state := range result.Changed { // ascending, as the batch
		for i < len(f.batch) && f.batch[i].msg.UID < state.UID {
			i++
		}
		if i == len(f.batch) {
			break
		}
		if m := &f.batch[i]; m.msg.UID == state.UID {
			m.changed = true
			m.msg.Flags, m.msg.Keywords, m.msg.ModSeq = state.Flags, state.Keywords, state.ModSeq
			f.c.sel.view.reported(state.ModSeq)
		}
	}
	return nil
}

// span returns the bytes of a message that the section is, or is selected
// from, with the partial applied where that can be done before reading.
func (s *fetchSection) span(m *mailstore.Message, content *contents.Content) span {
	prefix := int64(len(m.Prefix))
	var bytes span
	switch {
	case s.path != nil:
		bytes = s.resolve(content.Root(), prefix)
	case s.kind == sectionAll:
		bytes = span{prefix: prefix, n: content.Size}
	case s.kind == sectionText:
		bytes = span{off: content.HeaderSize(), n: content.Size - content.HeaderSize()}
	default:
		bytes = span{prefix: prefix, n: content.HeaderSize()}
	}
	if s.filtered() {
		return bytes
	}
	return bytes.cut(s.partial)
}

// inRanges reports whether uid lies in ranges, which are ascending and apart.
func inRanges(ranges []mailstore.UIDRange, uid uint32) bool {
	lo, hi := 0, len(ranges)
	for lo < hi {
		mid := (lo + hi) / 2
		switch r := ranges[mid]; {
		case uid < r.First:
			hi = mid
		case uid > r.Last:
			lo = mid + 1
		default:
			return true
		}
	}
	return false
}

var (
	// errUnreadable marks a message that has to be left out of the answer; the
	// command then ends with NO, and the connection lives on.
	errUnreadable = errors.New("message cannot be read")
	// errConnection marks trouble with the client, which is no news.
	errConnection = errors.New("connection failed")
)
