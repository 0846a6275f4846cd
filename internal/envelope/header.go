package envelope

import "gadwall/mimestream"

// Header is what an ENVELOPE says, decoded for people.
type Header struct {
	Date, Subject                      string
	From, Sender, ReplyTo, To, Cc, Bcc []Address
	InReplyTo, MessageID               string
}

// Address is a mail address with the name that a header gives it.
type Address struct{ Name, Mail string }

// ReadHeader reads an ENVELOPE in wire form. ok is false for octets that are none.
func ReadHeader(envelope []byte) (h Header, ok bool) {
	r := wireReader{rest: envelope, ok: true}
	text := func() string { return human(valid(mimestream.DecodeWords(string(r.nstring())))) }
	r.expect('(')
	for i, read := range []func(){
		func() { h.Date = text() },
		func() { h.Subject = text() },
		func() { h.From = r.addresses() },
		func() { h.Sender = r.addresses() },
		func() { h.ReplyTo = r.addresses() },
		func() { h.To = r.addresses() },
		func() { h.Cc = r.addresses() },
		func() { h.Bcc = r.addresses() },
		func() { h.InReplyTo = text() },
		func() { h.MessageID = text() },
	} {
		if i > 0 {
			r.expect(' ')
		}
		read()
	}
	r.expect(')')
	return h, r.ok
}

// addresses reads a list of addresses. It leaves out the marks of groups (RFC 3501 section 7.4.2).
func (r *wireReader) addresses() (list []Address) {
	if !r.at('(') {
		r.skip() // NIL
		return nil
	}
	r.expect('(')
	for r.ok && !r.at(')') {
		var parts [4][]byte // name, route, mailbox, host
		r.expect('(')
		for i := range parts {
			if i > 0 {
				r.expect(' ')
			}
			parts[i] = r.nstring()
		}
		r.expect(')')
		if parts[2] == nil || parts[3] == nil {
			continue
		}
		list = append(list, Address{
			Name: human(valid(mimestream.DecodeWords(string(parts[0])))),
			Mail: valid(string(parts[2]) + "@" + string(parts[3])),
		})
	}
	r.expect(')')
	return list
}
