package section

import (
	"bytes"
	"context"
	"io"
	"testing"

	"pgregory.net/rapid"

	"gadwall/mimestream"
)

const (
	plainMail = "From: A <a@b.c>\nSubject: hello\n folded\n\nbody line\ntwo\n"
	nestMail  = `From: A <a@b.c>
Content-Type: multipart/mixed; boundary=x

pre
--x
Content-Type: text/plain

part1
--x
Content-Type: message/rfc822

Subject: inner
Content-Type: multipart/alternative; boundary=y

--y

in1
--y
Content-Type: text/html

<b>in2</b>
--y--
--x
Content-Type: message/rfc822

Subject: inner2

plain inner
--x--
`
	embeddedMail = "Content-Type: message/rfc822\n\nSubject: deep\n\ndeep body\n"
	prefixLines  = "Return-Path: <r@x>\r\n"
)

// TestSpan: the bytes of every kind of section, as Dovecot 2.3 answers them unless said otherwise.
func TestSpan(t *testing.T) {
	tests := []struct {
		mail string
		path []int
		kind Kind
		want string
	}{
		{plainMail, nil, All, prefixLines + crlf(plainMail)},
		{plainMail, nil, Header, prefixLines + crlf("From: A <a@b.c>\nSubject: hello\n folded\n\n")},
		{plainMail, nil, Text, crlf("body line\ntwo\n")},
		{plainMail, []int{1}, All, crlf("body line\ntwo\n")},
		{plainMail, []int{1}, MIME, prefixLines + crlf("From: A <a@b.c>\nSubject: hello\n folded\n\n")},
		{plainMail, []int{1, 1}, All, ""},
		{plainMail, []int{2}, All, ""},
		{plainMail, []int{1}, Header, ""},
		{plainMail, []int{1}, Text, ""},

		{nestMail, []int{1}, All, "part1"},
		{nestMail, []int{1}, MIME, crlf("Content-Type: text/plain\n\n")},
		{nestMail, []int{1}, Header, ""},
		{nestMail, []int{1}, Text, ""},
		{nestMail, []int{2}, MIME, crlf("Content-Type: message/rfc822\n\n")},
		{nestMail, []int{2}, Header, crlf("Subject: inner\nContent-Type: multipart/alternative; boundary=y\n\n")},
		{nestMail, []int{2}, Fields, crlf("Subject: inner\nContent-Type: multipart/alternative; boundary=y\n\n")},
		{nestMail, []int{2}, Text, crlf("--y\n\nin1\n--y\nContent-Type: text/html\n\n<b>in2</b>\n--y--")},
		{nestMail, []int{2, 1}, All, "in1"},
		{nestMail, []int{2, 1}, MIME, "\r\n"},
		{nestMail, []int{2, 2}, All, "<b>in2</b>"},
		{nestMail, []int{2, 2}, MIME, crlf("Content-Type: text/html\n\n")},
		{nestMail, []int{2, 3}, All, ""},
		{nestMail, []int{2, 1, 1}, All, ""}, // Dovecot: in1
		{nestMail, []int{3}, All, crlf("Subject: inner2\n\nplain inner")},
		{nestMail, []int{3}, Header, crlf("Subject: inner2\n\n")},
		{nestMail, []int{3}, Text, "plain inner"},
		{nestMail, []int{3, 1}, All, "plain inner"},
		{nestMail, []int{3, 1}, MIME, crlf("Subject: inner2\n\n")},
		{nestMail, []int{3, 1, 1}, All, ""},
		{nestMail, []int{3, 2}, All, ""},
		{nestMail, []int{4}, All, ""},

		{embeddedMail, []int{1}, All, crlf("Subject: deep\n\ndeep body\n")},
		{embeddedMail, []int{1}, Header, crlf("Subject: deep\n\n")},
		{embeddedMail, []int{1}, Text, crlf("deep body\n")},
		{embeddedMail, []int{1, 1}, All, crlf("deep body\n")},
		{embeddedMail, []int{1}, MIME, prefixLines + crlf("Content-Type: message/rfc822\n\n")},
	}
	for _, tt := range tests {
		s := Section{Path: tt.path, Kind: tt.kind}
		content := crlf(tt.mail)
		root := mimestream.Parse([]byte(content))
		m := Message{
			Prefix: int64(len(prefixLines)), Size: int64(len(content)),
			HeaderSize: root.HeaderSize, Root: root,
		}
		var got bytes.Buffer
		span := s.Span(m)
		if err := span.Write(t.Context(), &got, []byte(prefixLines), memory(content)); err != nil {
			t.Fatal(err)
		}
		if got.String() != tt.want || span.Size() != int64(len(tt.want)) {
			t.Errorf("section %v %d of %.20q:\n got %q\nwant %q", tt.path, tt.kind, tt.mail, got.String(), tt.want)
		}
	}
}

// memory is a Content in memory.
type memory string

func (m memory) WriteRange(_ context.Context, w io.Writer, off, n int64) error {
	_, err := io.WriteString(w, string(m[off:off+n]))
	return err
}

func spanBytes(s Span, prefix, content string) string {
	return prefix[s.PrefixAt:s.PrefixAt+s.Prefix] + content[s.Off:s.Off+s.N]
}

// TestSpanCut: a partial of prefix and content is that of both together.
func TestSpanCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefix := rapid.StringN(0, 8, -1).Draw(t, "prefix")
		content := rapid.StringN(0, 20, -1).Draw(t, "content")
		p := Partial{Set: true,
			Offset: rapid.Int64Range(0, 30).Draw(t, "offset"),
			Size:   rapid.Int64Range(0, 30).Draw(t, "size")}
		whole := Span{Prefix: int64(len(prefix)), N: int64(len(content))}
		got := spanBytes(whole.Cut(p), prefix, content)
		if want := string(p.Bytes([]byte(prefix + content))); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}

func TestSpanCutHuge(t *testing.T) {
	const huge = 1<<63 - 1
	s := Span{Prefix: 5, N: 10}
	if got := s.Cut(Partial{Set: true, Offset: 2, Size: huge}); got.Size() != 13 {
		t.Errorf("size %d, want 13", got.Size())
	}
	if got := s.Cut(Partial{Set: true, Offset: huge, Size: huge}); got.Size() != 0 {
		t.Errorf("size %d, want 0", got.Size())
	}
}
