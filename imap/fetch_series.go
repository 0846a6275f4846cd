package imap

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/emersion/go-imap/v2"

	"gadwall/imap/wire"
	"gadwall/internal/mailstore"
	"gadwall/internal/uidset"
)

// A series is FETCHes that the client has sent one behind the other, for the same items of different
// messages, without waiting for the answers. The server reads for all of them together when it
// comes to the first, as for one FETCH of all their messages, and then answers one after the
// other. None of them changes anything, so the order in which they are read does not matter
// (RFC 3501 section 5.5).
//
// All commands had arrived before the server read, so to the client each looks as if it were read in
// its turn. But flags answer a command only if the session has told the client of no change since.
// After such a change the rest is read anew, and fewer messages at a time (selected.together), so that
// little is read in vain where much changes.
//
// The session's goroutine does all of that. A series holds what a batch of a FETCH holds, and the
// documents of the messages behind it. It ends with its last command, before a command that is
// none of it, and before the session waits for anything but the database.
type series struct {
	sel    *selected
	modseq uint64 // of the view when the series was read
	text   string // of each command, without tag and set
	next   []seriesCommand
	done   int // messages that are answered

	plan   fetchPlan
	unread []fetched // their contents are not there yet
	batch  batch     // those that are to be answered next
	memory *lease    // of batch and unread
}

// seriesCommand is a command of a series that is not answered yet.
type seriesCommand struct {
	ranges   uidset.Set
	messages int // how many of them exist
}

// endSeries gives up what was read for further commands.
func (c *conn) endSeries() {
	s := c.series
	if s == nil {
		return
	}
	c.series = nil
	s.batch.close()
	s.memory.release()
	together := 2 * s.sel.together
	if len(s.next) > 0 {
		together = 2 * s.done
	}
	s.sel.together = min(max(together, 2), fetchBatch)
}

// seriesFor returns the series that the FETCH of a text is the next command of: the one that goes on,
// or a new one. It is nil if the command stands alone.
func (f *fetcher) seriesFor(ctx context.Context, text fetchText, ranges uidset.Set) (*series, error) {
	c := f.c
	if s := c.series; s != nil && s.continues(c.sel, text, ranges) {
		return s, nil
	}
	c.endSeries()
	if !f.joins() || text.set == nil {
		return nil, nil
	}
	s := &series{sel: c.sel, modseq: c.sel.view.ModSeq(), text: text.string(), plan: f.plan,
		next: []seriesCommand{{ranges: ranges}}}
	all, ok := s.lookAhead(c, text, ranges)
	if !ok {
		return nil, nil
	}
	c.series = s
	return s, s.read(ctx, f, all)
}

// joins reports whether a request may be one of a series: it changes nothing, and means the same
// before and after the others. The mailbox of another user has to be looked at before each command.
func (f *fetcher) joins() bool {
	r := f.req
	return !f.setSeen && !r.hasSince && !r.vanished && !r.isPartial && f.plan.fields != 0 &&
		!f.c.sel.box.Foreign()
}

// continues reports whether a command is the next one of the series.
func (s *series) continues(sel *selected, text fetchText, ranges uidset.Set) bool {
	return s.sel == sel && len(s.next) > 0 && text.string() == s.text && slices.Equal(ranges, s.next[0].ranges) &&
		(s.plan.fields&mailstore.FieldFlags == 0 || s.modseq == sel.view.ModSeq())
}

// lookAhead finds the commands of the series behind the first one, and returns the messages of all.
// There are none if ok is false.
func (s *series) lookAhead(c *conn, first fetchText, ranges uidset.Set) (all uidset.Set, ok bool) {
	all = ranges
	count, most := c.sel.view.Count(ranges), min(c.sel.together, fetchBatch)
	for line := range c.dec.Behind() {
		text := parseFetchText(line)
		if text.set == nil || !text.alike(first) {
			break
		}
		set, err := wire.ParseNumSet(text.set, text.uid)
		if err != nil || imap.IsSearchRes(set) {
			break
		}
		next, err := c.resolve(set)
		if err != nil || len(all.Intersect(next)) > 0 {
			break
		}
		if count += c.sel.view.Count(next); count > most {
			break
		}
		s.next = append(s.next, seriesCommand{ranges: next})
		all = all.Union(next)
	}
	return all, len(s.next) > 1
}

// read finds the messages of all commands.
func (s *series) read(ctx context.Context, f *fetcher, all uidset.Set) (err error) {
	if len(all) == 0 {
		return nil
	}
	if err := s.reserve(ctx, f, f.c.sel.view.Count(all)); err != nil {
		return err
	}
	found := make(map[uint32]*mailstore.Message)
	for msg, err := range f.c.sel.box.Messages(ctx, mailstore.Query{UIDs: all}, s.plan.fields) {
		if err != nil {
			return fmt.Errorf("fetch messages: %w", err)
		}
		found[msg.UID] = msg
	}
	for i := range s.next {
		for _, uid := range f.c.sel.view.Within(s.next[i].ranges) {
			if msg := found[uid]; msg != nil {
				s.unread = append(s.unread, fetched{msg: msg})
				s.next[i].messages++
			}
		}
	}
	return nil
}

// reserve waits for memory for a batch and the documents of so many messages.
func (s *series) reserve(ctx context.Context, f *fetcher, messages int) (err error) {
	needs := s.plan.cursor(messages)
	if s.plan.content {
		needs += maxBatchMemory
	}
	s.memory, err = f.memory(ctx, needs)
	return err
}

// answerNext answers the next command of the series.
func (f *fetcher) answerNext(ctx context.Context, s *series) error {
	command := s.next[0]
	s.next = s.next[1:]
	view := &f.c.sel.view
	for range command.messages {
		if len(s.batch.messages) == 0 {
			if err := s.load(ctx, f); err != nil {
				return err
			}
		}
		m := s.batch.messages[0]
		s.batch.messages[0] = fetched{} // to free it
		s.batch.messages = s.batch.messages[1:]
		var ok bool
		if m.seq, ok = f.seq(m.msg.UID); ok {
			f.found++
			if err := f.writeRead(ctx, m); err != nil {
				return err
			}
		}
		s.answered(m)
	}
	f.gone = view.Count(command.ranges) - f.found + f.vanished
	if len(s.next) == 0 {
		f.c.endSeries()
	}
	return nil
}

// load takes the next messages into the batch, with their contents as many as a batch has.
func (s *series) load(ctx context.Context, f *fetcher) error {
	if !s.plan.content {
		s.batch, s.unread = batch{messages: s.unread}, nil
		return nil
	}
	if s.memory == nil {
		if err := s.reserve(ctx, f, len(s.unread)); err != nil {
			return err
		}
	}
	n, size := 0, int64(0)
	for ; n < len(s.unread); n++ {
		add := s.plan.memory(s.unread[n].msg)
		if n > 0 && size+add > fetchBatchBytes {
			break
		}
		size += add
	}
	s.batch = f.load(ctx, s.unread[:n:n], size)
	if s.batch.err != nil {
		return s.batch.err
	}
	s.unread = s.unread[n:]
	s.shrink()
	return nil
}

// answered notes that a message is answered.
func (s *series) answered(m fetched) {
	s.done++
	if s.plan.content {
		s.batch.size -= s.plan.memory(m.msg)
	}
	s.shrink()
}

// shrink gives back memory that is not needed any more. At the end of a batch that is all: the next
// one waits for its own, and the session holds nothing meanwhile but documents.
func (s *series) shrink() {
	switch {
	case len(s.batch.messages) == 0:
		s.batch.close()
		s.batch = batch{}
		s.memory.release()
		s.memory = nil
	case s.batch.ahead == nil:
		s.memory.shrink(s.batch.size + s.plan.cursor(len(s.batch.messages)+len(s.unread)))
	}
}

// fetchText is a FETCH as the client wrote it, in one line.
type fetchText struct {
	uid   bool
	set   []byte // nil: it is none
	items []byte
}

// string is what the commands of a series have in common.
func (t fetchText) string() string {
	if t.uid {
		return "UID " + string(t.items)
	}
	return string(t.items)
}

// alike reports whether two commands differ in their tags and sets alone.
func (t fetchText) alike(u fetchText) bool { return t.uid == u.uid && bytes.Equal(t.items, u.items) }

// parseFetchText splits a line that is a FETCH or UID FETCH. Whether it is a valid one shows when its
// turn comes.
func parseFetchText(line []byte) (t fetchText) {
	_, rest, _ := bytes.Cut(line, []byte(" "))
	if t.uid = hasPrefixFold(rest, "UID "); t.uid {
		rest = rest[len("UID "):]
	}
	if !hasPrefixFold(rest, "FETCH ") {
		return fetchText{}
	}
	return t.arguments(rest[len("FETCH"):])
}

// arguments splits what follows the name of a FETCH. A line that announces a literal is not all of it.
func (t fetchText) arguments(rest []byte) fetchText {
	set, items, ok := bytes.Cut(bytes.TrimPrefix(rest, []byte(" ")), []byte(" "))
	items = bytes.TrimRight(items, " ")
	if !ok || len(set) == 0 || bytes.HasSuffix(items, []byte("}")) {
		return fetchText{}
	}
	t.set, t.items = set, items
	return t
}

func hasPrefixFold(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && bytes.EqualFold(b[:len(prefix)], []byte(prefix))
}

// fetchText returns the FETCH whose arguments come next, if that is of any use.
func (c *conn) fetchText(cmd *command) fetchText {
	if c.series == nil && c.dec.Buffered() == 0 {
		return fetchText{}
	}
	rest, ok := c.dec.RestOfLine()
	if !ok {
		return fetchText{}
	}
	t := fetchText{uid: cmd.uid}.arguments(rest)
	t.set, t.items = bytes.Clone(t.set), bytes.Clone(t.items)
	return t
}
