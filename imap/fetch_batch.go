package imap

import (
	"context"
	"fmt"
	"iter"

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
	short   []byte            // the short header; nil unless the plan needs no more
	changed bool              // this FETCH set \Seen
}

// missing reports whether the store does not have what the plan needs of the message.
func (m *fetched) missing() bool { return m.content == nil && m.short == nil }

// previewless reports whether a preview that was not stored has to be made.
func (m *fetched) previewless(items fetchItems) bool {
	return items&itemPreview != 0 && !m.msg.HasPreview
}

// batch is messages whose contents were read together, or why that failed.
type batch struct {
	messages []fetched
	size     int64            // of what is to be written, about
	memory   *lease           // for the contents
	ahead    *blobstore.Ahead // reads the blobs of their sections; nil if they have none
	err      error
	panicked any
}

// close ends what belongs to the batch.
func (b *batch) close() {
	b.ahead.Close()
	b.memory.release()
}

// inBatches answers for messages batch by batch. A goroutine reads the next batch while
// this one is written; it ends before inBatches returns. It reads ahead only as long as the
// client reads: the next batch comes when half of this one is written.
func (f *fetcher) inBatches(ctx context.Context, messages iter.Seq2[fetched, error]) error {
	ctx, cancel := context.WithCancel(ctx)
	batches, next := make(chan batch), make(chan struct{}, 1)
	go func() {
		defer close(batches)
		f.read(ctx, messages, batches, next)
	}()
	defer func() {
		cancel()
		for b := range batches { // wait for the end
			b.close()
		}
	}()
	for b := range batches {
		if err := f.answer(ctx, &b, next); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// answer writes a batch, and lets the next one be read when half of this one is written.
func (f *fetcher) answer(ctx context.Context, b *batch, next chan<- struct{}) error {
	defer b.close()
	if b.panicked != nil {
		panic(b.panicked)
	}
	if b.err != nil {
		return b.err
	}
	allow := func() {
		select {
		case next <- struct{}{}:
		default: // it was allowed already
		}
	}
	f.c.out.afterBytes(b.size/2, allow)
	defer f.c.out.afterBytes(0, nil)
	err := f.writeBatch(ctx, b, allow)
	if err == nil {
		allow()
	}
	return err
}

// read gathers messages into batches and reads their contents, until ctx ends. It has memory
// for a batch before it reads it.
func (f *fetcher) read(
	ctx context.Context, messages iter.Seq2[fetched, error], to chan<- batch, next <-chan struct{},
) {
	send := func(b batch) bool {
		select {
		case to <- b:
			return b.err == nil
		case <-ctx.Done():
			b.close()
			return false
		}
	}
	defer func() {
		if p := recover(); p != nil { // is the connection's to handle
			send(batch{panicked: p})
		}
	}()
	memory, err := f.memory(ctx, maxBatchMemory)
	if err != nil {
		send(batch{err: err})
		return
	}
	defer func() { memory.release() }()
	var gathered []fetched
	size := int64(0)
	flush := func() bool {
		b := f.load(ctx, gathered, size)
		b.memory, memory = memory, nil
		b.memory.shrink(size)
		gathered, size = nil, 0
		return send(b)
	}
	for m, err := range messages {
		if err != nil {
			send(batch{err: err})
			return
		}
		add := f.plan.memory(m.msg)
		if len(gathered) >= fetchBatch || len(gathered) > 0 && size+add > fetchBatchBytes {
			if !flush() {
				return
			}
			select {
			case <-next:
			case <-ctx.Done():
				return
			}
			if memory, err = f.memory(ctx, maxBatchMemory); err != nil {
				send(batch{err: err})
				return
			}
		}
		gathered = append(gathered, m)
		size += add
	}
	if len(gathered) > 0 {
		flush()
	}
}

// memory waits for memory of the server's budget.
func (f *fetcher) memory(ctx context.Context, n int64) (*lease, error) {
	return f.c.srv.fetchMemory.acquire(ctx, f.c.account.UserID(), n)
}

// load reads what the plan wants of the contents of messages.
func (f *fetcher) load(ctx context.Context, messages []fetched, size int64) batch {
	ids := make([]contents.ID, len(messages))
	for i, m := range messages {
		ids[i] = m.msg.Content
	}
	if f.plan.short {
		var err error
		if ids, err = f.shortHeaders(ctx, messages, ids); err != nil {
			return batch{err: err}
		}
		if len(ids) == 0 {
			return batch{messages: messages, size: size}
		}
	}
	loaded, err := f.c.sel.box.Contents().Load(ctx, ids, f.plan.want(len(ids), size))
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
	return batch{messages: messages, size: size, ahead: ahead}
}

// shortHeaders notes the short headers of messages, and returns the contents that have to be loaded
// for the others.
func (f *fetcher) shortHeaders(
	ctx context.Context, messages []fetched, ids []contents.ID,
) (missing []contents.ID, err error) {
	headers, err := f.c.sel.box.Contents().ShortHeaders(ctx, ids)
	if err != nil {
		return nil, err
	}
	for i, h := range headers {
		if messages[i].short = h; h == nil {
			missing = append(missing, ids[i])
		}
	}
	return missing, nil
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
			s := &f.req.sections[i]
			if s.decodes() || s.binary == binarySize {
				continue // only a range of what is decoded may be needed
			}
			if span := s.span(m.msg, m.content); span.N > 0 {
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
			if s.RootHeader() || s.decodes() || s.binary == binarySize {
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

// writeBatch answers for the messages of a batch. It gives the memory of each back when
// it is written. It calls half when half of the messages are written: of header fields,
// the answers are far smaller than what is read for them, so their octets do not tell.
func (f *fetcher) writeBatch(ctx context.Context, b *batch, half func()) error {
	if f.setSeen {
		if err := f.markSeen(ctx, b.messages); err != nil {
			return err
		}
	}
	left := b.size
	for i, m := range b.messages {
		if i > 0 && i == len(b.messages)/2 {
			half()
		}
		b.messages[i] = fetched{} // to free it
		failed := f.unreadable
		if err := f.writeRead(ctx, m); err != nil {
			return err
		}
		if m.content != nil && len(b.messages) == 1 && f.plan.keeps() && f.unreadable == failed {
			b.ahead.Close() // it may read of this content
			f.c.sel.box.Contents().Keep(m.content)
		}
		if left -= f.plan.memory(m.msg); b.ahead == nil {
			b.memory.shrink(left)
		}
	}
	return nil
}

// writeRead writes the response of a message whose content was to be read, if the plan needs it.
func (f *fetcher) writeRead(ctx context.Context, m fetched) error {
	if f.plan.content && m.missing() {
		f.c.srv.rare.Error(f.c.log, "imap: content of a message is missing", "uid", m.msg.UID,
			"mailbox", f.c.sel.box.Key().String(), "content", m.msg.Content.String())
		f.unreadable++
		return nil
	}
	return f.write(ctx, m)
}

// markSeen sets \Seen of the messages that have it not, in one change, and
// notes the new state for their responses.
func (f *fetcher) markSeen(ctx context.Context, messages []fetched) error {
	var unseen []uint32
	for _, m := range messages {
		if m.msg.Flags&mailstore.Seen == 0 && !m.missing() {
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
		f.c.srv.rare.Warn(f.c.log, "imap: no space left to set \\Seen", "error", err)
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
			f.c.sel.reported(state.ModSeq)
			f.c.sel.contexts.changed(state.UID)
		}
	}
	return nil
}
