package imap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/emersion/go-imap/v2"

	"gadwall/dedupe"
	"gadwall/imap/wire"
	"gadwall/internal/contents"
	"gadwall/internal/mailstore"
	"gadwall/internal/uidset"
	"gadwall/quota"
)

// appendCopySize is how much of a message is read at once.
const appendCopySize = 32 << 10

// handleAppend answers APPEND (RFC 3501 section 6.3.11) of one or several
// messages (RFC 3502), all of which are taken or none.
//
// Each message streams into the content store as it comes; what it then is
// worth is decided when all have come. The mailbox and the sizes are checked
// before the client is asked for the bytes.
func (c *conn) handleAppend(ctx context.Context, cmd *command) error {
	name, err := mailboxArgument(cmd.args)
	if err != nil {
		return err
	}
	a := &appender{c: c, name: name}
	defer a.release(ctx)
	for n := 1; ; n++ {
		if n > maxAppendMessages {
			return &wire.SyntaxError{Code: "LIMIT", Text: "too many messages"}
		}
		if err := a.message(ctx, cmd.args); err != nil {
			return err
		}
		if cmd.args.AtEnd() {
			break
		}
	}
	if err := cmd.args.CRLF(); err != nil {
		return err
	}
	return a.commit(ctx, cmd)
}

// appender is one APPEND under way.
type appender struct {
	c     *conn
	name  string
	dest  *mailstore.Mailbox // looked up before the first literal
	items []mailstore.AppendItem
	bytes int64 // of the messages
	held  int   // of the items, which stay in memory
}

// message reads one message with its flags and date.
func (a *appender) message(ctx context.Context, dec *wire.Decoder) error {
	if err := dec.SP(); err != nil {
		return err
	}
	d := mailstore.Delivery{}
	if dec.Peek() == '(' {
		names, err := dec.FlagList()
		if err != nil {
			return err
		}
		if d.Flags, d.Keywords, err = splitFlags(names); err != nil {
			return err
		}
		if err := dec.SP(); err != nil {
			return err
		}
	}
	if dec.Peek() == '"' {
		t, err := dec.DateTime()
		if err != nil {
			return err
		}
		d.InternalDate = t
		if err := dec.SP(); err != nil {
			return err
		}
	} else {
		d.InternalDate = time.Now()
	}
	mark, err := dec.LiteralMark()
	if err != nil {
		return err
	}
	if err := a.admit(ctx, mark); err != nil {
		return err
	}
	d.Mailbox = a.dest.Key
	r, err := dec.OpenLiteral()
	if err != nil {
		return err
	}
	stored, prefix, err := a.store(ctx, r)
	if err != nil {
		return err
	}
	d.Magic, d.Prefix = stored.Magics[0], prefix
	item := mailstore.NewAppendItem(stored, d)
	a.items = append(a.items, item)
	if a.held += item.Bytes(); a.held > mailstore.MaxAppendBytes {
		return refuse(imap.ResponseCodeLimit, "The headers and parts of all messages are too much for one APPEND")
	}
	return nil
}

// admit decides whether to ask for a message of that size.
func (a *appender) admit(ctx context.Context, mark wire.LiteralMark) error {
	if mark.Binary {
		return wire.Errorf("BINARY is not supported")
	}
	if mark.Size == 0 {
		return refuse(imap.ResponseCodeCannot, "A message cannot be empty")
	}
	if mark.Size > a.c.srv.opts.MaxMessageSize {
		return refuse(imap.ResponseCodeTooBig, fmt.Sprintf("Messages can have at most %d bytes", a.c.srv.opts.MaxMessageSize))
	}
	if a.dest == nil {
		var err error
		if a.dest, err = a.c.destination(ctx, a.name); err != nil {
			return err
		}
	}
	// The quota is charged in the transaction; here only what cannot fit is
	// kept from being sent.
	limits, usage, err := a.c.srv.store.Quota(ctx, a.c.user.ID)
	if err != nil {
		return err
	}
	a.bytes += mark.Size
	if !limits.Fit(usage, quota.Usage{Bytes: a.bytes, Messages: int64(len(a.items)) + 1}) {
		return quota.ErrOverQuota
	}
	return nil
}

// store streams a message into the content store, without the trace lines that a delivery put before it.
func (a *appender) store(ctx context.Context, r io.Reader) (*contents.Stored, []byte, error) {
	w := a.c.srv.opts.Contents.NewWriter(ctx)
	defer w.Abort(ctx) // does nothing after Finish
	p := mailstore.NewPrefixWriter(w)
	if _, err := io.CopyBuffer(onlyWriter{p}, r, make([]byte, appendCopySize)); err != nil {
		return nil, nil, fmt.Errorf("store message: %w", err)
	}
	prefix, err := p.End()
	if err != nil {
		return nil, nil, fmt.Errorf("store message: %w", err)
	}
	stored, err := w.Finish(ctx, 1)
	if err != nil {
		return nil, nil, fmt.Errorf("store message: %w", err)
	}
	return stored, prefix, nil
}

// onlyWriter hides ReadFrom, so that CopyBuffer uses its buffer.
type onlyWriter struct{ io.Writer }

// commit puts all messages into the mailbox in one transaction.
func (a *appender) commit(ctx context.Context, cmd *command) error {
	delivered, err := a.c.srv.store.Append(ctx, a.items)
	a.items = nil // Append has released them if it failed
	if err != nil {
		return tryCreate(err)
	}
	uids := make([]uint32, len(delivered))
	for i, d := range delivered {
		uids[i] = d.UID
	}
	cmd.ok(fmt.Sprintf("APPENDUID %d %s", delivered[0].UIDValidity, uidset.Format(uids)), "APPEND completed")
	if sel := a.c.sel; sel != nil && sel.box == a.dest.Key {
		sel.stale = true // EXISTS comes before the tagged OK
	}
	return nil
}

// release gives up what was stored but not committed.
func (a *appender) release(ctx context.Context) {
	if len(a.items) == 0 {
		return
	}
	if time.Since(a.items[0].Since()) > dedupe.MaxHold {
		a.c.log.Warn("contents were held for too long and are left for the audit", "count", len(a.items))
		return
	}
	refs := make([]contents.Ref, len(a.items))
	for i, it := range a.items {
		refs[i] = it.Ref()
	}
	// Also when the client has gone.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	if err := a.c.srv.opts.Contents.ReleaseRefs(ctx, refs); err != nil && !errors.Is(err, context.Canceled) {
		a.c.log.Warn("imap: references of a failed APPEND stay until the next check", "error", err)
	}
}
