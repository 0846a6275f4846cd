package imap

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"gadwall/internal/dovecottest"
	"gadwall/internal/mailgen"
	"gadwall/internal/mailstore"
	"gadwall/mimestream"
)

// bothServers starts Dovecot and Gadwall with the same messages in INBOX and
// returns a session on each.
func bothServers(t *testing.T, mails [][]byte) (theirs, ours *dovecottest.Session) {
	t.Helper()
	d := dovecottest.Start(t)
	d.MaildirAppend(d.User, mails...)
	s := newTestServer(t)
	for i, m := range mails {
		s.deliverTo(t, bytes.NewReader(m), mailstore.Delivery{InternalDate: dovecottest.Arrival(i)})
	}
	theirs = d.Login()
	ours = dovecottest.Dial(t, s.addr, testUser, testPassword)
	theirs.Command("EXAMINE INBOX")
	ours.Command("EXAMINE INBOX")
	return theirs, ours
}

// sectionsOf returns sections of a message: all that it has, and some that it
// has not.
func sectionsOf(root *mimestream.Part) []string {
	const bound = 40
	var paths []string
	var walk func(p *mimestream.Part, path string)
	walk = func(p *mimestream.Part, path string) {
		prefix := path
		if prefix != "" {
			prefix += "."
		}
		n := 0
		switch {
		case p.Kind == mimestream.Multipart:
			for i, c := range p.Children {
				number := fmt.Sprintf("%s%d", prefix, i+1)
				if len(paths) < bound {
					paths = append(paths, number)
					if c.Kind == mimestream.Message {
						c = c.Children[0]
					}
					walk(c, number)
				}
			}
			n = len(p.Children)
		case p.IsMessage():
			paths = append(paths, prefix+"1")
			n = 1
		default:
			n = 1 // Dovecot takes the 1 of a leaf for the leaf itself
		}
		paths = append(paths, fmt.Sprintf("%s%d", prefix, n+1)) // there is none
	}
	walk(root, "")
	sections := []string{"", "HEADER", "TEXT", "HEADER.FIELDS (subject X-none)", "HEADER.FIELDS.NOT (Subject received)",
		"HEADER.FIELDS (content-type from)"}
	for _, p := range paths {
		sections = append(sections, p, p+".MIME", p+".HEADER", p+".TEXT", p+".HEADER.FIELDS (Subject)")
	}
	return sections
}

// readOtherwise are the shapes whose parts package mimestream sees otherwise
// than Dovecot's parser, on purpose: see docs/imap-differences.md.
var readOtherwise = map[mailgen.Shape]bool{
	mailgen.NoContentType: true, mailgen.GlobalMessage: true, mailgen.NoBoundary: true,
	mailgen.BoundaryInHeader: true, mailgen.EncodedMessage: true, mailgen.BrokenInner: true,
}

// TestFetchLikeDovecot compares the bytes of every section, and partials of
// them, of generated mail of every shape with what Dovecot answers. What is
// left out here is explained in docs/imap-differences.md.
func TestFetchLikeDovecot(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a Dovecot")
	}
	var mails [][]byte
	var shapes []mailgen.Shape
	for _, shape := range mailgen.Shapes() {
		for seed := range uint64(2) {
			shapes = append(shapes, shape)
			mails = append(mails, mailgen.Of(shape, seed+1))
		}
	}
	for _, m := range []string{plainMail, nestMail, embeddedMail} {
		shapes = append(shapes, mailgen.Shape(0))
		mails = append(mails, []byte(crlf(m)))
	}
	theirs, ours := bothServers(t, mails)
	differences := 0
	for i, mail := range mails {
		if readOtherwise[shapes[i]] {
			continue
		}
		var items []string
		for _, s := range sectionsOf(mimestream.Parse(mail)) {
			items = append(items, "BODY.PEEK["+s+"]")
			if !oddLineEnds(mail) {
				items = append(items, "BODY.PEEK["+s+"]<7.20>", "BODY.PEEK["+s+"]<100000.5>")
			}
		}
		for len(items) > 0 {
			n := min(len(items), 100)
			batch := strings.Join(items[:n], " ")
			items = items[n:]
			set := fmt.Sprint(i + 1)
			want, got := theirs.Fetch(set, batch)[i+1], ours.Fetch(set, batch)[i+1]
			if len(got) != len(want) {
				t.Errorf("%v: %d items, Dovecot has %d", shapes[i], len(got), len(want))
			}
			for label, value := range want {
				mine, ok := got[label]
				a, b := mine.Text, value.Text
				if oddLineEnds(mail) {
					a, b = likeDovecot(a), likeDovecot(b)
				}
				if ok && (a == b || closesBeforeBoundary(a, b)) {
					continue
				}
				if differences++; differences < 40 {
					t.Errorf("message %d, %v, %s: %v\n got %d %.300q\nwant %d %.300q", i+1,
						shapes[i], label, ok, len(a), a, len(b), b)
				}
			}
		}
	}
	if differences > 0 {
		t.Errorf("%d differences", differences)
	}
}

// closesBeforeBoundary reports whether a is a part that ends with the close of a multipart, and b
// is that with the line end before the next boundary, which Dovecot counts to the part.
func closesBeforeBoundary(a, b string) bool {
	return strings.HasSuffix(a, "--") && b == a+"\r\n"
}

// oddLineEnds reports octets that Dovecot does not give back as they came: bare
// LF becomes CRLF and NUL becomes 0x80.
func oddLineEnds(mail []byte) bool {
	return bytes.Count(mail, []byte("\n")) != bytes.Count(mail, []byte("\r\n")) || bytes.IndexByte(mail, 0) >= 0
}

// likeDovecot changes those octets as Dovecot does.
func likeDovecot(s string) string {
	s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n")
	return strings.ReplaceAll(s, "\x00", "\x80")
}
