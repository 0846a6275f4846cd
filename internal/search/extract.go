package search

import (
	"bytes"
	"context"
	"strings"

	"gadwall/internal/casemap"
	"gadwall/internal/contents"
	"gadwall/internal/envelope"
	"gadwall/internal/search/index"
	"gadwall/mimestream"
)

// An Extractor gathers the grams of messages: of every text in which a search can find something.
// One goroutine at a time uses it.
type Extractor struct {
	reader reader
	raw    bytes.Buffer
	line   []byte
	folder casemap.Folder
	kept   []byte // an incomplete character
	mapped []byte
	grams  *index.Grams
}

// Extract adds the grams of a message: of all that a matcher may compare. content has header and
// part table.
func (x *Extractor) Extract(
	ctx context.Context, g *index.Grams, prefix []byte, content *contents.Content,
) error {
	x.grams = g
	content.KeepFrames(&x.reader.last)
	defer content.KeepFrames(nil)
	x.raw.Reset()
	x.raw.Write(prefix)
	if err := x.header(ctx, content, 0, content.HeaderSize(), true); err != nil {
		return err
	}
	root := content.Root()
	var err error
	root.Walk(func(part *mimestream.Part) bool {
		if part != root {
			x.raw.Reset()
			err = x.header(ctx, content, part.HeaderOffset, part.HeaderSize, false)
		}
		if err == nil && isText(part) {
			x.begin()
			if err = x.reader.readPart(ctx, part, content, x); err == nil {
				err = x.Close()
			}
		}
		return err == nil
	})
	return err
}

// header takes the fields of a header block.
func (x *Extractor) header(
	ctx context.Context, content *contents.Content, off, n int64, ofMessage bool,
) error {
	if err := content.WriteRange(ctx, &x.raw, off, n); err != nil {
		return err
	}
	x.begin()
	for name, value := range headerFields(x.raw.Bytes()) {
		plain := isPlain(value)
		if plain {
			// The field's text is a part of the line, and the line is complete characters.
			x.line = appendPlainLine(x.line[:0], name, value)
			x.grams.Add(x.line)
		} else {
			x.line = appendLine(x.line[:0], name, value)
			x.Write(x.line)
		}
		if !ofMessage || name == "" {
			continue
		}
		name = strings.ToLower(name)
		f := index.FieldOf(name)
		if plain && f == index.Text && !envelope.IsAddressField(name) {
			continue
		}
		text := envelope.Text(name, value)
		if !plain || strings.IndexByte(text, '\n') >= 0 {
			x.grams.AddField(index.Text, text)
		}
		if f != index.Text {
			x.grams.AddField(f, text)
		}
	}
	return x.Close()
}

// begin begins a text.
func (x *Extractor) begin() {
	x.kept = x.kept[:0]
	x.folder.Reset()
	x.grams.Begin()
}

// Write implements io.Writer.
func (x *Extractor) Write(text []byte) (int, error) {
	x.add(text, false)
	return len(text), nil
}

// Close ends a text.
func (x *Extractor) Close() error {
	x.add(nil, true)
	return nil
}

func (x *Extractor) add(text []byte, last bool) {
	if len(x.kept) > 0 {
		x.kept = append(x.kept, text...)
		text = x.kept
	}
	for len(text) > 0 {
		out, n, long := x.folder.Fold(x.mapped[:0], text, last)
		x.mapped = out
		x.grams.Add(out)
		if long.Text != "" {
			x.grams.Add([]byte(long.Text))
		}
		if text = text[n:]; n == 0 {
			break
		}
	}
	if last {
		x.mapped = x.folder.End(x.mapped[:0])
		x.grams.Add(x.mapped)
	}
	x.kept = append(x.kept[:0], text...)
}
