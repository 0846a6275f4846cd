package mailgen

import (
	"bytes"
	"strings"
)

// broken returns what is hardly mail any more.
func (b *builder) broken(shape Shape) []byte {
	switch shape {
	case Empty:
		return nil
	case NoHeader:
		b.line()
		b.WriteString(b.gen.text(200))
		return b.Bytes()
	case Garbage:
		return b.garbage()
	case HeaderOnly:
		b.head(b.subject())
		if b.chance(50) {
			b.Truncate(b.Len() - 2)
		}
		return b.Bytes()
	}
	b.head(b.subject())
	text := func() { b.line(); b.line(b.subject()) }
	switch shape {
	case NoColon:
		b.line("this line has no colon")
		b.line("X-After: it")
		b.line(" \r\n\t")
		b.line("From nobody Mon Mar  4 08:00:00 2019")
		b.line()
		b.WriteString(b.gen.text(100))
	case Unclosed:
		b.unclosed(b.boundary(), text, b.alternative, text)
	case UnclosedInner:
		b.multipart("mixed", "outer", text, func() { b.unclosed("inner", text, text) }, text)
	case NoBoundary:
		b.line("Content-Type: multipart/mixed; charset=utf-8")
		b.line()
		b.between("b", text, text)
	case UnusedBoundary:
		b.line("Content-Type: multipart/mixed; boundary=never")
		b.line()
		b.between("other", text, text)
	case SharedBoundary:
		b.multipart("mixed", "same", text,
			func() { b.multipart("alternative", "same", text, text) }, text)
	case PrefixBoundary:
		b.multipart("mixed", "part", text,
			func() {
				b.multipart("alternative", "part--", text,
					func() { b.multipart("related", "part--1", text, text) }, text)
			}, text)
	case BoundaryInHeader:
		b.multipart("mixed", "x",
			func() { b.WriteString("Content-Type: text/html") },
			func() {},
			func() { b.WriteString("Content-Type: message/rfc822") },
			func() { b.WriteString("Content-Type: message/rfc822\r\n\r\nSubject: cut") },
			func() { b.WriteString("Content-Type: multipart/mixed; boundary=y") })
	case Epilogues:
		b.line("Content-Type: multipart/mixed; boundary=\"e\"")
		b.line()
		b.WriteString(b.gen.text(300) + "--\r\n-- e\r\n --e\r\n")
		b.line("--e \t ")
		b.multipart("mixed", "f", text)
		b.WriteString(b.gen.text(300))
		b.line("--f--")
		b.line("--e-")
		b.line("--e--trailing")
		b.WriteString(b.gen.text(300))
		b.line("--e")
		text()
	case EncodedMessage:
		b.multipart("mixed", b.boundary(), text, func() {
			b.line("Content-Type: message/rfc822; name=\"a.eml\"\r\nContent-Transfer-Encoding: base64")
			b.line()
			b.base64(b.goodOf(), 76)
		})
	case EncodedMultipart:
		b.line("Content-Transfer-Encoding: base64")
		b.alternative()
	case BrokenInner:
		inner := func(content string) func() {
			return func() { b.line("Content-Type: message/rfc822"); b.line(); b.WriteString(content) }
		}
		b.multipart("mixed", b.boundary(), inner(""), inner("\r\n"), inner("\r\nonly body"),
			inner("no colon\r\nnone\r\n"),
			inner("Subject: only header"),
			inner("Content-Type: multipart/mixed\r\n\r\n--x\r\n\r\ny"),
			inner("Content-Type: message/rfc822\r\n\r\n\r\ndeep"))
	case NUL:
		b.WriteString("X-Nul: a\x00b\r\nContent-Type: text/plain; name=\"a\x00b\"\r\n\r\n" +
			"body\x00 with \x00\x00\r\nNUL\r\n")
	case LoneCR:
		b.WriteString("X-Cr: a\rb\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n\r--c\r\r\n" +
			"--c\r\n\r\na\rb\r\r\n\r--c\r\n--c\r\r\n\r\nend\r\n--c--\r")
	case HugeHeader:
		for range 200 + b.IntN(200) {
			b.field("X-Huge", b.sentence(english, 200))
		}
		b.line("X-One: ", strings.Repeat("y", 100000))
		b.plain("small\r\n")
	case ManyParts:
		parts := make([]func(), 100+b.IntN(300))
		for i := range parts {
			parts[i] = text
		}
		b.multipart("mixed", b.boundary(), parts...)
	case Deep:
		depth := 20 + b.IntN(60)
		for i := range depth {
			if i%3 == 2 {
				b.line("Content-Type: message/rfc822\r\n")
			}
			b.line("Content-Type: multipart/mixed; boundary=d", itoa(i))
			b.line("\r\n--d", itoa(i))
		}
		text()
		for i := depth - 1; i > 5; i-- {
			b.line("--d", itoa(i), "--")
		}
	}
	return b.Bytes()
}

// unclosed is multipart without the close delimiter.
func (b *builder) unclosed(boundary string, parts ...func()) {
	var list []func()
	list = append(list, parts...)
	b.multipart("mixed", boundary, list...)
	end := []byte("\r\n--" + boundary + "--\r\n")
	if i := bytes.LastIndex(b.Bytes(), end); i >= 0 {
		b.Truncate(i)
	}
}

// garbage is random pieces of what means something to a MIME parser.
func (b *builder) garbage() []byte {
	pieces := []string{"\r\n", "\n", "\r", "\r\n\r\n", "--", "--x", "--x--", "--xy", "\r\n--x\r\n",
		"\r\n--x--\r\n", "Content-Type: multipart/mixed; boundary=x\r\n",
		"Content-Type: multipart/alternative;\r\n boundary=xy\r\n",
		"Content-Type: message/rfc822\r\n", "Subject: s\r\n", ":", " ", "\t", "\x00", "\xff", "=", "QUJD", "text",
		"Content-Transfer-Encoding: base64\r\n", "Content-Type: text/plain\r\n", "From: a@b\r\n",
		"-", "boundary", "\r\n--x\r\nContent-Type: multipart/digest; boundary=\"x\"\r\n\r\n"}
	for range 20 + b.IntN(200) {
		b.WriteString(pick(b.gen, pieces))
	}
	return b.Bytes()
}
