package imap

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/emersion/go-imap/v2"

	"gadwall/imap/wire"
	"gadwall/internal/account"
	"gadwall/internal/uidset"
)

// handleAppend answers APPEND (RFC 3501 section 6.3.11) of one or several
// messages (RFC 3502), all of which are taken or none. A message is a literal, or is made of parts
// (catenate.go).
//
// Each message streams into the content store as it arrives. Nothing is committed
// until all have arrived. The server checks the mailbox and the size before it asks the
// client for the bytes.
func (c *conn) handleAppend(ctx context.Context, cmd *command) error {
	name, err := mailboxArgument(cmd.args)
	if err != nil {
		return err
	}
	a := c.newAppender(cmd.tag, name)
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

	taken    int64 // octets of all messages
	progress *progress

	replaces uint32 // REPLACE: the UID of the message that goes

	parts  int       // of CATENATE
	source urlSource // likewise
}

func (c *conn) newAppender(tag, name string) *appender {
	return &appender{c: c, name: name, progress: c.newCount(tag, "Storing")}
}

// appendWriter tells the client of what passes to w. It notes the error of w.
type appendWriter struct {
	w   io.Writer
	a   *appender
	err error
}

// Write implements io.Writer.
func (w *appendWriter) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.a.taken += int64(n)
	w.a.progress.reached(w.a.taken / progressOctets)
	w.err = err
	return n, err
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
	if dec.AcceptText("CATENATE (") {
		return a.catenate(ctx, dec, entry)
	}
	wrapped := dec.AcceptText("UTF8 (") // RFC 6855 section 4; RFC 9755 has it no more
	mark, err := a.literalMark(dec, wrapped)
	if err != nil {
		return err
	}
	if err := a.admit(ctx, mark); err != nil {
		return err
	}
	r, err := dec.OpenLiteral()
	if err != nil {
		return err
	}
	err = a.items.AddWritten(ctx, entry, func(w io.Writer) error {
		_, err := io.Copy(&appendWriter{w: w, a: a}, r)
		return err
	})
	if err != nil || !wrapped {
		return err
	}
	return dec.Expect(')')
}

// literalMark reads the mark of a literal; utf8 says that it stands behind UTF8.
func (a *appender) literalMark(dec *wire.Decoder, utf8 bool) (wire.LiteralMark, error) {
	if utf8 && !a.c.enabled.has(utf8Accept) {
		return wire.LiteralMark{}, wire.Errorf("UTF8 needs ENABLE UTF8=ACCEPT before it")
	}
	mark, err := dec.LiteralMark()
	if err == nil && utf8 && !mark.Binary {
		err = wire.Errorf("UTF8 needs a literal8")
	}
	return mark, err
}

// errEmptyMessage refuses a message without an octet.
var errEmptyMessage = refuse(imap.ResponseCodeCannot, "A message cannot be empty")

// errTooBig refuses a message.
func (a *appender) errTooBig() error {
	return refuse(imap.ResponseCodeTooBig, fmt.Sprintf("Messages can have at most %d bytes",
		a.c.srv.opts.MaxMessageSize))
}

// admit decides whether to ask for a message of that size.
func (a *appender) admit(ctx context.Context, mark wire.LiteralMark) error {
	if mark.Size == 0 {
		return errEmptyMessage
	}
	if mark.Size > a.c.srv.opts.MaxMessageSize {
		return a.errTooBig()
	}
	if err := a.open(ctx); err != nil {
		return err
	}
	return a.items.Admit(ctx, mark.Size)
}

// open opens the destination, if that is not done.
func (a *appender) open(ctx context.Context) (err error) {
	if a.dest != nil {
		return nil
	}
	if a.dest, err = a.c.destination(ctx, a.name); err != nil {
		return err
	}
	if a.items, err = a.dest.Import(); err == nil && a.replaces != 0 {
		a.items.Replaces(a.c.sel.box, a.replaces)
	}
	return err
}

// commit puts all messages into the mailbox in one transaction.
func (a *appender) commit(ctx context.Context, cmd *command) error {
	var imported *account.Imported
	err := a.progress.meanwhile(func() (err error) {
		imported, err = a.items.Commit(ctx)
		return err
	})
	if err != nil {
		return tryCreate(err)
	}
	cmd.ok(appendUID(a.dest, imported), "APPEND completed")
	if sel := a.c.sel; sel != nil && sel.box.Key() == a.dest.Key() {
		sel.stale = true // EXISTS comes before the tagged OK
	}
	a.c.added(a.dest, imported.UIDs, imported.ModSeq)
	return nil
}

// discard gives up what was stored but not committed.
func (a *appender) discard(ctx context.Context) {
	if a.items != nil {
		a.items.Discard(ctx)
	}
}

// appendUID is the response code of RFC 4315 section 3. Clients that may not select the mailbox do
// not get it.
func appendUID(dest *account.Mailbox, i *account.Imported) string {
	if !dest.Rights().Has(account.Read) {
		return ""
	}
	return fmt.Sprintf("APPENDUID %d %s", i.UIDValidity, uidset.Format(i.UIDs))
}
