package wire

import (
	"io"
	"strings"
	"testing"
)

// endless repeats a text.
type endless struct {
	text string
	pos  int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.text[e.pos:])
	e.pos = (e.pos + n) % len(e.text)
	return n, nil
}

func BenchmarkDecodeFetch(b *testing.B) {
	const line = "a123 UID FETCH 1:500,700:* (UID FLAGS INTERNALDATE RFC822.SIZE)\r\n"
	d := NewDecoder(&endless{text: line})
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Start(); err != nil {
			b.Fatal(err)
		}
		_, _ = d.Tag()
		_ = d.SP()
		_, _ = d.Keyword()
		_ = d.SP()
		_, _ = d.Keyword()
		_ = d.SP()
		_, _ = d.UIDSet()
		_ = d.SP()
		if err := d.List(func() error { _, err := d.Keyword(); return err }); err != nil {
			b.Fatal(err)
		}
		if err := d.CRLF(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeLiteral(b *testing.B) {
	const size = 1 << 20
	text := "a APPEND INBOX {1048576+}\r\n" + strings.Repeat("x", size) + "\r\n"
	d := NewDecoder(&endless{text: text})
	buf := make([]byte, 32<<10)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Start(); err != nil {
			b.Fatal(err)
		}
		for range 3 {
			_, _ = d.Atom()
			if d.atLiteral() {
				break
			}
			_ = d.SP()
		}
		r, err := d.OpenLiteral()
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, buf); err != nil {
			b.Fatal(err)
		}
		if err := d.CRLF(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeFlags(b *testing.B) {
	e := NewEncoder(io.Discard)
	flags := []string{`\Seen`, `\Answered`, "$Label1"}
	b.ReportAllocs()
	for b.Loop() {
		e.Untagged().Number(123456).Raw(" FETCH (UID ").Number(234567).Raw(" FLAGS ").Flags(flags).Raw(")\r\n")
	}
	if err := e.Flush(); err != nil {
		b.Fatal(err)
	}
}
