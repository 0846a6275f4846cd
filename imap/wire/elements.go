package wire

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Character classes of RFC 3501 section 9.
const (
	classAtom    = 1 << iota // ATOM-CHAR
	classAString             // ASTRING-CHAR: atom or "]"
	classList                // list-char: astring or "%" "*"
	classTag                 // astring except "+"
)

var class = func() (t [256]byte) {
	for c := 0x21; c < 0x7f; c++ {
		switch c {
		case '(', ')', '{', '"', '\\':
		case '%', '*':
			t[c] = classList
		case ']':
			t[c] = classAString | classList | classTag
		case '+':
			t[c] = classAtom | classAString | classList
		default:
			t[c] = classAtom | classAString | classList | classTag
		}
	}
	return t
}()

// unexpected makes the error for an element that is not what it should be.
func (d *Decoder) unexpected(want string) error {
	if d.pos >= len(d.line) {
		return Errorf("expected %s at the end of the command", want)
	}
	return Errorf("expected %s at position %d", want, d.pos+1)
}

// Peek returns the next byte without taking it, 0 at the end of the line or
// when the line is faulty. At a literal it returns '{' or '~'.
func (d *Decoder) Peek() byte {
	if d.ready() != nil || d.pos >= len(d.line) {
		return 0
	}
	return d.line[d.pos]
}

// Accept takes c when it is next and reports whether it was.
func (d *Decoder) Accept(c byte) bool {
	if d.Peek() != c || c == 0 || d.atLiteral() {
		return false
	}
	d.pos++
	return true
}

// AcceptText takes text when it is next, in any case of its letters, and reports whether it was.
func (d *Decoder) AcceptText(text string) bool {
	if d.ready() != nil || len(d.line)-d.pos < len(text) || d.hasLit && d.pos+len(text) > d.markAt ||
		!strings.EqualFold(string(d.line[d.pos:d.pos+len(text)]), text) {
		return false
	}
	d.pos += len(text)
	return true
}

// Expect takes c or fails.
func (d *Decoder) Expect(c byte) error {
	if err := d.ready(); err != nil {
		return err
	}
	if !d.Accept(c) {
		return d.unexpected(strconv.Quote(string(rune(c))))
	}
	return nil
}

// SP takes one space.
func (d *Decoder) SP() error {
	if err := d.ready(); err != nil {
		return err
	}
	if !d.Accept(' ') {
		return d.unexpected("a space")
	}
	return nil
}

// AtEnd reports whether the command has nothing left but its line end.
func (d *Decoder) AtEnd() bool {
	return d.ready() == nil && d.pos == len(d.line)
}

// CRLF takes the end of the command.
func (d *Decoder) CRLF() error {
	if err := d.ready(); err != nil {
		return err
	}
	if d.pos != len(d.line) {
		return d.unexpected("the end of the command")
	}
	d.finished = true
	d.line, d.spill = nil, nil
	return nil
}

// span takes the bytes of a class; at least one.
func (d *Decoder) span(mask byte, what string) (string, error) {
	if err := d.ready(); err != nil {
		return "", err
	}
	start := d.pos
	for d.pos < len(d.line) && class[d.line[d.pos]]&mask != 0 && !d.atLiteral() {
		d.pos++
	}
	if d.pos == start {
		return "", d.unexpected(what)
	}
	if d.pos-start > MaxAtom {
		return "", tooBig("%s is longer than %d bytes", what, MaxAtom)
	}
	return string(d.line[start:d.pos]), nil
}

// Tag reads a command's tag.
func (d *Decoder) Tag() (string, error) {
	// The tag of a faulty line is read all the same, to answer it.
	bad := d.bad
	d.bad = nil
	tag, err := d.span(classTag, "a tag")
	d.bad = bad
	return tag, err
}

// Atom reads an atom.
func (d *Decoder) Atom() (string, error) { return d.span(classAtom, "an atom") }

// Keyword reads an atom in upper case: the name of a command, item or option.
func (d *Decoder) Keyword() (string, error) {
	s, err := d.span(classAtom, "a keyword")
	return strings.ToUpper(s), err
}

// AtomUntil reads an atom that also ends before any byte of stop, in upper
// case: AtomUntil("[<") reads BODY.PEEK of BODY.PEEK[1]<0.10>.
func (d *Decoder) AtomUntil(stop string) (string, error) {
	if err := d.ready(); err != nil {
		return "", err
	}
	start := d.pos
	for d.pos < len(d.line) && class[d.line[d.pos]]&classAtom != 0 &&
		strings.IndexByte(stop, d.line[d.pos]) < 0 && !d.atLiteral() {
		d.pos++
	}
	if d.pos == start {
		return "", d.unexpected("a keyword")
	}
	if d.pos-start > MaxAtom {
		return "", tooBig("keyword is longer than %d bytes", MaxAtom)
	}
	return strings.ToUpper(string(d.line[start:d.pos])), nil
}

// quoted reads a quoted string (RFC 3501 section 4.3). Octets above 127 are
// taken as they are: clients send passwords so.
func (d *Decoder) quoted() (string, error) {
	i := d.pos + 1
	// The usual string has no escapes: it is cut out of the line.
	var esc []byte
	escaped := false
	start := i
	for ; ; i++ {
		if i >= len(d.line) {
			return "", Errorf("quoted string has no end")
		}
		c := d.line[i]
		if c == '"' {
			break
		}
		if c == '\\' {
			if i+1 >= len(d.line) || d.line[i+1] != '"' && d.line[i+1] != '\\' {
				return "", Errorf("only \" and \\ may be quoted by a backslash")
			}
			if !escaped {
				escaped = true
				esc = append(esc, d.line[start:i]...)
			}
			i++
			c = d.line[i]
		}
		if escaped {
			esc = append(esc, c)
		}
	}
	s := string(esc)
	if !escaped {
		s = string(d.line[start:i])
	}
	if d.UTF8 && !utf8.ValidString(s) {
		return "", Errorf("quoted string is not UTF-8")
	}
	d.pos = i + 1
	return s, nil
}

// AtString reports whether a quoted string or a literal is next.
func (d *Decoder) AtString() bool {
	return d.Peek() == '"' || d.ready() == nil && d.atLiteral()
}

// String reads a quoted string or a literal (up to MaxLiteral).
func (d *Decoder) String() (string, error) {
	if err := d.ready(); err != nil {
		return "", err
	}
	switch {
	case d.atLiteral():
		b, err := d.memoryLiteral()
		return string(b), err
	case d.pos < len(d.line) && d.line[d.pos] == '"':
		return d.quoted()
	}
	return "", d.unexpected("a string")
}

// AString reads an astring: a string or an atom in which "]" is allowed.
func (d *Decoder) AString() (string, error) {
	if d.AtString() {
		return d.String()
	}
	return d.span(classAString, "a string")
}

// NString reads a string or NIL; ok is false for NIL.
func (d *Decoder) NString() (s string, ok bool, err error) {
	if err := d.ready(); err != nil {
		return "", false, err
	}
	rest := d.line[d.pos:]
	if len(rest) >= 3 && bytes.EqualFold(rest[:3], []byte("NIL")) &&
		(len(rest) == 3 || class[rest[3]]&classAString == 0) {
		d.pos += 3
		return "", false, nil
	}
	s, err = d.String()
	return s, err == nil, err
}

// ListMailbox reads the pattern of LIST: an astring that may hold % and *.
func (d *Decoder) ListMailbox() (string, error) {
	var s string
	var err error
	if d.AtString() {
		s, err = d.String()
	} else {
		s, err = d.span(classList, "a mailbox pattern")
	}
	if err != nil {
		return "", err
	}
	return d.mailboxName(s)
}

// Mailbox reads a mailbox name and returns it in UTF-8. INBOX in any case is
// returned as "INBOX" (RFC 3501 section 5.1).
func (d *Decoder) Mailbox() (string, error) {
	s, err := d.AString()
	if err != nil {
		return "", err
	}
	if strings.EqualFold(s, "INBOX") {
		return "INBOX", nil
	}
	return d.mailboxName(s)
}

func (d *Decoder) mailboxName(s string) (string, error) {
	if d.UTF8 {
		// RFC 6855 section 3: with UTF8=ACCEPT names are UTF-8. A name
		// written in modified UTF-7 is then what it says.
		if !utf8.ValidString(s) {
			return "", Errorf("mailbox name is not UTF-8")
		}
		return s, nil
	}
	if strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0 && utf8.ValidString(s) {
		// Some clients send UTF-8 to any server that offers IMAP4rev2, and enable nothing.
		return s, nil
	}
	name, err := DecodeUTF7(s)
	if err != nil {
		return "", ErrMailboxName
	}
	return name, nil
}

// Number reads a 32-bit number.
func (d *Decoder) Number() (uint32, error) {
	n, err := d.digits(32)
	return uint32(n), err
}

// Number64 reads a 63-bit number (RFC 9051 number64, RFC 7162 mod-sequence).
func (d *Decoder) Number64() (uint64, error) { return d.digits(63) }

func (d *Decoder) digits(bits int) (uint64, error) {
	if err := d.ready(); err != nil {
		return 0, err
	}
	start := d.pos
	for d.pos < len(d.line) && d.line[d.pos] >= '0' && d.line[d.pos] <= '9' {
		d.pos++
	}
	if d.pos == start {
		return 0, d.unexpected("a number")
	}
	n, err := strconv.ParseUint(string(d.line[start:d.pos]), 10, bits)
	if err != nil {
		return 0, Errorf("number is too large")
	}
	return n, nil
}

// Enter counts one level of nesting, to be undone by Leave.
func (d *Decoder) Enter() error {
	if d.depth >= MaxDepth {
		return tooBig("nesting is deeper than %d", MaxDepth)
	}
	d.depth++
	return nil
}

// Leave undoes Enter.
func (d *Decoder) Leave() { d.depth-- }

// List reads a parenthesised list and calls element for each of its elements,
// which are separated by one space. An empty list is allowed.
func (d *Decoder) List(element func() error) error {
	if err := d.Expect('('); err != nil {
		return err
	}
	if err := d.Enter(); err != nil {
		return err
	}
	defer d.Leave()
	if d.Accept(')') {
		return nil
	}
	for n := 1; ; n++ {
		if n > MaxListItems {
			return tooBig("list has more than %d elements", MaxListItems)
		}
		if err := element(); err != nil {
			return err
		}
		if d.Accept(')') {
			return nil
		}
		if err := d.SP(); err != nil {
			return err
		}
	}
}

// Flag reads a flag: "\" atom for a system flag, or a keyword
// (RFC 3501 section 9, flag).
func (d *Decoder) Flag() (string, error) {
	if err := d.ready(); err != nil {
		return "", err
	}
	if d.Accept('\\') {
		s, err := d.span(classAtom, "a flag")
		return `\` + s, err
	}
	return d.span(classAtom, "a flag")
}

// FlagList reads a parenthesised list of flags.
func (d *Decoder) FlagList() (flags []string, err error) {
	err = d.List(func() error {
		f, err := d.Flag()
		flags = append(flags, f)
		return err
	})
	return flags, err
}
