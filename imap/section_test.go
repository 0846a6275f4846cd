package imap

import (
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"gadwall/mimestream"
)

// crlf turns the line ends of a raw string into those of mail.
func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

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

// TestSectionResolve: the bytes of every kind of section, as Dovecot 2.3
// answers them unless said otherwise.
func TestSectionResolve(t *testing.T) {
	tests := []struct {
		mail, spec, want string
	}{
		{plainMail, "", prefixLines + crlf(plainMail)},
		{plainMail, "HEADER", prefixLines + crlf("From: A <a@b.c>\nSubject: hello\n folded\n\n")},
		{plainMail, "TEXT", crlf("body line\ntwo\n")},
		{plainMail, "1", crlf("body line\ntwo\n")},
		{plainMail, "1.MIME", prefixLines + crlf("From: A <a@b.c>\nSubject: hello\n folded\n\n")},
		{plainMail, "1.1", ""},
		{plainMail, "2", ""},
		{plainMail, "1.HEADER", ""},
		{plainMail, "1.TEXT", ""},

		{nestMail, "1", "part1"},
		{nestMail, "1.MIME", crlf("Content-Type: text/plain\n\n")},
		{nestMail, "1.HEADER", ""},
		{nestMail, "1.TEXT", ""},
		{nestMail, "2.MIME", crlf("Content-Type: message/rfc822\n\n")},
		{nestMail, "2.HEADER", crlf("Subject: inner\nContent-Type: multipart/alternative; boundary=y\n\n")},
		{nestMail, "2.TEXT", crlf("--y\n\nin1\n--y\nContent-Type: text/html\n\n<b>in2</b>\n--y--\n")},
		{nestMail, "2.1", "in1"},
		{nestMail, "2.1.MIME", "\r\n"},
		{nestMail, "2.2", "<b>in2</b>"},
		{nestMail, "2.2.MIME", crlf("Content-Type: text/html\n\n")},
		{nestMail, "2.3", ""},
		{nestMail, "2.1.1", ""}, // Dovecot: in1
		{nestMail, "3", crlf("Subject: inner2\n\nplain inner")},
		{nestMail, "3.HEADER", crlf("Subject: inner2\n\n")},
		{nestMail, "3.TEXT", "plain inner"},
		{nestMail, "3.1", "plain inner"},
		{nestMail, "3.1.MIME", crlf("Subject: inner2\n\n")},
		{nestMail, "3.1.1", ""},
		{nestMail, "3.2", ""},
		{nestMail, "4", ""},

		{embeddedMail, "1", crlf("Subject: deep\n\ndeep body\n")},
		{embeddedMail, "1.HEADER", crlf("Subject: deep\n\n")},
		{embeddedMail, "1.TEXT", crlf("deep body\n")},
		{embeddedMail, "1.1", crlf("deep body\n")},
		{embeddedMail, "1.MIME", prefixLines + crlf("Content-Type: message/rfc822\n\n")},
	}
	for _, tt := range tests {
		s := section{}
		if tt.spec != "" {
			var err error
			if s, err = parseSectionSpec(tt.spec); err != nil {
				t.Fatalf("%s: %v", tt.spec, err)
			}
		}
		content := crlf(tt.mail)
		span := s.resolve(mimestream.Parse([]byte(content)), int64(len(prefixLines)))
		if got := spanBytes(span, prefixLines, content); got != tt.want {
			t.Errorf("section %q of %.20q:\n got %q\nwant %q", tt.spec, tt.mail, got, tt.want)
		}
	}
}

func spanBytes(s span, prefix, content string) string {
	return prefix[s.prefixAt:s.prefixAt+s.prefix] + content[s.off:s.off+s.n]
}

func TestParseSectionSpecErrors(t *testing.T) {
	for _, spec := range []string{"MIME", "0", "1.0", "01", "1.", "1..2", ".1", "1.FOO", "FOO",
		"HEADER.1", "99999999999", strings.Repeat("1.", maxSectionDepth) + "1"} {
		if s, err := parseSectionSpec(spec); err == nil {
			t.Errorf("%q is accepted as %+v", spec, s)
		}
	}
}

// TestSpanCut: a partial of prefix and content is that of both together.
func TestSpanCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefix := rapid.StringN(0, 8, -1).Draw(t, "prefix")
		content := rapid.StringN(0, 20, -1).Draw(t, "content")
		p := partial{set: true,
			offset: rapid.Int64Range(0, 30).Draw(t, "offset"),
			size:   rapid.Int64Range(0, 30).Draw(t, "size")}
		whole := span{prefix: int64(len(prefix)), n: int64(len(content))}
		got := spanBytes(whole.cut(p), prefix, content)
		if want := string(p.cutBytes([]byte(prefix + content))); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}

func TestSpanCutHuge(t *testing.T) {
	const huge = 1<<63 - 1
	s := span{prefix: 5, n: 10}
	if got := s.cut(partial{set: true, offset: 2, size: huge}); got.size() != 13 {
		t.Errorf("size %d, want 13", got.size())
	}
	if got := s.cut(partial{set: true, offset: huge, size: huge}); got.size() != 0 {
		t.Errorf("size %d, want 0", got.size())
	}
}

func TestAppendLabel(t *testing.T) {
	tests := []struct {
		spec  string
		names []string
		p     partial
		want  string
	}{
		{"", nil, partial{}, "[]"},
		{"", nil, partial{set: true, offset: 0, size: 5}, "[]<0>"},
		{"1.2.MIME", nil, partial{}, "[1.2.MIME]"},
		{"4", nil, partial{set: true, offset: 77, size: 5}, "[4]<77>"},
		{"HEADER.FIELDS", []string{"Subject", "X-y"}, partial{}, "[HEADER.FIELDS (Subject X-y)]"},
		{"2.HEADER.FIELDS.NOT", []string{"To"}, partial{set: true, offset: 3}, "[2.HEADER.FIELDS.NOT (To)]<3>"},
		{"HEADER.FIELDS", []string{"a b", `q"\`, "", "]", "\xff"}, partial{},
			"[HEADER.FIELDS (\"a b\" \"q\\\"\\\\\" \"\" \"]\" {1}\r\n\xff)]"},
	}
	for _, tt := range tests {
		s := section{}
		if tt.spec != "" {
			var err error
			if s, err = parseSectionSpec(tt.spec); err != nil {
				t.Fatal(err)
			}
		}
		var names [][]byte
		for _, n := range tt.names {
			names = append(names, []byte(n))
		}
		if got := string(s.appendLabel(nil, names, tt.p)); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.spec, got, tt.want)
		}
	}
}

func TestAppendFields(t *testing.T) {
	header := crlf("From: a\nsubject : one\n folded\n\tagain\nX-Spam: no\nSUBJECT: two\ngarbage\n more garbage\nTo: b\n\n")
	tests := []struct {
		header string
		names  []string
		not    bool
		want   string
	}{
		{header, []string{"subject"}, false, crlf("subject : one\n folded\n\tagain\nSUBJECT: two\n\n")},
		{header, []string{"x-spam", "from"}, false, crlf("From: a\nX-Spam: no\n\n")},
		{header, []string{"nothing"}, false, "\r\n"},
		{header, []string{"subject", "to"}, true, crlf("From: a\nX-Spam: no\ngarbage\n more garbage\n\n")},
		{"", []string{"a"}, false, "\r\n"},
		{"", []string{"a"}, true, ""},
		{"A: 1\r\nB: 2\r\n", []string{"a"}, false, "A: 1\r\n\r\n"}, // no empty line at the end
		{"A: 1\r\nB: 2\r\n", []string{"a"}, true, "B: 2\r\n"},
		{"A: 1", []string{"a"}, false, "A: 1\r\n\r\n"},
		{"A: 1\nB: 2\n\n", []string{"b"}, false, "B: 2\n\n"}, // bare line ends stay
		{" lost\r\nA: 1\r\n\r\n", []string{"a"}, false, "A: 1\r\n\r\n"},
	}
	for _, tt := range tests {
		got := string(fieldNames(tt.names).appendFields([]byte("x"), []byte(tt.header), tt.not))
		if got != "x"+tt.want {
			t.Errorf("%q not=%v of %q:\n got %q\nwant %q", tt.names, tt.not, tt.header, got[1:], tt.want)
		}
	}
}

// TestAppendFieldsSplits: a header is the lines of HEADER.FIELDS and those of
// HEADER.FIELDS.NOT of the same names, whatever they are.
func TestAppendFieldsSplits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		line := rapid.SampledFrom([]string{"a: 1", "B:2", "c : 3", " more", "\tx", "junk", ":", "a"})
		header := ""
		for i, l := range rapid.SliceOfN(line, 0, 12).Draw(t, "lines") {
			header += l + strconv.Itoa(i) + "\r\n"
		}
		names := fieldNames(rapid.SliceOf(rapid.SampledFrom([]string{"a", "b", "c", ""})).Draw(t, "names"))
		with := strings.SplitAfter(strings.TrimSuffix(string(names.appendFields(nil, []byte(header), false)), "\r\n"), "\n")
		without := strings.SplitAfter(string(names.appendFields(nil, []byte(header), true)), "\n")
		for _, l := range strings.SplitAfter(header, "\n") {
			switch {
			case len(with) > 0 && with[0] == l:
				with = with[1:]
			case len(without) > 0 && without[0] == l:
				without = without[1:]
			default:
				t.Fatalf("line %q is in neither, or not in order", l)
			}
		}
		if strings.Join(with, "")+strings.Join(without, "") != "" {
			t.Fatalf("too much: %q and %q", with, without)
		}
	})
}
