package imap

import (
	"strings"
	"testing"

	"gadwall/internal/section"
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

// TestParseSectionSpec: a section is written as it was read.
func TestParseSectionSpec(t *testing.T) {
	for _, spec := range []string{"HEADER", "TEXT", "1", "1.2.3", "2.MIME", "3.1.HEADER", "3.1.TEXT"} {
		s, err := parseSectionSpec(spec)
		if got := string(appendSectionLabel(nil, s, nil, section.Partial{})); err != nil || got != "["+spec+"]" {
			t.Errorf("%s is read as %s, %v", spec, got, err)
		}
	}
}

func TestParseSectionSpecErrors(t *testing.T) {
	for _, spec := range []string{"MIME", "0", "1.0", "01", "1.", "1..2", ".1", "1.FOO", "FOO",
		"HEADER.1", "99999999999", strings.Repeat("1.", maxSectionDepth) + "1"} {
		if s, err := parseSectionSpec(spec); err == nil {
			t.Errorf("%q is accepted as %+v", spec, s)
		}
	}
}

func TestAppendSectionLabel(t *testing.T) {
	tests := []struct {
		spec  string
		names []string
		p     section.Partial
		want  string
	}{
		{"", nil, section.Partial{}, "[]"},
		{"", nil, section.Partial{Set: true, Offset: 0, Size: 5}, "[]<0>"},
		{"1.2.MIME", nil, section.Partial{}, "[1.2.MIME]"},
		{"4", nil, section.Partial{Set: true, Offset: 77, Size: 5}, "[4]<77>"},
		{"HEADER.FIELDS", []string{"Subject", "X-y"}, section.Partial{}, "[HEADER.FIELDS (Subject X-y)]"},
		{"2.HEADER.FIELDS.NOT", []string{"To"}, section.Partial{Set: true, Offset: 3}, "[2.HEADER.FIELDS.NOT (To)]<3>"},
		{"HEADER.FIELDS", []string{"a b", `q"\`, "", "]", "\xff"}, section.Partial{},
			"[HEADER.FIELDS (\"a b\" \"q\\\"\\\\\" \"\" \"]\" {1}\r\n\xff)]"},
	}
	for _, tt := range tests {
		s := section.Section{}
		if tt.spec != "" {
			var err error
			if s, err = parseSectionSpec(tt.spec); err != nil {
				t.Fatal(err)
			}
		}
		if got := string(appendSectionLabel(nil, s, tt.names, tt.p)); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.spec, got, tt.want)
		}
	}
}
