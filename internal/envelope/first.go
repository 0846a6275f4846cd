package envelope

import (
	"bytes"
	"strconv"

	"gadwall/internal/casemap"
	"gadwall/mimestream"
)

// First is what sorting compares of the first address of a field, as casemap.String gives it. Both
// texts are empty if there is no address. A group is an address here, as in an ENVELOPE: its name
// is the mailbox.
type First struct {
	Mailbox string // addr-mailbox, for FROM, TO and CC (RFC 5256 section 3)
	Display string // the name, or else mailbox@host, for DISPLAYFROM and DISPLAYTO (RFC 5957 section 3)
}

// FirstAddresses reads the first From, To and Cc addresses in an ENVELOPE in wire form. ok is false
// for octets that are none.
func FirstAddresses(envelope []byte) (from, to, cc First, ok bool) {
	r := wireReader{rest: envelope, ok: true}
	r.expect('(')
	for i := range 8 { // date, subject, from, sender, reply-to, to, cc, bcc
		if i > 0 {
			r.expect(' ')
		}
		switch i {
		case 2:
			from = r.first()
		case 5:
			to = r.first()
		case 6:
			cc = r.first()
			return from, to, cc, r.ok
		default:
			r.skip()
		}
	}
	return from, to, cc, r.ok
}

// wireReader reads wire forms that this package made. ok is false from the first octet on that does
// not belong there.
type wireReader struct {
	rest []byte
	ok   bool
}

func (r *wireReader) expect(c byte) {
	if len(r.rest) == 0 || r.rest[0] != c {
		r.ok, r.rest = false, nil
		return
	}
	r.rest = r.rest[1:]
}

func (r *wireReader) at(c byte) bool { return len(r.rest) > 0 && r.rest[0] == c }

// first reads a list of addresses, and returns what the first one says.
func (r *wireReader) first() First {
	if !r.at('(') {
		r.skip() // NIL
		return First{}
	}
	whole := wireReader{rest: r.rest, ok: r.ok}
	r.skip()
	whole.expect('(')
	whole.expect('(')
	var parts [4][]byte // name, route, mailbox, host
	for i := range parts {
		if i > 0 {
			whole.expect(' ')
		}
		parts[i] = whole.nstring()
	}
	r.ok = r.ok && whole.ok
	mailbox := string(parts[2])
	display := human(clean(mimestream.DecodeWords(string(parts[0]))))
	if display == "" {
		if display = mailbox; parts[3] != nil {
			display += "@" + string(parts[3])
		}
	}
	return First{casemap.String(cut(clean(mailbox), maxID)), casemap.String(cut(clean(display), maxID))}
}

// skip passes over a string, NIL or a list.
func (r *wireReader) skip() {
	for depth := 0; ; {
		switch {
		case r.at('('):
			r.expect('(')
			depth++
		case r.at(')') && depth > 0:
			r.expect(')')
			depth--
		case r.at(' ') && depth > 0:
			r.expect(' ')
		default:
			r.nstring()
		}
		if depth == 0 || !r.ok {
			return
		}
	}
}

// nstring reads a string; nil means NIL.
func (r *wireReader) nstring() []byte {
	switch {
	case r.at('"'):
		return r.quoted()
	case r.at('{'):
		return r.literal()
	case bytes.HasPrefix(r.rest, []byte("NIL")):
		r.rest = r.rest[len("NIL"):]
		return nil
	}
	r.ok, r.rest = false, nil
	return nil
}

// quoted reads a quoted string. Without a backslash in it, it is a part of the wire form.
func (r *wireReader) quoted() []byte {
	rest := r.rest[1:]
	n := bytes.IndexAny(rest, "\"\\")
	if n >= 0 && rest[n] == '"' {
		r.rest = rest[n+1:]
		return rest[:n:n]
	}
	var text []byte
	for i := 0; n >= 0 && i < len(rest); i++ {
		switch c := rest[i]; c {
		case '"':
			r.rest = rest[i+1:]
			return text
		case '\\':
			if i++; i < len(rest) {
				text = append(text, rest[i])
			}
		default:
			text = append(text, c)
		}
	}
	r.ok, r.rest = false, nil
	return nil
}

func (r *wireReader) literal() []byte {
	mark, rest, found := bytes.Cut(r.rest, []byte("}\r\n"))
	if found {
		if n, err := strconv.Atoi(string(mark[1:])); err == nil && n >= 0 && n <= len(rest) {
			r.rest = rest[n:]
			return rest[:n:n]
		}
	}
	r.ok, r.rest = false, nil
	return nil
}

// IsReply reports whether a subject, as Text gives it, has a mark of a reply or forward (RFC 5256
// section 2.1).
func IsReply(subject string) bool {
	_, reply := baseSubject(subject)
	return reply
}
