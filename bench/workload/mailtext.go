package workload

import (
	"bytes"
	"io"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/text/encoding/htmlindex"

	"gadwall/mimestream"
)

// mailText is the text of a mail in lower case. The standard leaves open what a search of texts
// looks into: markup, names of files, damaged parts. least has what every server does, most what
// some do.
type mailText struct{ least, most string }

// textOf works out the texts of a mail. What stands on two lines of least is not next to each other.
func textOf(raw []byte) *mailText {
	root := mimestream.Parse(raw)
	var least, most strings.Builder
	subject, _ := root.Header.Get("subject")
	least.WriteString(mimestream.DecodeWords(subject) + "\n")
	at := int64(0) // all before is read
	root.Walk(func(p *mimestream.Part) bool {
		if p.Kind != mimestream.Leaf {
			return true
		}
		most.Write(raw[at:p.BodyOffset])
		at = p.BodyOffset + p.BodySize
		if p.Type != "text" && p.Type != "message" {
			return true
		}
		body := raw[p.BodyOffset:at]
		decoded, err := io.ReadAll(mimestream.NewDecoder(p.Encoding, bytes.NewReader(body)))
		if err != nil {
			return true // not of bytes in memory
		}
		text := mimestream.DecodeCharset(p.Charset(), string(decoded))
		most.WriteString(text + "\n")
		lines := text
		if p.Subtype == "html" {
			var joined string
			lines, joined = visible(text)
			most.WriteString(joined + "\n")
		}
		if sure(p, body) {
			least.WriteString(lines + "\n")
		}
		return true
	})
	most.Write(raw[at:])
	structure := most.String() // with all fields, as they are
	return &mailText{strings.ToLower(least.String()),
		strings.ToLower(structure + mimestream.DecodeWords(string(raw[:root.HeaderSize])))}
}

// sure reports that every server searches a leaf, and finds the same text in it.
func sure(p *mimestream.Part, body []byte) bool {
	if p.Disposition == "attachment" || p.Subtype != "plain" && p.Subtype != "html" || p.Degraded != 0 {
		return false
	}
	for up := p.Parent; up != nil; up = up.Parent {
		if up.Degraded != 0 || up.Kind == mimestream.Message {
			return false
		}
	}
	if p.Encoding == "base64" && bytes.ContainsAny(body, "!-_") {
		return false
	}
	_, err := htmlindex.Get(p.Charset())
	return p.Charset() == "" || err == nil
}

// visible is the text of HTML that a reader sees, in pieces between tags: each on a line of its own,
// and all joined.
func visible(markup string) (lines, joined string) {
	var a, b strings.Builder
	hidden := 0
	for z := html.NewTokenizer(strings.NewReader(markup)); ; {
		switch z.Next() {
		case html.ErrorToken:
			return a.String(), b.String()
		case html.TextToken:
			if hidden == 0 {
				text := html.UnescapeString(string(z.Text()))
				a.WriteString(text + "\n")
				b.WriteString(text)
			}
		case html.StartTagToken:
			if name, _ := z.TagName(); isHidden(name) {
				hidden++
			}
		case html.EndTagToken:
			if name, _ := z.TagName(); isHidden(name) {
				hidden = max(0, hidden-1)
			}
		}
	}
}

func isHidden(tag []byte) bool {
	switch string(tag) {
	case "head", "style", "script", "title":
		return true
	}
	return false
}
