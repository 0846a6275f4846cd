package mimestream_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"gadwall/mimestream"
)

// A recorder checks the order of events and keeps what they bring.
type recorder struct {
	t     testing.TB
	open  []*mimestream.Part // parts begun and not ended
	body  *mimestream.Part   // leaf whose body is open
	all   bytes.Buffer       // every byte, in order
	log   strings.Builder    // one line for every event, neighbouring bytes joined
	last  byte               // kind of the bytes before, for the log
	run   int
	leafs map[*mimestream.Part][]byte
}

func newRecorder(t testing.TB) *recorder {
	return &recorder{t: t, leafs: map[*mimestream.Part][]byte{}}
}

func (r *recorder) event(name string, p *mimestream.Part) {
	r.endRun()
	fmt.Fprintf(&r.log, "%s %v at %d\n", name, p.Path, r.all.Len())
}

func (r *recorder) bytes(kind byte, b []byte) {
	if len(b) == 0 {
		r.t.Error("an event without bytes")
	}
	if kind != r.last {
		r.endRun()
		r.last = kind
	}
	r.run += len(b)
	r.all.Write(b)
}

func (r *recorder) endRun() {
	if r.run > 0 {
		fmt.Fprintf(&r.log, "%c %d\n", r.last, r.run)
	}
	r.run, r.last = 0, 0
}

func (r *recorder) PartBegin(p *mimestream.Part) error {
	if r.body != nil {
		r.t.Errorf("part %v begins within the body of %v", p.Path, r.body.Path)
	}
	if p.HeaderOffset != int64(r.all.Len()) {
		r.t.Errorf("part %v: header offset %d at %d", p.Path, p.HeaderOffset, r.all.Len())
	}
	if n := len(r.open); n > 0 && r.open[n-1] != p.Parent || n == 0 && p.Parent != nil {
		r.t.Errorf("part %v: parent is not the open part", p.Path)
	}
	r.open = append(r.open, p)
	r.event("begin", p)
	return nil
}

func (r *recorder) Structure(b []byte) error {
	if r.body != nil {
		r.t.Error("structure within a body")
	}
	r.bytes('S', b)
	return nil
}

func (r *recorder) BodyBegin(p *mimestream.Part) error {
	if r.body != nil || p != r.open[len(r.open)-1] || p.Kind != mimestream.Leaf {
		r.t.Errorf("body of %v begins out of order", p.Path)
	}
	if p.BodyOffset != int64(r.all.Len()) || p.BodyOffset != p.HeaderOffset+p.HeaderSize {
		r.t.Errorf("part %v: body offset %d, header %d+%d, at %d", p.Path, p.BodyOffset,
			p.HeaderOffset, p.HeaderSize, r.all.Len())
	}
	if p.Type == "" || p.Subtype == "" {
		r.t.Errorf("part %v has no type", p.Path)
	}
	r.body = p
	r.leafs[p] = []byte{}
	r.event("body", p)
	return nil
}

func (r *recorder) Body(p *mimestream.Part, b []byte) error {
	if p != r.body {
		r.t.Errorf("bytes for the body of %v, which is not open", p.Path)
	}
	r.leafs[p] = append(r.leafs[p], b...)
	r.bytes('B', b)
	return nil
}

func (r *recorder) BodyEnd(p *mimestream.Part) error {
	if p != r.body {
		r.t.Errorf("body of %v ends, which is not open", p.Path)
	}
	r.body = nil
	r.event("bodyend", p)
	body := r.leafs[p]
	if p.BodySize != int64(len(body)) || p.Lines != int64(bytes.Count(body, []byte("\n"))) {
		r.t.Errorf("part %v: %d octets, %d lines, got %d, %d", p.Path, p.BodySize, p.Lines,
			len(body), bytes.Count(body, []byte("\n")))
	}
	decoded, err := io.ReadAll(mimestream.NewDecoder(p.Encoding, bytes.NewReader(body)))
	if err != nil || p.DecodedSize != int64(len(decoded)) {
		r.t.Errorf("part %v: decoded size %d, decoder gave %d: %v", p.Path, p.DecodedSize, len(decoded), err)
	}
	return nil
}

func (r *recorder) PartEnd(p *mimestream.Part) error {
	if r.body != nil || p != r.open[len(r.open)-1] {
		r.t.Errorf("part %v ends out of order", p.Path)
	}
	if p.End() != int64(r.all.Len()) {
		r.t.Errorf("part %v ends at %d, says %d", p.Path, r.all.Len(), p.End())
	}
	r.open = r.open[:len(r.open)-1]
	r.event("end", p)
	return nil
}

// parse feeds the message in pieces, whose sizes next gives, and checks everything that must hold
// for any message.
func parse(t testing.TB, message []byte, next func() int) (*mimestream.Part, *recorder) {
	t.Helper()
	r := newRecorder(t)
	p := mimestream.NewParser(r)
	for rest := message; len(rest) > 0; {
		n := min(len(rest), next())
		if m, err := p.Write(rest[:n]); m != n || err != nil {
			t.Fatalf("Write(%d) = %d, %v", n, m, err)
		}
		rest = rest[n:]
	}
	root, err := p.Close()
	if err != nil {
		t.Fatal(err)
	}
	r.endRun()
	if len(r.open) != 0 || r.body != nil {
		t.Error("parts left open")
	}
	if !bytes.Equal(r.all.Bytes(), message) {
		t.Errorf("bytes changed: %d in, %d out", len(message), r.all.Len())
	}
	checkTree(t, root, message)
	return root, r
}

// checkTree checks that the tree describes the message's bytes.
func checkTree(t testing.TB, root *mimestream.Part, message []byte) {
	t.Helper()
	if root.HeaderOffset != 0 || root.End() != int64(len(message)) {
		t.Errorf("root covers %d to %d of %d", root.HeaderOffset, root.End(), len(message))
	}
	root.Walk(func(p *mimestream.Part) bool {
		if p.BodyOffset != p.HeaderOffset+p.HeaderSize {
			t.Errorf("part %v: body does not follow the header", p.Path)
		}
		header := message[p.HeaderOffset:p.BodyOffset]
		if n := int64(bytes.Count(header, []byte("\n"))); n != p.HeaderLines {
			t.Errorf("part %v: %d header lines, says %d", p.Path, n, p.HeaderLines)
		}
		body := message[p.BodyOffset:p.End()]
		if n := int64(bytes.Count(body, []byte("\n"))); n != p.Lines {
			t.Errorf("part %v: %d lines, says %d", p.Path, n, p.Lines)
		}
		if p.Kind == mimestream.Leaf {
			if nul := bytes.IndexByte(message[p.HeaderOffset:p.End()], 0) >= 0; nul != p.HasNUL {
				t.Errorf("part %v: HasNUL %v", p.Path, p.HasNUL)
			}
			high := bytes.IndexFunc(message[p.HeaderOffset:p.End()], func(r rune) bool { return r >= 0x80 }) >= 0
			if high != p.Has8bit {
				t.Errorf("part %v: Has8bit %v", p.Path, p.Has8bit)
			}
		}
		switch {
		case p.Kind == mimestream.Leaf && len(p.Children) > 0,
			p.Kind == mimestream.Message && len(p.Children) != 1:
			t.Errorf("part %v: %v with %d children", p.Path, p.Kind, len(p.Children))
		}
		at := p.BodyOffset
		for _, c := range p.Children {
			if c.Parent != p || c.HeaderOffset < at || c.End() > p.End() {
				t.Errorf("part %v: child %v does not lie within", p.Path, c.Path)
			}
			at = c.End()
		}
		return true
	})
	checkSections(t, root, nil)
}

// checkSections checks Find against the numbering rules, top down.
func checkSections(t testing.TB, root *mimestream.Part, section []int) {
	t.Helper()
	var message func(p *mimestream.Part, section []int)
	var body func(p *mimestream.Part, section []int)
	message = func(p *mimestream.Part, section []int) {
		if fmt.Sprint(p.Path) != fmt.Sprint(section) {
			t.Errorf("message %v has path %v", section, p.Path)
		}
		if p.Kind == mimestream.Multipart {
			body(p, section)
			return
		}
		one := append(section[:len(section):len(section)], 1)
		if root.Find(one) != p {
			t.Errorf("section %v is not the body of message %v", one, section)
		}
		body(p, one)
	}
	body = func(p *mimestream.Part, section []int) {
		switch p.Kind {
		case mimestream.Message:
			message(p.Children[0], section)
		case mimestream.Multipart:
			for i, c := range p.Children {
				number := append(section[:len(section):len(section)], i+1)
				if root.Find(number) != c || fmt.Sprint(c.Path) != fmt.Sprint(number) {
					t.Errorf("section %v: path is %v", number, c.Path)
				}
				body(c, number)
			}
			if root.Find(append(section[:len(section):len(section)], len(p.Children)+1)) != nil {
				t.Errorf("section %v has one part too many", section)
			}
		default:
			if root.Find(append(section[:len(section):len(section)], 1)) != nil {
				t.Errorf("leaf %v has a part", section)
			}
		}
	}
	message(root, section)
}

// dump writes a tree as the golden files have it.
func dump(root *mimestream.Part) string {
	var sb strings.Builder
	var walk func(p *mimestream.Part, indent string)
	walk = func(p *mimestream.Part, indent string) {
		fmt.Fprintf(&sb, "%s%v %v %s header=%d+%d/%d body=%d+%d/%d", indent, p.Path, p.Kind, p.MediaType(),
			p.HeaderOffset, p.HeaderSize, p.HeaderLines, p.BodyOffset, p.BodySize, p.Lines)
		if p.DecodedSize != p.BodySize {
			fmt.Fprintf(&sb, " decoded=%d", p.DecodedSize)
		}
		for name, value := range map[string]string{"degraded": p.Degraded.String()} {
			if value != "" {
				fmt.Fprintf(&sb, " %s=%s", name, value)
			}
		}
		if p.HasNUL {
			sb.WriteString(" nul")
		}
		if p.Has8bit {
			sb.WriteString(" 8bit")
		}
		sb.WriteString("\n")
		line := func(name string, value any) { fmt.Fprintf(&sb, "%s    %s: %+q\n", indent, name, value) }
		optional := func(name, value string) {
			if value != "" {
				line(name, value)
			}
		}
		params := func(list []mimestream.Param) {
			for _, q := range list {
				if q.Name == q.RawName && q.Value == q.RawValue {
					line("  "+q.Name, q.Value)
				} else {
					fmt.Fprintf(&sb, "%s      %s: %+q (%s: %+q)\n", indent, q.Name, q.Value, q.RawName, q.RawValue)
				}
			}
		}
		params(p.Params)
		optional("encoding", p.Encoding)
		optional("disposition", p.Disposition)
		params(p.DispositionParams)
		optional("id", p.ContentID)
		optional("description", p.Description)
		optional("md5", p.MD5)
		optional("location", p.Location)
		if p.Language != nil {
			line("language", p.Language)
		}
		for _, f := range p.Header {
			line(f.Name, f.Value)
		}
		for _, c := range p.Children {
			walk(c, indent+"  ")
		}
	}
	walk(root, "")
	return sb.String()
}
