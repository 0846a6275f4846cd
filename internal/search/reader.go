package search

import (
	"bytes"
	"context"
	"io"

	"gadwall/internal/contents"
	"gadwall/internal/parttext"
	"gadwall/mimestream"
)

// reader reads text parts.
type reader struct {
	raw     bytes.Buffer
	copying []byte
	last    contents.LastFrames
	read    int          // octets since the last pause
	pause   func() error // lets other searches have their turn; nil for none
}

// readPart writes the text of one part: transfer encoding undone, in UTF-8, and of HTML what is
// shown. It does not close w. Its error is that of w, or says that the store could not be read.
func (r *reader) readPart(ctx context.Context, part *mimestream.Part, content *contents.Content, w io.Writer) error {
	raw := r.openBody(ctx, part, content)
	defer raw.Close()
	var decoded io.Reader = raw
	if !raw.decoded {
		decoded = mimestream.NewDecoder(part.Encoding, raw)
	}
	text := parttext.Decode(decoded, part.Charset())
	out := &failed{w: w}
	var to io.Writer = out
	var page *parttext.HTML
	if part.Type == "text" && part.Subtype == "html" {
		page = parttext.NewHTML(out)
		to = page
	}
	if r.copying == nil {
		r.copying = make([]byte, chunkSize)
	}
	_, err := io.CopyBuffer(to, text, r.copying)
	switch {
	case out.err != nil:
		return out.err
	case err != nil && raw.err != nil && raw.err != io.EOF:
		return raw.err
	}
	// Any other error is damage in the text: it ends there.
	if page != nil {
		return page.Close()
	}
	return nil
}

// failed remembers the error of a writer.
type failed struct {
	w   io.Writer
	err error
}

func (f *failed) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	if err != nil {
		f.err = err
	}
	return n, err
}

// rangeReader reads a range of a content.
type rangeReader struct {
	io.Reader
	r    *reader
	err  error          // the error that Read gave last
	pipe *io.PipeReader // nil for a range that was read at once
	done chan struct{}
	// decoded says that the transfer encoding is undone.
	decoded bool
}

// openBody reads a short body as the store keeps it, if that is decoded, and otherwise as it came.
func (r *reader) openBody(ctx context.Context, part *mimestream.Part, content *contents.Content) *rangeReader {
	if part.BodySize <= maxAtOnce {
		r.raw.Reset()
		ok, err := content.WriteDecoded(ctx, &r.raw, part.BodyOffset, part.BodySize)
		if err != nil {
			return &rangeReader{r: r, Reader: failing{err}}
		}
		if ok {
			return &rangeReader{r: r, Reader: &r.raw, decoded: true}
		}
	}
	return r.openRange(ctx, content, part.BodyOffset, part.BodySize)
}

// openRange reads a short range at once, and a long one by a goroutine that
// writes into a pipe; Close ends it and waits for it, since a content is not
// safe for concurrent use.
func (r *reader) openRange(ctx context.Context, content *contents.Content, off, n int64) *rangeReader {
	if n <= maxAtOnce {
		r.raw.Reset()
		if err := content.WriteRange(ctx, &r.raw, off, n); err != nil {
			return &rangeReader{r: r, Reader: failing{err}}
		}
		return &rangeReader{r: r, Reader: &r.raw}
	}
	pr, pw := io.Pipe()
	rr := &rangeReader{r: r, Reader: pr, pipe: pr, done: make(chan struct{})}
	go func() {
		defer close(rr.done)
		pw.CloseWithError(content.WriteRange(ctx, pw, off, n))
	}()
	return rr
}

// Read implements io.Reader. After each turnOctets it lets others have their turn.
func (r *rangeReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if r.r.read += n; r.r.read >= turnOctets && err == nil && r.r.pause != nil {
		r.r.read = 0
		err = r.r.pause()
	}
	if err != nil {
		r.err = err
	}
	return n, err
}

// Close ends the reading.
func (r *rangeReader) Close() {
	if r.pipe != nil {
		r.pipe.CloseWithError(errDecided)
		<-r.done
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
