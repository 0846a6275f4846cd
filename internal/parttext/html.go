package parttext

import (
	"bytes"
	"io"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

const (
	// maxHTMLTag is how much of an HTML tag is kept, to know its name, and maxHTMLRef is the length
	// of the longest character reference that is resolved.
	maxHTMLTag = 64
	maxHTMLRef = 32
)

// HTML is a writer that takes UTF-8 HTML and passes on the text a reader
// would see: no tags, comments, scripts or styles, character references
// resolved, white space runs folded to one space, block elements separated by
// line ends.
//
// It is not x/net/html's tokenizer, because that one holds a whole token in
// memory, and mail has tokens (images in data: URLs) as large as it likes. It
// keeps at most maxHTMLTag bytes, whatever is written, and takes any bytes.
type HTML struct {
	w     io.Writer
	state htmlState
	tag   []byte // start of the current tag, or of a character reference
	quote byte   // in a tag: the quote that an attribute value is in
	raw   string // the element whose end tag ends raw text
	dash  int    // in a comment: how many of its last bytes are dashes
	gap   byte   // white space to pass on before the next text: a space, a line end, 0
	begun bool   // some text was passed on
	marks bool   // begin the lines of quotations with "> "
	depth int    // of quotations
	out   []byte
}

type htmlState uint8

const (
	htmlInText htmlState = iota
	htmlInRef            // after "&"
	htmlInTag            // after "<"
	htmlInComment
	htmlInRaw    // in script, style and the like: nothing is text
	htmlInRawTag // after "<" in htmlInRaw
)

// NewHTML returns an HTML that writes to w.
func NewHTML(w io.Writer) *HTML { return &HTML{w: w} }

// Write implements io.Writer.
func (h *HTML) Write(p []byte) (int, error) {
	h.out = h.out[:0]
	for i := 0; i < len(p); {
		switch h.state {
		case htmlInText:
			n := i
			for n < len(p) && p[n] != '<' && p[n] != '&' {
				n++
			}
			h.text(p[i:n])
			if i = n; i < len(p) {
				h.tag = h.tag[:0]
				h.state = htmlInRef
				if p[i] == '<' {
					h.state, h.quote = htmlInTag, 0
				}
				i++
			}
		case htmlInRef:
			if h.reference(p[i]) {
				i++
			}
		case htmlInTag:
			if h.quote != 0 { // the value of an attribute can be long
				n := bytes.IndexByte(p[i:], h.quote)
				if n < 0 {
					i = len(p)
					break
				}
				i, h.quote = i+n+1, 0
				break
			}
			i += h.inTag(p[i:])
		case htmlInComment:
			h.inComment(p[i])
			i++
		case htmlInRaw:
			n := bytes.IndexByte(p[i:], '<')
			if n < 0 {
				i = len(p)
				break
			}
			i += n + 1
			h.tag, h.state = h.tag[:0], htmlInRawTag
		case htmlInRawTag:
			if h.inRawTag(p[i]) {
				i++
			}
		}
	}
	if len(h.out) > 0 {
		if _, err := h.w.Write(h.out); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// Close passes on what was held back.
func (h *HTML) Close() error {
	h.out = h.out[:0]
	switch {
	case h.state == htmlInRef:
		h.endReference("")
	case h.state == htmlInTag && len(h.tag) == 0:
		h.text([]byte{'<'})
	}
	if len(h.out) == 0 {
		return nil
	}
	_, err := h.w.Write(h.out)
	return err
}

// text passes on text, white space folded: within a block to a space, between two to a
// line end, around the page to nothing.
func (h *HTML) text(p []byte) {
	for len(p) > 0 {
		n := 0
		for n < len(p) && !htmlSpaces[p[n]] {
			n++
		}
		if n == 0 {
			if h.gap == 0 {
				h.gap = ' '
			}
			p = p[1:]
			continue
		}
		if h.gap != 0 && h.begun {
			h.out = append(h.out, h.gap)
		}
		if h.marks && h.depth > 0 && (h.gap == '\n' || !h.begun) {
			h.out = append(h.out, "> "...)
		}
		h.gap, h.begun = 0, true
		h.out = append(h.out, p[:n]...)
		p = p[n:]
	}
}

// reference takes a byte after "&". It reports whether it used the byte up.
func (h *HTML) reference(c byte) bool {
	switch {
	case c == ';':
		h.endReference(";")
		return true
	case len(h.tag) < maxHTMLRef && (isWordByte(c) || c == '#' && len(h.tag) == 0):
		h.tag = append(h.tag, c)
		return true
	}
	h.endReference("")
	return false
}

func (h *HTML) endReference(end string) {
	h.state = htmlInText
	// A no-break space is a space to whoever types a search.
	ref := html.UnescapeString("&" + string(h.tag) + end)
	h.text([]byte(strings.ReplaceAll(ref, "\u00a0", " ")))
}

// inTag takes bytes after "<", up to the end of the tag or the quote before a value, and returns how
// many.
func (h *HTML) inTag(p []byte) int {
	for i, c := range p {
		if len(h.tag) == 0 {
			if !isLetter(c) && c != '/' && c != '!' && c != '?' { // "a < b"
				h.text([]byte{'<'})
				h.state = htmlInText
				return i
			}
			h.tag = append(h.tag, c)
			continue
		}
		// The last byte is what a quote is judged by: space after "=" does not count, and of a tag that
		// is too long it still is the last one.
		n := len(h.tag)
		last := h.tag[n-1]
		switch {
		case c == '>':
			h.endTag()
			return i + 1
		case c == '-' && n == 2 && string(h.tag) == "!-":
			h.state, h.dash = htmlInComment, 2
			return i + 1
		case last == '=' && isHTMLSpace(c):
			continue
		case n < maxHTMLTag:
			h.tag = append(h.tag, c)
		default:
			h.tag[n-1] = c
		}
		// Only an attribute value has quotes; elsewhere they are letters.
		if last == '=' && (c == '"' || c == '\'') {
			h.quote = c
			return i + 1
		}
	}
	return len(p)
}

// endTag acts on a whole tag.
func (h *HTML) endTag() {
	h.state = htmlInText
	name, closing := tagName(h.tag)
	if len(name) == 0 || !isLetter(name[0]) {
		return // <!doctype>, <?xml?>, </>
	}
	switch atom.Lookup(name) {
	case atom.Script, atom.Style, atom.Noembed, atom.Noframes, atom.Iframe, atom.Xmp:
		if !closing {
			h.state, h.raw = htmlInRaw, string(name)
		}
	case atom.A, atom.Abbr, atom.B, atom.Big, atom.Em, atom.Font, atom.I, atom.S, atom.Small,
		atom.Span, atom.Strike, atom.Strong, atom.Sub, atom.Sup, atom.Tt, atom.U, atom.Wbr,
		atom.Code, atom.Mark, atom.Ins, atom.Del, atom.Q, atom.Cite, atom.Bdi, atom.Bdo:
		// Within a line: "<b>in</b>voice" is one word.
	case atom.Blockquote:
		h.gap = '\n'
		if !closing {
			h.depth++
		} else if h.depth > 0 {
			h.depth--
		}
	default:
		h.gap = '\n'
	}
}

// inComment takes a byte of a comment, which ends with "-->".
func (h *HTML) inComment(c byte) {
	switch {
	case c == '-':
		h.dash++
	case c == '>' && h.dash >= 2:
		h.state = htmlInText
	default:
		h.dash = 0
	}
}

// inRawTag takes a byte after "<" in raw text, where only the end tag of the
// element counts. It reports whether it used the byte up.
func (h *HTML) inRawTag(c byte) bool {
	if c == '<' {
		h.tag = h.tag[:0]
		return true
	}
	if len(h.tag) <= len(h.raw) { // not yet as long as "/" and the name
		h.tag = append(h.tag, c)
		return true
	}
	name, closing := tagName(h.tag)
	switch {
	case !closing || string(name) != h.raw:
		h.state = htmlInRaw
	case c == '>':
		h.endTag()
	case c == '/' || isHTMLSpace(c):
		h.state, h.quote = htmlInTag, 0
	default:
		h.state = htmlInRaw
	}
	return true
}

// tagName returns the name of the element of a tag, in lower case, and whether
// it is an end tag.
func tagName(tag []byte) (name []byte, closing bool) {
	if len(tag) > 0 && tag[0] == '/' {
		closing, tag = true, tag[1:]
	}
	n := 0
	for n < len(tag) && !isHTMLSpace(tag[n]) && tag[n] != '/' {
		n++
	}
	name = tag[:n]
	for i, c := range name { // in place: nothing else looks at it
		if 'A' <= c && c <= 'Z' {
			name[i] = c + 'a' - 'A'
		}
	}
	return name, closing
}

func isLetter(c byte) bool { return 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' }

func isHTMLSpace(c byte) bool { return htmlSpaces[c] }

var htmlSpaces = [256]bool{' ': true, '\t': true, '\r': true, '\n': true, '\f': true}

// isWordByte reports a byte of a character reference.
func isWordByte(c byte) bool { return isLetter(c) || '0' <= c && c <= '9' }
