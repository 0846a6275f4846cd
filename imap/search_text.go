package imap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-message/charset"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/unicode/norm"

	"gadwall/internal/contents"
	"gadwall/internal/envelope"
	"gadwall/internal/mailstore"
	"gadwall/mimestream"
)

// errDecided ends the reading of a message whose match is decided.
var errDecided = errors.New("match is decided")

// match decides the residual for one message. content has what m.header and
// m.parts ask for; the text is read as it is needed, in bounded memory.
func (m *matcher) match(ctx context.Context, msg *mailstore.Message, content *contents.Content) (bool, error) {
	m.begin(msg)
	err := m.read(ctx, content)
	if err != nil && !errors.Is(err, errDecided) {
		return false, fmt.Errorf("search message %d: %w", msg.UID, err)
	}
	return m.result() == yes, nil
}

// read goes through the message until it is decided.
func (m *matcher) read(ctx context.Context, content *contents.Content) error {
	if m.decided() {
		return nil
	}
	if m.header {
		header := span{prefix: int64(len(m.msg.Prefix)), n: content.HeaderSize()}
		if err := m.readHeader(ctx, header, content, true); err != nil {
			return err
		}
		m.settle(searchField, searchHeader)
		if m.decided() {
			return nil
		}
	}
	if m.parts {
		if err := m.readParts(ctx, content); err != nil {
			return err
		}
	}
	m.settle(searchBody, searchText)
	return nil
}

// readParts looks for BODY and TEXT in the text parts, embedded messages
// included, and for TEXT in their headers.
func (m *matcher) readParts(ctx context.Context, content *contents.Content) error {
	root := content.Root()
	var err error
	root.Walk(func(part *mimestream.Part) bool {
		if part != root && m.wants(searchText) {
			err = m.readHeader(ctx, headerSpan(part, 0), content, false)
		}
		if err == nil && isText(part) {
			err = m.readPart(ctx, part, content)
		}
		return err == nil
	})
	return err
}

// wants reports whether a leaf of that kind is still in doubt.
func (m *matcher) wants(op searchOp) bool {
	for i, leaf := range m.leaves {
		if leaf.op == op && m.known[i] == maybe {
			return true
		}
	}
	return false
}

// isText reports whether the body of a part is text: also the parts of a
// report that are not text/*, such as message/delivery-status.
func isText(part *mimestream.Part) bool {
	return part.Kind == mimestream.Leaf && (part.Type == "text" || part.Type == "message")
}

// readHeader looks through the fields of a header block for TEXT, and if it is
// that of the message for HEADER.
func (m *matcher) readHeader(ctx context.Context, s span, content *contents.Content, ofMessage bool) error {
	m.raw.Reset()
	if err := writeSpan(ctx, &m.raw, s, m.msg, content); err != nil {
		return err
	}
	text := m.newSink(searchText)
	for name, value := range headerFields(m.raw.Bytes()) {
		if ofMessage {
			m.matchHeader(name, value)
		}
		for _, piece := range []string{name, ": ", value, "\n"} {
			if _, err := text.WriteString(piece); err != nil {
				return err
			}
		}
	}
	return text.Close()
}

// matchHeader compares the leaves that name a header field with one.
func (m *matcher) matchHeader(name, value string) {
	folded := ""
	for i, leaf := range m.leaves {
		if leaf.op != searchField && leaf.op != searchHeader || m.known[i] != maybe || !strings.EqualFold(leaf.name, name) {
			continue
		}
		if folded == "" && leaf.text != "" {
			folded = envelope.Normalize(collapseSpace(value))
		}
		if strings.Contains(folded, leaf.text) {
			m.known[i] = yes
		}
	}
}

// headerFields yields the fields of a header block: the name as written, the
// value unfolded (RFC 5322 section 2.2.3) and with encoded words undone.
func headerFields(header []byte) func(yield func(name, value string) bool) {
	return func(yield func(name, value string) bool) {
		var name string
		var value []byte
		open := false
		end := func() bool {
			return !open || yield(name, mimestream.DecodeWords(string(bytes.TrimSpace(value))))
		}
		for len(header) > 0 {
			line := header
			if i := bytes.IndexByte(header, '\n'); i >= 0 {
				line = header[:i+1]
			}
			header = header[len(line):]
			if isEmptyLine(line) {
				break
			}
			text := bytes.TrimRight(line, "\r\n")
			if line[0] == ' ' || line[0] == '\t' {
				value = append(value, text...)
				continue
			}
			if !end() {
				return
			}
			key := fieldName(line)
			if open = key != nil; open {
				name = string(key)
				_, rest, _ := bytes.Cut(text, []byte{':'})
				value = append(value[:0], rest...)
			}
		}
		end()
	}
}

// readPart looks for BODY and TEXT in the text of one part: transfer encoding
// undone, in UTF-8, and of HTML what is shown.
func (m *matcher) readPart(ctx context.Context, part *mimestream.Part, content *contents.Content) error {
	raw := m.openRange(ctx, content, part.BodyOffset, part.BodySize)
	defer raw.Close()
	text := decodeText(mimestream.NewDecoder(part.Encoding, raw), part.Charset())
	sink := m.newSink(searchBody, searchText)
	var w io.WriteCloser = sink
	var page *htmlText
	if part.Type == "text" && part.Subtype == "html" {
		page = newHTMLText(sink)
		w = page
	}
	if m.copying == nil {
		m.copying = make([]byte, searchChunk)
	}
	_, err := io.CopyBuffer(w, text, m.copying)
	switch {
	case errors.Is(err, errDecided):
		return err
	case raw.err != nil && raw.err != io.EOF:
		return raw.err
	}
	// Any other error is damage in the text: it ends there.
	if page != nil {
		if err := page.Close(); err != nil {
			return err
		}
	}
	return sink.Close()
}

// decodeText converts text to UTF-8. Text of an unknown charset is taken for
// UTF-8, and what is not valid in it for windows-1252.
func decodeText(r io.Reader, name string) io.Reader {
	switch name {
	case "", "us-ascii", "ascii", "utf-8", "utf8", "unknown-8bit":
		return r // the sink does the rest
	}
	decoded, err := charset.Reader(name, r)
	if err != nil {
		return r
	}
	return decoded
}

// rangeReader reads a range of a content.
type rangeReader struct {
	io.Reader
	err  error          // the error that Read gave last
	pipe *io.PipeReader // nil for a range that was read at once
	done chan struct{}
}

// openRange reads a short range at once, and a long one by a goroutine that
// writes into a pipe; Close ends it and waits for it, since a content is not
// safe for concurrent use.
func (m *matcher) openRange(ctx context.Context, content *contents.Content, off, n int64) *rangeReader {
	if n <= searchBuffer {
		m.raw.Reset()
		if err := content.WriteRange(ctx, &m.raw, off, n); err != nil {
			return &rangeReader{Reader: failing{err}}
		}
		return &rangeReader{Reader: &m.raw}
	}
	pr, pw := io.Pipe()
	r := &rangeReader{Reader: pr, pipe: pr, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		pw.CloseWithError(content.WriteRange(ctx, pw, off, n))
	}()
	return r
}

// Read implements io.Reader.
func (r *rangeReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
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

// sink normalises text and looks for the texts of some leaves in it, whatever
// the pieces in which it comes.
type sink struct {
	m      *matcher
	leaves []int  // places of those that are still looked for
	text   []byte // not yet normalised
	window []byte // normalised; starts with what a match could begin in
	reach  int    // length of the longest text looked for
}

// newSink looks for the leaves of ops that are still in doubt. A matcher has
// one sink at a time.
func (m *matcher) newSink(ops ...searchOp) *sink {
	s := &m.sink
	*s = sink{m: m, leaves: s.leaves[:0], text: s.text[:0], window: s.window[:0]}
	for i, leaf := range m.leaves {
		for _, op := range ops {
			if leaf.op == op && m.known[i] == maybe {
				s.leaves = append(s.leaves, i)
				s.reach = max(s.reach, len(leaf.text))
			}
		}
	}
	return s
}

// WriteString implements io.StringWriter.
func (s *sink) WriteString(text string) (int, error) {
	if len(s.leaves) == 0 {
		return len(text), nil
	}
	s.text = append(s.text, text...)
	if len(s.text) < searchChunk {
		return len(text), nil
	}
	return len(text), s.search(false)
}

// Write implements io.Writer. It fails with errDecided once the message is.
func (s *sink) Write(text []byte) (int, error) {
	if len(s.leaves) == 0 {
		return len(text), nil
	}
	s.text = append(s.text, text...)
	if len(s.text) < searchChunk {
		return len(text), nil
	}
	return len(text), s.search(false)
}

// Close looks through what is left.
func (s *sink) Close() error {
	if len(s.leaves) == 0 {
		return nil
	}
	return s.search(true)
}

// search normalises what came, up to a place where that does not depend on
// what follows, and compares.
func (s *sink) search(last bool) error {
	cut := len(s.text)
	if !last {
		if cut = norm.NFKD.LastBoundary(s.text); cut < searchChunk/2 {
			// Without boundaries it is no text; but let no character be cut.
			for cut = len(s.text) - 1; cut > len(s.text)-utf8.UTFMax && !utf8.RuneStart(s.text[cut]); cut-- {
			}
		}
	}
	s.window = appendNormalized(s.window, s.text[:cut])
	s.text = append(s.text[:0], s.text[cut:]...)

	found := false
	open := s.leaves[:0]
	for _, i := range s.leaves {
		if bytes.Contains(s.window, []byte(s.m.leaves[i].text)) {
			s.m.known[i] = yes
			found = true
			continue
		}
		open = append(open, i)
	}
	s.leaves = open
	if keep := min(s.reach-1, len(s.window)); keep >= 0 {
		s.window = append(s.window[:0], s.window[len(s.window)-keep:]...)
	}
	if found && s.m.decided() {
		return errDecided
	}
	return nil
}

// appendNormalized appends text in the form that is compared.
func appendNormalized(dst, text []byte) []byte {
	for i, c := range text {
		if c >= utf8.RuneSelf {
			return append(dst[:len(dst)-i], envelope.Normalize(validText(text))...)
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// validText returns text as valid UTF-8: octets that are not are read as
// windows-1252.
func validText(text []byte) string {
	if utf8.Valid(text) {
		return string(text)
	}
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		if r == utf8.RuneError && n == 1 {
			r = charmap.Windows1252.DecodeByte(text[0])
		}
		b.WriteRune(r)
		text = text[n:]
	}
	return b.String()
}
