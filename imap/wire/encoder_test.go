package wire

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func encode(t *testing.T, utf8 bool, write func(e *Encoder)) string {
	t.Helper()
	var buf bytes.Buffer
	e := NewEncoder(&buf)
	e.UTF8 = utf8
	write(e)
	if err := e.Flush(); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

func TestEncoder(t *testing.T) {
	for _, tt := range []struct {
		want  string
		write func(e *Encoder)
	}{
		{`"abc"`, func(e *Encoder) { e.String("abc") }},
		{`""`, func(e *Encoder) { e.String("") }},
		{`"a\"b\\c"`, func(e *Encoder) { e.String(`a"b\c`) }},
		{"{3}\r\na\nb", func(e *Encoder) { e.String("a\nb") }},
		{"{2}\r\né", func(e *Encoder) { e.String("é") }},
		{"{5}\r\na\uFFFDb", func(e *Encoder) { e.String("a\x00b") }},
		{`(\Seen $Junk)`, func(e *Encoder) { e.Flags([]string{`\Seen`, "not a flag", "$Junk"}) }},
		{`Entw&APw-rfe`, func(e *Encoder) { e.Mailbox("Entwürfe") }},
		{`"a b"`, func(e *Encoder) { e.Mailbox("a b") }},
		{`"nil"`, func(e *Encoder) { e.Mailbox("nil") }},
		{`"%"`, func(e *Encoder) { e.Mailbox("%") }},
		{"two  lines", func(e *Encoder) { e.Text("two\r\nlines") }},
		{"-", func(e *Encoder) { e.Text("") }},
		{"(1 2 3)", func(e *Encoder) { e.List(3, func(i int) { e.Number(uint32(i + 1)) }) }},
	} {
		if got := encode(t, false, tt.write); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
	if got := encode(t, true, func(e *Encoder) { e.String("é").SP().Mailbox("é") }); got != `"é" "é"` {
		t.Errorf("with UTF8: %q", got)
	}
}

func TestEncoderLarge(t *testing.T) {
	long := strings.Repeat("0123456789", 10_000)
	got := encode(t, false, func(e *Encoder) {
		e.Raw("x").Raw(long).Byte('y')
		_, _ = e.Write([]byte(long))
		_ = e.Literal(int64(len(long)), func(w io.Writer) error { _, err := io.WriteString(w, long); return err })
	})
	if want := "x" + long + "y" + long + "{100000}\r\n" + long; got != want {
		t.Errorf("got %d bytes, want %d", len(got), len(want))
	}
}

func TestLiteralSize(t *testing.T) {
	for _, n := range []int{0, 4, 6} {
		e := NewEncoder(io.Discard)
		err := e.Literal(5, func(w io.Writer) error { _, err := w.Write(make([]byte, n)); return err })
		if !errors.Is(err, ErrLiteralSize) || !errors.Is(e.Flush(), ErrLiteralSize) {
			t.Errorf("%d bytes of 5: %v, %v", n, err, e.Err())
		}
	}
	e := NewEncoder(io.Discard)
	func() {
		defer func() { _ = recover() }()
		_ = e.Literal(5, func(w io.Writer) error { panic("in the middle") })
	}()
	if e.Err() == nil {
		t.Error("a panic in a literal left the connection usable")
	}
}

func TestLineOpen(t *testing.T) {
	e := NewEncoder(io.Discard)
	if e.LineOpen() {
		t.Error("open at the start")
	}
	if e.Raw("* 1 "); !e.LineOpen() {
		t.Error("not open after half a line")
	}
	if e.CRLF(); e.LineOpen() {
		t.Error("open after a line's end")
	}
}

// TestRoundTrip: what the encoder writes the decoder reads.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := strings.ReplaceAll(rapid.String().Draw(rt, "string"), "\x00", "")
		utf8 := rapid.Bool().Draw(rt, "utf8")
		var buf bytes.Buffer
		e := NewEncoder(&buf)
		e.UTF8 = utf8
		e.Raw("x ").String(s).SP().Mailbox(s).CRLF()
		if err := e.Flush(); err != nil {
			rt.Fatal(err)
		}
		d := NewDecoder(&buf)
		d.UTF8 = utf8
		if err := d.Start(); err != nil {
			rt.Fatal(err)
		}
		if _, err := d.Tag(); err != nil {
			rt.Fatal(err)
		}
		_ = d.SP()
		got, err := d.String()
		if err != nil || got != s {
			rt.Fatalf("got %q (%v), want %q", got, err, s)
		}
		if err := d.SP(); err != nil {
			rt.Fatal(err)
		}
		want := s
		if strings.EqualFold(s, "inbox") {
			want = "INBOX"
		}
		if got, err := d.Mailbox(); err != nil || got != want {
			rt.Fatalf("mailbox %q (%v), want %q", got, err, want)
		}
	})
}

func TestUTF7(t *testing.T) {
	for name, want := range map[string]string{
		"":          "",
		"INBOX":     "INBOX",
		"a&b":       "a&-b",
		"Entwürfe":  "Entw&APw-rfe",
		"台北/日本語":    "&U,BTFw-/&ZeVnLIqe-",
		"😀":         "&2D3eAA-",
		"&é&":       "&-&AOk-&-",
		"tab\there": "tab&AAk-here",
	} {
		if got := EncodeUTF7(name); got != want {
			t.Errorf("encode %q: %q, want %q", name, got, want)
		}
		if got, err := DecodeUTF7(want); got != name || err != nil {
			t.Errorf("decode %q: %q (%v), want %q", want, got, err, name)
		}
	}
	for _, bad := range []string{
		"&", "&AOk", "&AA-", "&AGE-", "é", "&2D0-", "&3gA-", "&AOk-&AOk-", "&AP=-", "&A/k-", "a\x7f", "&AOl-x&!-",
	} {
		if got, err := DecodeUTF7(bad); err == nil && EncodeUTF7(got) != bad {
			t.Errorf("decode %q: taken as %q", bad, got)
		}
	}
}

// FuzzUTF7: what decodes encodes back to the same.
func FuzzUTF7(f *testing.F) {
	for _, s := range []string{"&AOk-", "a&-b", "&2D3eAA-", "&U,BTFw-", "&\r-", "&AO\r\nk-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := DecodeUTF7(s)
		if err != nil {
			return
		}
		if back := EncodeUTF7(name); back != s {
			t.Errorf("%q decodes to %q, which encodes to %q", s, name, back)
		}
	})
}
