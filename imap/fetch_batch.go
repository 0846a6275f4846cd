package imap

import (
	"context"
	"fmt"
	"iter"
	"log/slog"

	"gadwall/blobstore"
	"gadwall/internal/contents"
	"gadwall/internal/database"
	"gadwall/internal/mailstore"
	"gadwall/internal/uidset"
)

// fetched is a message on its way to the client.
type fetched struct {
	seq     uint32
	msg     *mailstore.Message
	content *contents.Content // nil unless the plan needs it
	changed bool              // this FETCH set \Seen
}

// batch is messages whose contents were read together, or why that failed.
type batch struct {
	messages []fetched
	ahead    *blobstore.Ahead // reads the blobs of their sections; nil if they have none
	err      error
	panicked any
}

// inBatches answers for messages batch by batch. A goroutine reads the next
// one while this one is written; it ends before inBatches returns.
func (f *fetcher) inBatches(ctx context.Context, messages iter.Seq2[fetched, error]) error {
	ctx, cancel := context.WithCancel(ctx)
	batches := make(chan batch)
	go func() {
		defer close(batches)
		f.read(ctx, messages, batches)
	}()
	defer func() {
		cancel()
		for b := range batches { // wait for the end
			b.ahead.Close()
		}
	}()
	for b := range batches {
		if b.panicked != nil {
			panic(b.panicked)
		}
		if b.err != nil {
			return b.err
		}
		err := f.writeBatch(ctx, b.messages)
		b.ahead.Close()
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// read gathers messages into batches and reads their contents, until ctx ends.
func (f *fetcher) read(ctx context.Context, messages iter.Seq2[fetched, error], to chan<- batch) {
	send := func(b batch) bool {
		select {
		case to <- b:
			return b.err == nil
		case <-ctx.Done():
			b.ahead.Close()
			return false
		}
	}
	defer func() {
		if p := recover(); p != nil { // is the connection's to handle
			send(batch{panicked: p})
		}
	}()
	var gathered []fetched
	size := int64(0)
	for m, err := range messages {
		if err != nil {
			send(batch{err: err})
			return
		}
		add := m.msg.Size
		if !f.plan.body { // headers and partials are less
			add = min(add, fetchBuffer)
		}
		if len(gathered) >= fetchBatch || len(gathered) > 0 && size+add > fetchBatchBytes {
			if !send(f.load(ctx, gathered, size)) {
				return
			}
			gathered, size = nil, 0
		}
		gathered = append(gathered, m)
		size += add
	}
	if len(gathered) > 0 {
		send(f.load(ctx, gathered, size))
	}
}

// load reads what the plan wants of the contents of messages.
func (f *fetcher) load(ctx context.Context, messages []fetched, size int64) batch {
	ids := make([]contents.ID, len(messages))
	for i, m := range messages {
		ids[i] = m.msg.Content
	}
	loaded, err := f.c.sel.box.Contents().Load(ctx, ids, f.plan.want(size))
	if err != nil {
		return batch{err: err}
	}
	for i := range messages {
		messages[i].content = loaded[messages[i].msg.Content]
	}
	if err := f.prefetch(ctx, messages); err != nil {
		return batch{err: err}
	}
	ahead, err := f.c.sel.box.Contents().ReadAhead(ctx, f.ranges(messages))
	if err != nil {
		return batch{err: err}
	}
	return batch{messages: messages, ahead: ahead}
}

// ranges returns what will be written of the contents of messages, in that order.
func (f *fetcher) ranges(messages []fetched) []contents.Range {
	if !f.plan.body && !f.plan.cuts {
		return nil // root headers, which are no blobs but for the strangest
	}
	var ranges []contents.Range
	for _, m := range messages {
		if m.content == nil {
			continue
		}
		for i := range f.req.sections {
			if span := f.req.sections[i].span(m.msg, m.content); span.N > 0 {
				ranges = append(ranges, contents.Range{Content: m.content, Off: span.Off, N: span.N})
			}
		}
	}
	return ranges
}

// prefetch reads what several messages will need of their contents by one
// query, where Load could not know it: the bytes of parts, and partials.
func (f *fetcher) prefetch(ctx context.Context, messages []fetched) error {
	if len(messages) < 2 || !f.plan.parts && !f.plan.cuts {
		return nil
	}
	var ranges []contents.Range
	total := int64(0)
	for _, m := range messages {
		if m.content == nil {
			continue
		}
		for i := range f.req.sections {
			s := &f.req.sections[i]
			if s.RootHeader() {
				continue
			}
			span := s.span(m.msg, m.content)
			if span.N == 0 || total+span.N > fetchBatchBytes {
				continue // read when it is written
			}
			total += span.N
			ranges = append(ranges, contents.Range{Content: m.content, Off: span.Off, N: span.N})
		}
	}
	return f.c.sel.box.Contents().Prefetch(ctx, ranges)
}

// writeBatch answers for the messages of a batch.
func (f *fetcher) writeBatch(ctx context.Context, messages []fetched) error {
	if f.setSeen {
		if err := f.markSeen(ctx, messages); err != nil {
			return err
		}
	}
	for i, m := range messages {
		messages[i] = fetched{} // to free it
		if m.content == nil {
			f.c.log.Error("content of a message is missing", slog.Uint64("uid", uint64(m.msg.UID)),
				slog.String("mailbox", f.c.sel.box.Key().String()), slog.String("content", m.msg.Content.String()))
			f.unreadable++
			continue
		}
		if err := f.write(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// markSeen sets \Seen of the messages that have it not, in one change, and
// notes the new state for their responses.
func (f *fetcher) markSeen(ctx context.Context, messages []fetched) error {
	var unseen []uint32
	for _, m := range messages {
		if m.msg.Flags&mailstore.Seen == 0 && m.content != nil {
			unseen = append(unseen, m.msg.UID)
		}
	}
	if len(unseen) == 0 {
		return nil
	}
	result, err := f.c.sel.box.StoreFlags(ctx, uidset.FromAscending(unseen),
		mailstore.FlagChange{Op: mailstore.Add, Flags: mailstore.Seen})
	if database.IsStorageFull(err) {
		// What is asked for can be given all the same.
		f.c.log.Warn("no space left to set \\Seen", slog.Any("error", err))
		return nil
	}
	if err != nil {
		return fmt.Errorf("set seen: %w", err)
	}
	i := 0
	for _, state := range result.Changed { // ascending, as the batch
		for i < len(messages) && messages[i].msg.UID < state.UID {
			i++
		}
		if i == len(messages) {
			break
		}
		if m := &messages[i]; m.msg.UID == state.UID {
			m.changed = true
			m.msg.Flags, m.msg.Keywords, m.msg.ModSeq = state.Flags, state.Keywords, state.ModSeq
			f.c.sel.view.Reported(state.ModSeq)
		}
	}
	return nil
}
