package imap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/emersion/go-imap/v2"

	"gadwall/imap/imapurl"
	"gadwall/imap/wire"
	"gadwall/internal/account"
	"gadwall/internal/contents"
	"gadwall/internal/mailstore"
	"gadwall/internal/section"
	"gadwall/internal/uidset"
	"gadwall/mimestream"
)

// catenate reads the parts of a message behind "CATENATE (" (RFC 4469 section 3): literals of the
// client, and URLs of what the server has. Each part goes into the content store as it comes, and
// never is a message in memory. The first part that cannot be had ends the command, and nothing of
// the message stays.
func (a *appender) catenate(ctx context.Context, dec *wire.Decoder, entry account.Entry) error {
	if err := a.open(ctx); err != nil {
		return err
	}
	return a.items.AddWritten(ctx, entry, func(w io.Writer) error {
		m := &catenation{appender: a, dec: dec, out: appendWriter{w: w, a: a}}
		for {
			if err := m.part(ctx); err != nil {
				return err
			}
			if dec.Accept(')') {
				break
			}
			if err := dec.SP(); err != nil {
				return err
			}
		}
		if m.size == 0 {
			return errEmptyMessage
		}
		return nil
	})
}

// catenation is one message of parts.
type catenation struct {
	*appender
	dec  *wire.Decoder
	out  appendWriter
	size int64 // of the parts so far
}

// part reads one cat-part of RFC 4469 section 5, or of RFC 6855 section 4.
func (m *catenation) part(ctx context.Context) error {
	if m.parts++; m.parts > maxCatenateParts {
		return wire.Limit("one APPEND can have %d parts", maxCatenateParts)
	}
	switch {
	case m.dec.AcceptText("TEXT "):
		return m.text(ctx, false)
	case m.dec.AcceptText("UTF8 ("):
		if err := m.text(ctx, true); err != nil {
			return err
		}
		return m.dec.Expect(')')
	case m.dec.AcceptText("URL "):
		text, err := m.dec.AString()
		if err != nil {
			return err
		}
		return m.url(ctx, text)
	}
	return wire.Errorf("expected TEXT or URL")
}

// grow decides whether the message may have so many more octets.
func (m *catenation) grow(ctx context.Context, octets int64) error {
	if m.size += octets; m.size > m.c.srv.opts.MaxMessageSize {
		return m.errTooBig()
	}
	return m.items.Admit(ctx, octets)
}

// text takes a literal. The client is asked for it only if there is room.
func (m *catenation) text(ctx context.Context, utf8 bool) error {
	mark, err := m.literalMark(m.dec, utf8)
	if err != nil {
		return err
	}
	if err := m.grow(ctx, mark.Size); err != nil {
		return err
	}
	r, err := m.dec.OpenLiteral()
	if err != nil {
		return err
	}
	_, err = io.Copy(&m.out, r)
	return err
}

// url takes what a URL leads to.
func (m *catenation) url(ctx context.Context, text string) error {
	base, err := m.c.baseOf(ctx, text)
	if err != nil {
		return err
	}
	u, err := imapurl.Parse(text, base)
	if errors.Is(err, imapurl.ErrTooLong) {
		return wire.Limit("a URL can have %d octets", imapurl.MaxLength)
	}
	if err != nil {
		return badURL(text, err.Error())
	}
	if u.Absolute && !m.c.isHere(u) {
		return badURL(text, "URL is of another server or user")
	}
	s, err := sectionOf(u)
	if err != nil {
		return badURL(text, "URL has no valid section")
	}
	if err := m.find(ctx, u); err != nil {
		if errors.Is(err, errNoMessage) {
			return badURL(text, err.Error())
		}
		return err
	}
	err = m.write(ctx, &s)
	switch {
	case err == nil || m.out.err != nil || !errors.Is(err, errNoMessage) && !contents.IsUnreadable(err):
		return err
	case contents.IsUnreadable(err):
		m.c.srv.rare.Error(m.c.log, "imap: message of a URL cannot be read", "uid", u.UID,
			"mailbox", m.source.box.Key().String(), "error", err)
		return badURL(text, "The message cannot be read")
	}
	return badURL(text, err.Error())
}

// errNoMessage says that a URL leads to nothing. Where the client may not read, it is not told that
// there is something (RFC 4314 section 6).
var (
	errNoMessage = errors.New("URL leads to no message")
	errNoPart    = fmt.Errorf("%w: it has no such part", errNoMessage)
)

// badURL is the error of a URL (RFC 4469 section 4.1).
func badURL(url, text string) error {
	var shown strings.Builder
	for i := range len(url) {
		if c := url[i]; c > ' ' && c < 0x7f && c != ']' {
			shown.WriteByte(c)
		} else {
			fmt.Fprintf(&shown, "%%%02X", c)
		}
	}
	return refuse(imap.ResponseCode("BADURL "+shown.String()), text)
}

// baseOf returns what a URL is relative to: the selected mailbox. Others need none.
func (c *conn) baseOf(ctx context.Context, url string) (imapurl.Base, error) {
	if c.sel == nil || !imapurl.Relative(url) {
		return imapurl.Base{}, nil
	}
	box, err := c.sel.box.Status(ctx) // it may have another name by now than the client selected it by
	if errors.Is(err, mailstore.ErrNoSuchMailbox) || errors.Is(err, account.ErrNoRight) {
		return imapurl.Base{}, nil // deleted meanwhile
	}
	if err != nil {
		return imapurl.Base{}, err
	}
	return imapurl.Base{Mailbox: box.Path, UIDValidity: box.UIDValidity}, nil
}

// isHere reports whether an absolute URL is of this server, and of nobody but the user whose mail it is.
func (c *conn) isHere(u *imapurl.URL) bool {
	return strings.EqualFold(u.Host, c.srv.opts.Hostname) &&
		(u.User == "" || strings.EqualFold(u.User, c.account.Username()))
}

// sectionOf reads the section of a URL as FETCH reads it between the brackets of BODY[].
func sectionOf(u *imapurl.URL) (fetchSection, error) {
	var s fetchSection
	if u.Partial {
		s.partial = section.Partial{Set: true, Offset: u.Offset, Size: u.Size}
		if u.Size == 0 {
			s.partial.Size = math.MaxInt64
		}
	}
	if u.Section == "" {
		return s, nil
	}
	dec := wire.NewDecoder(strings.NewReader(u.Section + "\r\n"))
	err := dec.Start()
	if err == nil {
		_, err = s.parseSpec(dec)
	}
	if err == nil {
		err = dec.CRLF()
	}
	return s, err
}

// urlSource is the message to which the last URL of a command led: often the next one is of another
// part of it.
type urlSource struct {
	name    string
	box     *account.Mailbox
	opened  *mailstore.Mailbox
	msg     *mailstore.Message
	content *contents.Content
}

// find makes the message of a URL the source. The error is errNoMessage if there is none that the
// client may read.
func (a *appender) find(ctx context.Context, u *imapurl.URL) error {
	s := &a.source
	if s.box == nil || s.name != u.Mailbox {
		*s = urlSource{}
		box, opened, err := a.c.account.Open(ctx, u.Mailbox, account.ReadOnly)
		switch {
		case errors.Is(err, mailstore.ErrNoSuchMailbox), errors.Is(err, mailstore.ErrInvalidName),
			errors.Is(err, account.ErrNoRight):
			return errNoMessage
		case err != nil:
			return err
		}
		*s = urlSource{name: u.Mailbox, box: box, opened: opened}
	}
	if u.UIDValidity != 0 && u.UIDValidity != s.opened.UIDValidity {
		return errNoMessage
	}
	if s.msg != nil && s.msg.UID == u.UID {
		return nil
	}
	s.msg, s.content = nil, nil
	q := mailstore.Query{UIDs: uidset.Of(uidset.Range{First: u.UID, Last: u.UID})}
	for msg, err := range s.box.Messages(ctx, q, mailstore.FieldContent|mailstore.FieldSize) {
		if err != nil {
			return fmt.Errorf("find message: %w", err)
		}
		s.msg = msg
	}
	if s.msg == nil {
		return errNoMessage
	}
	id := s.msg.Content
	loaded, err := s.box.Contents().Load(ctx, []contents.ID{id}, contents.Want{Parts: true, All: true})
	if err != nil {
		return err
	}
	if s.content = loaded[id]; s.content == nil {
		s.msg = nil
		return errNoMessage
	}
	return nil
}

// write writes a section of the source.
func (m *catenation) write(ctx context.Context, s *fetchSection) error {
	msg, content := m.source.msg, m.source.content
	if !isThere(content.Root(), s) {
		return errNoPart
	}
	span := s.span(msg, content)
	if !s.Filtered() {
		if err := m.grow(ctx, span.Size()); err != nil {
			return err
		}
		return span.Write(ctx, &m.out, msg.Prefix, content)
	}
	var selected bytes.Buffer // mimestream.MaxHeaderBytes bounds it
	fields := section.NewFieldSelector(&selected, s.Names, s.Kind == section.FieldsNot)
	if err := span.Write(ctx, fields, msg.Prefix, content); err != nil {
		return err
	}
	if err := fields.Close(); err != nil {
		return err
	}
	part := s.partial.Bytes(selected.Bytes())
	if err := m.grow(ctx, int64(len(part))); err != nil {
		return err
	}
	_, err := m.out.Write(part)
	return err
}

// isThere reports whether a message has the section. FETCH answers NIL or an empty string for one
// that it has not; a message with a part less than the client meant would be worse than none.
func isThere(root *mimestream.Part, s *fetchSection) bool {
	if s.Path == nil {
		return true
	}
	part := root.Find(s.Path)
	return part != nil && (s.Kind == section.All || s.Kind == section.MIME || part.Kind == mimestream.Message)
}
