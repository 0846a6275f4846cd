package imap

import (
	"context"
	"fmt"
	"time"

	"github.com/emersion/go-imap/v2"

	"gadwall/imap/wire"
	"gadwall/internal/account"
	"gadwall/internal/uidset"
)

// handleAppend answers APPEND (RFC 3501 section 6.3.11) of one or several
// messages (RFC 3502), all of which are taken or none.
//
// Each message streams into the content store as it arrives. Nothing is committed
// until all have arrived. The server checks the mailbox and the size before it asks the
// client for the bytes.
func (c *conn) handleAppend(ctx context.Context, cmd *command) error {
	name, err := mailboxArgument(cmd.args)
	if err != nil {
		return err
	}
	a := &appender{c: c, name: name}
	defer a.discard(ctx)
	for n := 1; ; n++ {
		if n > maxAppendMessages {
			return wire.Limit("one APPEND can have %d messages", maxAppendMessages)
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
	dest  *account.Mailbox // opened before the first literal
	items *account.Import  // likewise
}

// message reads one message with its flags and date.
func (a *appender) message(ctx context.Context, dec *wire.Decoder) error {
	if err := dec.SP(); err != nil {
		return err
	}
	var entry account.Entry
	if dec.Peek() == '(' {
		names, err := dec.FlagList()
		if err != nil {
			return err
		}
		if entry.Flags, entry.Keywords, err = splitFlags(names); err != nil {
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
		entry.Date = t
		if err := dec.SP(); err != nil {
			return err
		}
	} else {
		entry.Date = time.Now()
	}
	wrapped := dec.AcceptText("UTF8 (") // RFC 6855 section 4; RFC 9755 has it no more
	if wrapped && !a.c.enabled.has(utf8Accept) {
		return wire.Errorf("UTF8 needs ENABLE UTF8=ACCEPT before it")
	}
	mark, err := dec.LiteralMark()
	if err != nil {
		return err
	}
	if wrapped && !mark.Binary {
		return wire.Errorf("UTF8 needs a literal8")
	}
	if err := a.admit(ctx, mark); err != nil {
		return err
	}
	r, err := dec.OpenLiteral()
	if err != nil {
		return err
	}
	if err := a.items.Add(ctx, entry, r); err != nil || !wrapped {
		return err
	}
	return dec.Expect(')')
}

// admit decides whether to ask for a message of that size.
func (a *appender) admit(ctx context.Context, mark wire.LiteralMark) error {
	if mark.Size == 0 {
		return refuse(imap.ResponseCodeCannot, "A message cannot be empty")
	}
	if mark.Size > a.c.srv.opts.MaxMessageSize {
		return refuse(imap.ResponseCodeTooBig, fmt.Sprintf("Messages can have at most %d bytes",
			a.c.srv.opts.MaxMessageSize))
	}
	if a.dest == nil {
		var err error
		if a.dest, err = a.c.destination(ctx, a.name); err != nil {
			return err
		}
		if a.items, err = a.dest.Import(); err != nil {
			return err
		}
	}
	return a.items.Admit(ctx, mark.Size)
}

// commit puts all messages into the mailbox in one transaction.
func (a *appender) commit(ctx context.Context, cmd *command) error {
	imported, err := a.items.Commit(ctx)
	if err != nil {
		return tryCreate(err)
	}
	cmd.ok(fmt.Sprintf("APPENDUID %d %s", imported.UIDValidity, uidset.Format(imported.UIDs)), "APPEND completed")
	if sel := a.c.sel; sel != nil && sel.box.Key() == a.dest.Key() {
		sel.stale = true // EXISTS comes before the tagged OK
	}
	return nil
}

// discard gives up what was stored but not committed.
func (a *appender) discard(ctx context.Context) {
	if a.items != nil {
		a.items.Discard(ctx)
	}
}
