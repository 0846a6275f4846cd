package wire

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// start returns a decoder whose first command is begun.
func start(t *testing.T, input string) *Decoder {
	t.Helper()
	d := NewDecoder(strings.NewReader(input))
	if err := d.Start(); err != nil {
		t.Fatalf("Start: %v", err)
	}
	return d
}

func TestStrings(t *testing.T) {
	type result struct {
		Value string
		Err   bool
	}
	long := strings.Repeat("x", 5000) // longer than the reader's buffer
	for _, tt := range []struct {
		name, in string
		utf8     bool
		want     result
	}{
		{"atom", "abc\r\n", false, result{"abc", false}},
		{"atom with bracket", "a]c\r\n", false, result{"a]c", false}},
		{"bare LF", "abc\n", false, result{"abc", false}},
		{"quoted", "\"a b\"\r\n", false, result{"a b", false}},
		{"empty quoted", "\"\"\r\n", false, result{"", false}},
		{"escapes", `"a\"b\\c"` + "\r\n", false, result{`a"b\c`, false}},
		{"wrong escape", `"a\n"` + "\r\n", false, result{"", true}},
		{"escape at the end", `"a\` + "\r\n", false, result{"", true}},
		{"no end", "\"abc\r\n", false, result{"", true}},
		{"8-bit quoted", "\"\xc3\xa9\"\r\n", false, result{"é", false}},
		{"UTF-8 quoted", "\"\xc3\xa9\"\r\n", true, result{"é", false}},
		{"not UTF-8", "\"\xc3\"\r\n", true, result{"", true}},
		{"8-bit atom", "\xc3\xa9\r\n", true, result{"", true}},
		{"literal", "{5}\r\na\r\n\"b\r\n", false, result{"a\r\n\"b", false}},
		{"literal plus", "{5+}\r\na\r\n\"b\r\n", false, result{"a\r\n\"b", false}},
		{"literal8", "~{3}\r\na\x00b\r\n", false, result{"a\x00b", false}},
		{"8-bit literal", "{2}\r\n\xc3\xa9\r\n", false, result{"é", false}},
		{"empty literal", "{0}\r\n\r\n", false, result{"", false}},
		{"NUL in a literal", "{3}\r\na\x00b\r\n", false, result{"", true}},
		{"NUL in a line", "\"a\x00b\"\r\n", false, result{"", true}},
		{"CR in a line", "\"a\rb\"\r\n", false, result{"", true}},
		{"long quoted", `"` + long + "\"\r\n", false, result{long, false}},
		{"long literal", "{5000}\r\n" + long + "\r\n", false, result{long, false}},
		{"brace in the middle", "{5}x\r\n", false, result{"", true}},
		{"other mark", "{5-}\r\n", false, result{"", true}},
		{"empty mark", "{}\r\n", false, result{"", true}},
		{"nothing", "\r\n", false, result{"", true}},
		{"huge literal", "{99999999999999999999999}\r\n", false, result{"", true}},
		{"literal over the limit", "{1048577}\r\n", false, result{"", true}},
		{"line over the limit", `"` + strings.Repeat("x", MaxLine) + "\"\r\n", false, result{"", true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := start(t, tt.in)
			d.UTF8 = tt.utf8
			got, err := d.AString()
			if err == nil {
				err = d.CRLF()
			}
			if err != nil {
				got = ""
				var syntax *SyntaxError
				if !errors.As(err, &syntax) {
					t.Errorf("error is %v, not a SyntaxError", err)
				}
			}
			if diff := cmp.Diff(tt.want, result{got, err != nil}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestResync sends a command that is refused in the middle, and another after
// it: nothing of the first may be taken for a command.
func TestResync(t *testing.T) {
	refuse := func(d *Decoder) error { return Errorf("no") }
	astring := func(d *Decoder) error {
		if err := d.SP(); err != nil {
			return err
		}
		_, err := d.AString()
		return err
	}
	for _, tt := range []struct {
		name, in string
		parse    func(d *Decoder) error
	}{
		{"rest of a line", "x y z\r\nb NOOP\r\n", refuse},
		{"synchronising literal that is not sent", "x {10}\r\nb NOOP\r\n", refuse},
		{"non-synchronising literal", "x {10+}\r\na LOGOUT\r\n\r\nb NOOP\r\n", refuse},
		{"two literals", "x {3+}\r\na\r\n {10+}\r\na LOGOUT\r\n\r\nb NOOP\r\n", refuse},
		{"second literal refused", "x {3+}\r\na\r\n {10+}\r\na LOGOUT\r\n\r\nb NOOP\r\n", astring},
		{"literal8", "x ~{10+}\r\na LOGOUT\r\n\r\nb NOOP\r\n", refuse},
		{"too large", "x {2000000+}\r\n" + strings.Repeat("a LOGOUT\r\n", 200000) + "\r\nb NOOP\r\n", astring},
		{"long line with a literal", "x " + strings.Repeat("y", 3*MaxLine) +
			"{10+}\r\na LOGOUT\r\n\r\nb NOOP\r\n", astring},
		{"long line", "x " + strings.Repeat("y", 3*MaxLine) + "\r\nb NOOP\r\n", astring},
		{"unfinished quoted string", "x \"{10+}\r\na LOGOUT\r\n\r\nb NOOP\r\n", astring},
		{"NUL", "x \x00 {10+}\r\na LOGOUT\r\n\r\nb NOOP\r\n", astring},
		{"opened literal half read", "x {10}\r\na LOGOUT\r\n\r\nb NOOP\r\n", func(d *Decoder) error {
			if err := d.SP(); err != nil {
				return err
			}
			r, err := d.OpenLiteral()
			if err != nil {
				return err
			}
			_, err = io.ReadFull(r, make([]byte, 4))
			return err
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := NewDecoder(iotest.OneByteReader(strings.NewReader(tt.in)))
			if len(tt.in) > 1000 {
				d = NewDecoder(strings.NewReader(tt.in))
			}
			if err := d.Start(); err != nil {
				t.Fatal(err)
			}
			if tag, err := d.Tag(); tag != "x" || err != nil {
				t.Fatalf("tag %q, %v", tag, err)
			}
			_ = tt.parse(d) // whatever it says
			if err := d.Resync(); err != nil {
				t.Fatalf("Resync: %v", err)
			}
			if err := d.Start(); err != nil {
				t.Fatalf("second Start: %v", err)
			}
			tag, err := d.Tag()
			if tag != "b" || err != nil {
				t.Fatalf("after it comes %q (%v), not the next command", tag, err)
			}
			if err := d.SP(); err != nil {
				t.Fatal(err)
			}
			if name, err := d.Keyword(); name != "NOOP" || err != nil {
				t.Fatalf("command %q, %v", name, err)
			}
			if err := d.CRLF(); err != nil {
				t.Fatal(err)
			}
			if err := d.Start(); err != io.EOF {
				t.Fatalf("at the end: %v, want EOF", err)
			}
		})
	}
}

func TestDrainLimit(t *testing.T) {
	in := io.MultiReader(strings.NewReader("x {99999999999+}\r\n"), zeros{})
	d := NewDecoder(in)
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	if err := d.Resync(); !errors.Is(err, ErrDrain) {
		t.Errorf("Resync gave %v, want ErrDrain", err)
	}
}

// TestEndlessLine sends a line that never ends; the decoder must give up.
func TestEndlessLine(t *testing.T) {
	d := NewDecoder(zeros{})
	if err := d.Start(); !errors.Is(err, ErrDrain) {
		t.Errorf("Start gave %v, want ErrDrain", err)
	}
}

// zeros is an endless stream without a line end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestContinuation(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want int
	}{
		{"{3}\r\nabc\r\n", 1},
		{"{3+}\r\nabc\r\n", 0},
		{"{1048577}\r\n", 0}, // refused: the client must not send it
	} {
		d := start(t, tt.in)
		asked := 0
		d.Continue = func() error { asked++; return nil }
		_, _ = d.String()
		if asked != tt.want {
			t.Errorf("%q: asked %d times for the literal, want %d", tt.in, asked, tt.want)
		}
	}
}

func TestLineLimit(t *testing.T) {
	for n, ok := range map[int]bool{5000: true, 7990: true, 9000: false} {
		d := NewDecoder(strings.NewReader("a " + strings.Repeat("x", n) + "\r\nb NOOP\r\n"))
		d.LineLimit = 8000
		if err := d.Start(); err != nil {
			t.Fatal(err)
		}
		if tag, err := d.Tag(); tag != "a" || err != nil {
			t.Fatal(tag, err)
		}
		if err := d.SP(); (err == nil) != ok {
			t.Errorf("line of %d bytes: %v", n, err)
		}
		if err := d.Resync(); err != nil {
			t.Fatal(err)
		}
		if err := d.Start(); err != nil {
			t.Fatal(err)
		}
		if tag, _ := d.Tag(); tag != "b" {
			t.Errorf("after it comes %q", tag)
		}
	}
}

// A reader that is quiet before a command breaks nothing, and no buffer is held meanwhile.
func TestQuiet(t *testing.T) {
	r := &quietly{parts: []string{"", "", "a NO", "OP\r\n", "", "b NOOP\r\nc", " NOOP\r\n"}}
	d := NewDecoder(r)
	for _, want := range []string{"", "", "a", "", "b", "c"} {
		if d.Rest(); d.r != nil && d.Buffered() == 0 {
			t.Error("it has a buffer")
		}
		switch err := d.Start(); {
		case want == "" && !errors.Is(err, ErrQuiet):
			t.Fatal(err)
		case want == "":
			continue
		case err != nil:
			t.Fatal(err)
		}
		d.Rest() // inside a command, it keeps the line
		if tag, err := d.Tag(); err != nil || tag != want {
			t.Errorf("%q, %v", tag, err)
		}
		if err := d.Resync(); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Start(); err != io.EOF {
		t.Error(err)
	}
}

// quietly reads part by part. It is quiet where a part is empty.
type quietly struct{ parts []string }

func (q *quietly) Read(p []byte) (int, error) {
	if len(q.parts) == 0 {
		return 0, io.EOF
	}
	n := copy(p, q.parts[0])
	q.parts = q.parts[1:]
	if n == 0 {
		return 0, ErrQuiet
	}
	return n, nil
}

func TestEOF(t *testing.T) {
	for in, want := range map[string]error{
		"":                   io.EOF,
		"a NOOP":             io.ErrUnexpectedEOF,
		"a {5}\r\nab":        io.ErrUnexpectedEOF,
		"a {2+}\r\nab":       io.ErrUnexpectedEOF,
		"a {2+}\r\nab {3+}":  io.ErrUnexpectedEOF,
		"a {5+}\r\nab\r\n\r": io.ErrUnexpectedEOF,
	} {
		d := NewDecoder(strings.NewReader(in))
		err := d.Start()
		for err == nil {
			if _, err = d.AString(); err == nil {
				if d.AtEnd() {
					err = d.CRLF()
					break
				}
				if e := d.SP(); e != nil {
					err = e
				}
			}
		}
		if err != want {
			t.Errorf("%q: %v, want %v", in, err, want)
		}
	}
}

func TestNestingLimit(t *testing.T) {
	d := start(t, strings.Repeat("(", 1000)+strings.Repeat(")", 1000)+"\r\n")
	var list func() error
	list = func() error { return d.List(list) }
	err := list()
	var syntax *SyntaxError
	if !errors.As(err, &syntax) || syntax.Code != "TOOBIG" {
		t.Errorf("got %v, want TOOBIG", err)
	}
}

func TestListLimit(t *testing.T) {
	d := start(t, "("+strings.Repeat("a ", MaxListItems)+"a)\r\n")
	err := d.List(func() error { _, err := d.Atom(); return err })
	var syntax *SyntaxError
	if !errors.As(err, &syntax) || syntax.Code != "TOOBIG" {
		t.Errorf("got %v, want TOOBIG", err)
	}
}

func TestFlagList(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want []string
		bad  bool
	}{
		{"()", nil, false},
		{`(\Seen $Junk)`, []string{`\Seen`, "$Junk"}, false},
		{`(\Seen  $Junk)`, nil, true},
		{`(\)`, nil, true},
		{`(\Seen`, nil, true},
		{`(\Seen )`, nil, true},
	} {
		d := start(t, tt.in+"\r\n")
		got, err := d.FlagList()
		if (err != nil) != tt.bad {
			t.Errorf("%s: error %v", tt.in, err)
		}
		if err == nil && !cmp.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestNumbers(t *testing.T) {
	d := start(t, "0 4294967295 9223372036854775807 4294967296\r\n")
	if n, err := d.Number(); n != 0 || err != nil {
		t.Error(n, err)
	}
	_ = d.SP()
	if n, err := d.Number(); n != 1<<32-1 || err != nil {
		t.Error(n, err)
	}
	_ = d.SP()
	if n, err := d.Number64(); n != 1<<63-1 || err != nil {
		t.Error(n, err)
	}
	_ = d.SP()
	if _, err := d.Number(); err == nil {
		t.Error("a number of more than 32 bits was taken")
	}
}

func TestSets(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"1", "1"},
		{"*", "*"},
		{"3,1,2", "1:3"},
		{"5:2", "2:5"},
		{"*:4", "4:*"},
		{"4:*,7,9:10", "4:*"},
		{"1,4:*,*", "1,4:*"},
		{"1,*", "1,*"},
		{"*:*", "*"},
		{"2:4,3:9,11,12,4294967295", "2:9,11:12,4294967295"},
		{"0", ""},
		{"1:0", ""},
		{"1,", ""},
		{"1:", ""},
		{"4294967296", ""},
		{"a", ""},
		{"", ""},
	} {
		d := start(t, tt.in+"\r\n")
		set, err := d.NumSet(true)
		if err == nil {
			err = d.CRLF()
		}
		got := ""
		if err == nil {
			got = set.String()
		}
		if got != tt.want {
			t.Errorf("%q: %q (%v), want %q", tt.in, got, err, tt.want)
		}
	}
	d := start(t, strings.Repeat("1,", MaxRanges)+"1\r\n")
	if _, err := d.SeqSet(); err == nil {
		t.Error("a set over the limit was taken")
	}
}

// FuzzDecoder reads any bytes as commands: no panic, no endless loop, every
// error is of a known kind, and resynchronising always works or ends.
func FuzzDecoder(f *testing.F) {
	for _, seed := range []string{
		"a LOGIN {3}\r\nabc {2+}\r\nde\r\nb NOOP\r\n",
		"a FETCH 1:*,4 (FLAGS BODY.PEEK[1.2.HEADER.FIELDS (A \"b\")]<0.10>)\r\n",
		"a APPEND INBOX (\\Seen $X) \"17-Jul-1996 02:44:25 -0700\" ~{4}\r\nabcd\r\n",
		"a LIST (SUBSCRIBED) \"\" (\"*\" &AOk-%) RETURN (CHILDREN)\r\n",
		"((((\r\n\x00\r\n", "a {5+}\r\n", "\"\\\"\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		d := NewDecoder(bytes.NewReader(in))
		for range len(in) + 2 {
			if err := d.Start(); err != nil {
				return
			}
			_, _ = d.Tag()
			if err := anything(d, in); err != nil {
				var syntax *SyntaxError
				if !errors.As(err, &syntax) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatalf("unexpected kind of error: %v", err)
				}
			}
			if err := d.Resync(); err != nil {
				if !errors.Is(err, ErrDrain) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatalf("Resync: %v", err)
				}
				return
			}
		}
		t.Fatal("more commands than bytes")
	})
}

// anything parses elements of every kind, chosen by what comes next.
func anything(d *Decoder, in []byte) error {
	for i := 0; !d.AtEnd(); i++ {
		var err error
		switch c := d.Peek(); {
		case c == ' ':
			err = d.SP()
		case c == '(':
			err = d.List(func() error { _, err := d.AString(); return err })
		case d.AtString() && len(in)%3 == 0:
			_, _, err = d.NString()
		case d.AtString() && len(in)%3 == 1 && c == '"':
			_, err = d.DateTime()
		case d.AtString():
			_, err = d.Mailbox()
		case d.AtNumSet() && i%2 == 0:
			_, err = d.NumSet(true)
		case c >= '0' && c <= '9':
			_, err = d.Number64()
		case c == '\\':
			_, err = d.Flag()
		case i%3 == 0:
			_, err = d.AtomUntil("[]<")
		default:
			_, err = d.ListMailbox()
		}
		if err != nil {
			return err
		}
	}
	return d.CRLF()
}
