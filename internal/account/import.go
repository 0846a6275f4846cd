package account

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"gadwall/dedupe"
	"gadwall/internal/contents"
	"gadwall/internal/mailstore"
	"gadwall/internal/uidset"
	"gadwall/quota"
)

// Import is messages on their way into a mailbox. Add stores their bytes; Commit puts all of them
// into the mailbox by one transaction; Discard gives them up. One goroutine uses it.
//
// The references that Add takes may be held for dedupe.MaxHold. An audit takes back what is held
// for longer, so Commit then fails and Discard leaves them alone.
type Import struct {
	box       *Mailbox
	items     []mailstore.AppendItem
	announced int64 // bytes that Admit allowed
	held      int   // bytes of items, which stay in memory
	seen      []int // of items: those that the actor has seen, where \Seen is each user's own

	from *Mailbox // where the message that is replaced is, if that was told
	uid  uint32   // its UID

	known bool // limit and used are those of the first Admit
	limit quota.Limits
	used  quota.Usage
}

// Entry is what a message has in its mailbox beside its bytes.
type Entry struct {
	Flags    mailstore.Flags
	Keywords []string
	Date     time.Time // INTERNALDATE; the present if zero
	// Prefix is the trace lines of the message's delivery, if the caller has them apart: then Add
	// reads the content alone. Nil makes Add look for them at the start.
	Prefix []byte
	// Restored says that the mailbox had the message before. Otherwise a client saves it, and says by
	// where and with which keywords what a spam filter can learn (mailstore.AppendLesson).
	Restored bool
}

// Imported says where the messages of an Import are, in the order in which they were added.
type Imported struct {
	UIDValidity uint32
	UIDs        []uint32
	ModSeq      uint64
}

// Import begins an Import. It needs Insert.
func (m *Mailbox) Import() (*Import, error) {
	if err := m.Check(Insert); err != nil {
		return nil, err
	}
	return &Import{box: m}, nil
}

// Admit tells whether to ask for a message of this size, or for so many more bytes of it. It saves the
// client from sending what cannot fit; the transaction of Commit charges the quota. It asks the
// database once for the whole Import. The error is quota.ErrOverQuota.
func (i *Import) Admit(ctx context.Context, size int64) error {
	if !i.known {
		var err error
		if i.limit, i.used, err = i.box.account.Quota(ctx); err != nil {
			return err
		}
		i.known = true
	}
	i.announced += size
	more := quota.Usage{Bytes: i.announced, Messages: int64(len(i.items)) + 1}
	if i.limit.Fit(i.used, more) {
		return nil
	}
	gone, err := i.replaced(ctx)
	if err != nil {
		return err
	}
	if !i.limit.Fit(i.used.Sub(gone), more) {
		return i.box.account.owned(quota.ErrOverQuota)
	}
	return nil
}

// Replaces tells Admit that Replace will follow: what the message takes that goes is free then.
func (i *Import) Replaces(from *Mailbox, uid uint32) { i.from, i.uid = from, uid }

// replaced is what the quota gets back of the message that is replaced.
func (i *Import) replaced(ctx context.Context) (gone quota.Usage, err error) {
	if i.from == nil || i.from.key.User() != i.box.key.User() {
		return gone, nil
	}
	q := mailstore.Query{UIDs: uidset.Set{{First: i.uid, Last: i.uid}}}
	for m, err := range i.from.Messages(ctx, q, mailstore.FieldSize) {
		if err != nil {
			return gone, err
		}
		gone = gone.Add(quota.Usage{Bytes: m.Size, Messages: 1})
	}
	return gone, nil
}

// Add reads a message to the end of r and stores its bytes. Trace lines of an earlier delivery
// become the message's prefix, so that the content is the one that others have. A message that
// submission has saved in the mailbox of use \Sent is not stored once more: its UID is that of
// submission's. Flags that the actor may not set are left out (RFC 4314 section 4, APPEND). The error
// is mailstore.ErrTooMany if one transaction cannot take all that was added.
func (i *Import) Add(ctx context.Context, e Entry, r io.Reader) error {
	return i.AddWritten(ctx, e, func(w io.Writer) error {
		_, err := io.CopyBuffer(onlyWriter{w}, r, make([]byte, copyBuffer))
		return err
	})
}

// AddWritten is Add for the bytes that a function writes. With an error of that, nothing is added.
func (i *Import) AddWritten(ctx context.Context, e Entry, write func(w io.Writer) error) error {
	if len(i.items) == MaxImport {
		return tooMany("one APPEND can have %d messages", MaxImport)
	}
	stored, prefix, err := i.store(ctx, e.Prefix, write)
	if err != nil {
		return fmt.Errorf("store message: %w", err)
	}
	d := mailstore.Delivery{
		Mailbox: i.box.key, InternalDate: e.Date, Prefix: prefix, Magic: stored.Magics[0],
		Flags: e.Flags & i.box.rights().Flags(),
	}
	if i.box.at.SpecialUse == useSent || i.box.at.Path == pathSent {
		d.Once = mailstore.UnlessSubmitted
	}
	if i.box.rights().Has(Write) {
		d.Keywords = e.Keywords
	}
	if !e.Restored {
		d.Lesson = mailstore.AppendLesson(i.box.at.SpecialUse, d.Keywords)
	}
	if i.box.account.seenBy() != nil && d.Flags&mailstore.Seen != 0 {
		d.Flags &^= mailstore.Seen
		i.seen = append(i.seen, len(i.items))
	}
	item := mailstore.NewAppendItem(stored, d)
	i.items = append(i.items, item)
	if i.held += item.Bytes(); i.held > mailstore.MaxAppendBytes {
		return tooMany("headers and parts of the messages exceed %d octets", mailstore.MaxAppendBytes)
	}
	return nil
}

// tooMany returns mailstore.ErrTooMany with the limit that is reached.
func tooMany(format string, args ...any) error {
	return &mailstore.InvalidError{Err: mailstore.ErrTooMany, Reason: fmt.Sprintf(format, args...)}
}

// store streams a message into the content store.
func (i *Import) store(
	ctx context.Context, prefix []byte, write func(w io.Writer) error,
) (*contents.Stored, []byte, error) {
	w := i.box.contents.shared.NewWriter(ctx)
	defer w.Abort(ctx) // does nothing after Finish
	var err error
	if prefix != nil {
		err = write(w)
	} else {
		p := mailstore.NewPrefixWriter(w)
		if err = write(p); err == nil {
			prefix, err = p.End()
		}
	}
	if err != nil {
		return nil, nil, err
	}
	stored, err := w.Finish(ctx, 1)
	if err != nil {
		return nil, nil, err
	}
	return stored, prefix, nil
}

// onlyWriter hides ReadFrom, so that CopyBuffer uses its buffer.
type onlyWriter struct{ io.Writer }

// Len is how many messages were added.
func (i *Import) Len() int { return len(i.items) }

// Commit puts the messages into the mailbox, all of them or none. The Import is empty after it.
// Errors are those of mailstore.Store.Append.
func (i *Import) Commit(ctx context.Context) (*Imported, error) {
	items, seen := i.items, i.seen
	i.reset() // Append releases the references if it fails
	if len(items) == 0 {
		return &Imported{}, nil
	}
	delivered, err := i.box.account.store.Append(i.box.account.chain(ctx), items)
	if err != nil {
		return nil, i.box.account.owned(err)
	}
	result := imported(delivered)
	i.box.markSeen(ctx, result, seen)
	return result, nil
}

// Replace puts the one message of the Import into the mailbox and removes another one, both or
// nothing. It needs DeleteMessages and Expunge in the other one's mailbox. Errors are those of
// mailstore.Store.Replace.
func (i *Import) Replace(ctx context.Context, from *Mailbox, uid uint32) (*Imported, error) {
	if err := from.CheckReplace(); err != nil {
		return nil, err
	}
	if len(i.items) != 1 {
		return nil, fmt.Errorf("%d messages are to replace one", len(i.items))
	}
	item, seen := i.items[0], i.seen
	i.reset()
	delivered, err := i.box.account.store.Replace(i.box.account.chain(ctx), item, from.key, uid)
	if err != nil {
		return nil, i.box.account.owned(err)
	}
	result := imported([]mailstore.Delivered{delivered})
	i.box.markSeen(ctx, result, seen)
	return result, nil
}

// CheckReplace reports whether messages of the mailbox may be replaced.
func (m *Mailbox) CheckReplace() error { return m.Check(DeleteMessages | Expunge) }

func imported(delivered []mailstore.Delivered) *Imported {
	result := &Imported{UIDValidity: delivered[0].UIDValidity, UIDs: make([]uint32, len(delivered))}
	for n, d := range delivered {
		result.UIDs[n] = d.UID
		result.ModSeq = d.ModSeq
	}
	return result
}

// Discard releases what was added and not committed, also when ctx has ended.
func (i *Import) Discard(ctx context.Context) {
	items := i.items
	i.reset()
	if len(items) == 0 {
		return
	}
	log := i.box.account.log
	if time.Since(items[0].Since()) > dedupe.MaxHold {
		log.Warn("contents were held for too long and are left for the audit", "count", len(items))
		return
	}
	refs := make([]contents.Ref, len(items))
	for n, it := range items {
		refs[n] = it.Ref()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardTimeout)
	defer cancel()
	err := i.box.contents.shared.ReleaseRefs(ctx, refs)
	if err != nil && !errors.Is(err, context.Canceled) {
		log.Warn("references of an import that failed stay until the next check",
			"count", len(refs), "error", err)
	}
}

func (i *Import) reset() { *i = Import{box: i.box} }
