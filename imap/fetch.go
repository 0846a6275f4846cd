package imap

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/emersion/go-imap/v2"

	"gadwall/imap/wire"
	"gadwall/internal/account"
	"gadwall/internal/contents"
	"gadwall/internal/mailstore"
	"gadwall/internal/section"
	"gadwall/internal/uidset"
)

// handleFetch answers FETCH and UID FETCH (RFC 3501 sections 6.4.5 and 6.4.8).
//
// One query walks the messages in ascending order. A request without sections
// is answered as they come; otherwise they are gathered into batches that
// share the reads of contents and the change of \Seen, and sections are
// streamed from there to the connection. While the client reads one batch, the
// next one is read. The memory of a FETCH is bounded by two batches, whatever the
// set and the size of messages; that of all FETCHes by the server's budget.
//
// FETCHes for the same of different messages that have arrived one behind the other share their
// reads: fetch_series.go.
func (c *conn) handleFetch(ctx context.Context, cmd *command) error {
	err := c.fetch(ctx, cmd)
	if err != nil {
		c.endSeries()
	}
	return err
}

func (c *conn) fetch(ctx context.Context, cmd *command) error {
	text := c.fetchText(cmd)
	if err := cmd.args.SP(); err != nil {
		return err
	}
	set, err := cmd.args.NumSet(cmd.uid)
	if err != nil {
		return err
	}
	if err := cmd.args.SP(); err != nil {
		return err
	}
	req, err := parseFetch(cmd.args, cmd.uid)
	if err != nil {
		return err
	}
	if err := cmd.args.CRLF(); err != nil {
		return err
	}
	if req.vanished && (!cmd.uid || !c.enabled.has(qresync)) {
		return wire.Errorf("VANISHED is for UID FETCH after ENABLE QRESYNC")
	}
	ranges, err := c.resolve(set)
	if err != nil {
		return err
	}
	if req.isPartial {
		uids := c.sel.view.Within(ranges)
		lo, hi := req.partial.of(len(uids))
		ranges = uidset.FromAscending(uids[lo:hi])
	}
	if req.usesModSeq() {
		c.enable(condstore)
	}
	if req.vanished {
		if err := c.tellVanished(ctx, set, req.changedSince); err != nil {
			return err
		}
	}
	f := newFetcher(c, req)
	s, err := f.seriesFor(ctx, text, ranges)
	if err != nil {
		return err
	}
	if s != nil {
		err = f.answerNext(ctx, s)
	} else {
		err = f.run(ctx, ranges)
	}
	if err != nil {
		return err
	}
	switch {
	case f.undecoded > 0:
		return refuse(codeUnknownCTE, fmt.Sprintf("%d messages have parts in unknown encodings", f.undecoded))
	case f.unreadable > 0:
		return &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeServerBug,
			Text: fmt.Sprintf("%d messages could not be read", f.unreadable)}
	case f.gone > 0:
		cmd.ok("EXPUNGEISSUED", "Some messages were already expunged")
	default:
		cmd.ok("", "FETCH completed")
	}
	return nil
}

// fetcher runs one FETCH.
type fetcher struct {
	c       *conn
	req     *fetchRequest
	plan    fetchPlan
	setSeen bool
	foreign string // the end of object ids, see idOf

	// Of the side that reads.
	cursor uint32 // sequence number where the last message was found
	found  int    // messages of the set that exist

	// Of the side that writes.
	resp       fetchResponse
	head       []byte // a header that is filtered
	sent       bool   // a part of the response was written
	vanished   int    // messages that went after they were found
	gone       int    // messages of the set that no longer exist
	undecoded  int    // messages with a part whose transfer encoding is unknown
	unreadable int    // messages that are there but could not be read
}

func newFetcher(c *conn, req *fetchRequest) *fetcher {
	f := &fetcher{c: c, req: req}
	f.foreign = c.idOf(c.sel.box.Key().User())
	f.setSeen = req.setsSeen() && c.sel.box.Rights().Has(account.KeepSeen)
	f.plan = planFetch(req, f.setSeen)
	return f
}

// run answers for all messages of ranges.
func (f *fetcher) run(ctx context.Context, ranges uidset.Set) error {
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
	messages := f.messages(ctx, q)
	var err error
	if f.plan.content {
		err = f.inBatches(ctx, messages)
	} else {
		err = f.oneByOne(ctx, messages, f.plan.cursor(f.c.sel.view.Count(ranges)))
	}
	if err == nil && !f.req.hasSince {
		f.gone = f.c.sel.view.Count(ranges) - f.found + f.vanished
	}
	return err
}

// messages iterates over the messages of a query that are in the view.
func (f *fetcher) messages(ctx context.Context, q mailstore.Query) iter.Seq2[fetched, error] {
	return func(yield func(fetched, error) bool) {
		sliced := f.plan.slices() && !f.req.hasSince
		if last := f.c.sel.sliced; sliced && last != nil && isOnly(q.UIDs, last.UID) {
			seq, ok := f.seq(last.UID)
			if err := f.c.sel.box.Check(account.Read); err != nil || ok {
				f.found++
				yield(fetched{seq: seq, msg: last}, err)
			}
			return
		}
		for msg, err := range f.c.sel.box.Messages(ctx, q, f.plan.fields) {
			if err != nil {
				yield(fetched{}, fmt.Errorf("fetch messages: %w", err))
				return
			}
			seq, ok := f.seq(msg.UID)
			if !ok {
				continue // expunged, and the client knows it
			}
			f.found++
			if sliced && isOnly(q.UIDs, msg.UID) {
				f.c.sel.sliced = msg
			}
			if !yield(fetched{seq: seq, msg: msg}, nil) {
				return
			}
		}
	}
}

// isOnly reports whether the set is this UID alone.
func isOnly(set uidset.Set, uid uint32) bool {
	return len(set) == 1 && set[0] == uidset.Range{First: uid, Last: uid}
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

// begin starts the response for a message.
func (f *fetcher) begin(seq, uid uint32, withUID bool) {
	f.c.sel.show.begin(&f.resp, seq, uid, withUID)
}

// uidsOnly answers from the view.
func (f *fetcher) uidsOnly(set uidset.Set) error {
	for seq, uid := range f.c.sel.view.All(set) {
		f.begin(seq, uid, f.req.items&itemUID != 0)
		if _, err := f.c.enc.Write(f.resp.end()); err != nil {
			return err
		}
	}
	return nil
}

// oneByOne answers for messages as they come. It needs that many octets of memory for what the
// query has read.
func (f *fetcher) oneByOne(
	ctx context.Context, messages iter.Seq2[fetched, error], needs int64,
) error {
	memory, err := f.memory(ctx, needs)
	if err != nil {
		return err
	}
	defer memory.release()
	for m, err := range messages {
		if err != nil {
			return err
		}
		if err := f.write(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// span returns the bytes of a message that the section is, or is selected
// from, with the partial applied where that can be done before reading.
func (s *fetchSection) span(m *mailstore.Message, content *contents.Content) section.Span {
	span := s.Span(section.Message{
		Prefix:     int64(len(m.Prefix)),
		Size:       content.Size,
		HeaderSize: content.HeaderSize(),
		Root:       content.Root(),
	})
	if s.Filtered() || s.decodes() {
		return span
	}
	return span.Cut(s.partial)
}

var (
	// errUnreadable marks a message that has to be left out of the answer; the
	// command then ends with NO, and the connection lives on.
	errUnreadable = errors.New("message cannot be read")
	// errUnknownCTE marks a message with a part that cannot be decoded.
	errUnknownCTE = fmt.Errorf("%w: its transfer encoding is unknown", errUnreadable)
	// errGone marks a message that was expunged after the query had found it.
	errGone = errors.New("message is gone")
	// errConnection marks trouble with the client, which is no news.
	errConnection = errors.New("connection failed")
)
