package reading

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strconv"
	"strings"

	"gadwall/internal/contents"
	"gadwall/internal/parttext"
	"gadwall/mimestream"
)

// Message is what a reader sees of a message.
type Message struct {
	Text        string // plain; made of the HTML if the message has nothing else
	HTML        string // safe; empty if the message has none
	Attachments []Attachment
	// Truncated says that something was left out because of a limit.
	Truncated bool
}

// Attachment describes a part that is no body.
type Attachment struct {
	Part      string // its number, as IMAP has it (RFC 3501 section 6.4.5)
	Type      string // media type
	Name      string // file name; empty if there is none
	Inline    bool   // it is shown within the HTML, where that names ContentID
	ContentID string // without angle brackets
	Size      int64  // decoded octets
}

// Read reads a message. The content has its part table (contents.Want.Parts).
func Read(ctx context.Context, content *contents.Content) (*Message, error) {
	r := &reader{ctx: ctx, content: content}
	if err := r.part(content.Root()); err != nil {
		return nil, err
	}
	m := &r.message
	m.Text, m.HTML = r.text.String(), SafeHTML(r.html.String())
	if m.Text == "" && r.html.Len() > 0 {
		var plain strings.Builder
		page := parttext.NewHTML(&plain)
		// A Builder takes everything.
		_, _ = io.WriteString(page, r.html.String())
		_ = page.Close()
		m.Text = plain.String()
	}
	return m, nil
}

type reader struct {
	ctx        context.Context
	content    *contents.Content
	text, html strings.Builder
	message    Message
}

// part adds what a part and those in it have.
func (r *reader) part(p *mimestream.Part) error {
	switch {
	case p.Kind == mimestream.Multipart:
		for _, child := range p.Children {
			if err := r.part(child); err != nil {
				return err
			}
		}
		return nil
	case !parttext.HasPreview(p):
		return r.attachment(p, nil)
	}
	described, err := r.describe(p)
	switch {
	case err != nil:
		return err
	case described.Filename() != "" && p.Parent != nil:
		return r.attachment(p, described)
	case p.Subtype == "html":
		return r.body(p, &r.html, maxHTML)
	}
	return r.body(p, &r.text, maxText)
}

// body adds the text of a part to those before it.
func (r *reader) body(p *mimestream.Part, to *strings.Builder, most int) error {
	if to.Len() > 0 {
		to.WriteByte('\n')
	}
	decoded := &bounded{room: most - to.Len()}
	err := r.content.WritePart(r.ctx, decoded, p, 0, p.DecodedSize)
	if errors.Is(err, errEnough) {
		r.message.Truncated, err = true, nil
	}
	if err != nil {
		return err
	}
	text, _ := io.ReadAll(parttext.Decode(bytes.NewReader(decoded.Bytes()), p.Charset())) // damage ends it
	to.WriteString(strings.ToValidUTF8(string(text), "\ufffd"))
	return nil
}

// describe returns the part with what its header says.
func (r *reader) describe(p *mimestream.Part) (*mimestream.Part, error) {
	var header bytes.Buffer
	if err := r.content.WriteRange(r.ctx, &header, p.HeaderOffset, min(p.HeaderSize, maxPartHeader)); err != nil {
		return nil, err
	}
	return p.Describe(header.Bytes()), nil
}

// FileName returns the name that a part of the content has as a file; empty if there is none.
func FileName(ctx context.Context, content *contents.Content, p *mimestream.Part) (string, error) {
	described, err := (&reader{ctx: ctx, content: content}).describe(p)
	if err != nil {
		return "", err
	}
	return described.Filename(), nil
}

// attachment lists a part. described may be nil.
func (r *reader) attachment(p, described *mimestream.Part) error {
	if len(r.message.Attachments) == maxAttachments {
		r.message.Truncated = true
		return nil
	}
	if described == nil {
		var err error
		if described, err = r.describe(p); err != nil {
			return err
		}
	}
	id := strings.Trim(strings.TrimSpace(described.ContentID), "<>")
	r.message.Attachments = append(r.message.Attachments, Attachment{
		Part: Number(p), Type: p.MediaType(), Name: described.Filename(),
		Inline: p.Disposition != "attachment" && id != "", ContentID: id, Size: p.DecodedSize,
	})
	return nil
}

// Number is the number of a part, as IMAP has it: 1 for the body of a message that has one part.
func Number(p *mimestream.Part) string {
	if len(p.Path) == 0 {
		return "1"
	}
	text := make([]string, len(p.Path))
	for i, n := range p.Path {
		text[i] = strconv.Itoa(n)
	}
	return strings.Join(text, ".")
}

// bounded keeps the beginning of what is written, and fails with errEnough then.
type bounded struct {
	bytes.Buffer
	room int
}

var errEnough = errors.New("limit reached")

func (b *bounded) Write(p []byte) (int, error) {
	n := min(len(p), max(b.room, 0))
	b.Buffer.Write(p[:n])
	if b.room -= n; n < len(p) {
		return n, errEnough
	}
	return n, nil
}
