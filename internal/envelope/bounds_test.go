package envelope_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"gadwall/internal/dovecottest"
	"gadwall/internal/envelope"
	"gadwall/internal/mailgen"
	"gadwall/mimestream"
)

// forms are the wire forms of a message.
type forms struct{ envelope, body, structure []byte }

// describe makes the wire forms of a message from its content, and fails unless those that are made
// to be stored are the same.
func describe(t testing.TB, message []byte, root *mimestream.Part) forms {
	t.Helper()
	headers := func(p *mimestream.Part) ([]byte, error) {
		return message[p.HeaderOffset : p.HeaderOffset+p.HeaderSize], nil
	}
	var env, body, structure bytes.Buffer
	err := errors.Join(envelope.WriteEnvelope(&env, root, headers),
		envelope.WriteBodyStructure(&body, root, headers, false),
		envelope.WriteBodyStructure(&structure, root, headers, true))
	if err != nil {
		t.Fatal(err)
	}
	f := forms{env.Bytes(), body.Bytes(), structure.Bytes()}
	stored := envelope.Envelope(root)
	if stored != nil && !bytes.Equal(stored, f.envelope) || len(stored) > envelope.MaxWire {
		t.Errorf("ENVELOPE of %.300q: stored\n%.500q, of the content\n%.500q", message, stored, f.envelope)
	}
	if stored == nil && len(f.envelope) <= envelope.MaxWire && root.Degraded&mimestream.DegradedFields == 0 {
		t.Errorf("ENVELOPE of %d octets is not stored", len(f.envelope))
	}
	stored = envelope.BodyStructure(root)
	if stored == nil {
		return f
	}
	if !bytes.Equal(stored, f.structure) || len(stored) > envelope.MaxWire {
		t.Errorf("BODYSTRUCTURE of %.300q: stored\n%.500q, of the content\n%.500q", message, stored, f.structure)
	}
	if stripped, err := envelope.AppendBody(nil, stored); err != nil || !bytes.Equal(stripped, f.body) {
		t.Errorf("BODY of %.300q: stripped (%v)\n%.500q, of the content\n%.500q", message, err, stripped, f.body)
	}
	return f
}

// check asserts what must hold for any message.
func check(t testing.TB, message []byte) *mimestream.Part {
	t.Helper()
	root := mimestream.Parse(message)
	made := describe(t, message, root)
	for name, wire := range map[string][]byte{
		"ENVELOPE": made.envelope, "BODY": made.body, "BODYSTRUCTURE": made.structure,
	} {
		v, err := dovecottest.Parse(string(wire))
		if err != nil {
			t.Errorf("%s is not valid: %v\n%.300q", name, err, wire)
			continue
		}
		if name != "ENVELOPE" {
			checkStructure(t, v, name == "BODYSTRUCTURE")
		} else if len(v.List) != 10 {
			t.Errorf("ENVELOPE has %d items", len(v.List))
		}
	}
	from, to, cc, ok := envelope.FirstAddresses(made.envelope)
	if !ok {
		t.Errorf("ENVELOPE is not read: %.300q", made.envelope)
	}
	f := envelope.Fields(root)
	for name, s := range map[string]string{
		"Subject": f.Subject, "BaseSubject": f.BaseSubject, "From": f.From, "Sender": f.Sender, "ReplyTo": f.ReplyTo,
		"To": f.To, "Cc": f.Cc, "Bcc": f.Bcc, "MessageID": f.MessageID,
		"InReplyTo":  f.InReplyTo,
		"first From": from.Mailbox + from.Display,
		"first To":   to.Mailbox + to.Display, "first Cc": cc.Mailbox + cc.Display,
		"References": strings.Join(f.References, ""),
	} {
		if !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 {
			t.Errorf("%s is %q", name, s)
		}
		if len(s) > 64<<10 {
			t.Errorf("%s has %d octets", name, len(s))
		}
	}
	return root
}

// checkStructure checks the form of a body (RFC 9051 section 9, body).
func checkStructure(t testing.TB, v dovecottest.Value, extended bool) {
	t.Helper()
	if len(v.List) == 0 {
		t.Errorf("body is %s", v)
		return
	}
	n := 0
	for n < len(v.List) && v.List[n].Kind == dovecottest.List {
		checkStructure(t, v.List[n], extended)
		n++
	}
	if n > 0 {
		if n == len(v.List) || v.List[n].Kind != dovecottest.String {
			t.Errorf("multipart without subtype: %.200s", v)
		}
		return
	}
	fixed := 7
	typ, sub := strings.ToLower(v.List[0].Text), ""
	if len(v.List) > 1 {
		sub = strings.ToLower(v.List[1].Text)
	}
	switch {
	case typ == "text":
		fixed = 8
	case typ == "message" && (sub == "rfc822" || sub == "global"):
		fixed = 10
		if len(v.List) >= fixed {
			if len(v.List[7].List) != 10 {
				t.Errorf("inner envelope is %.200s", v.List[7])
			}
			checkStructure(t, v.List[8], extended)
		}
	case typ == "multipart":
		t.Errorf("multipart in the form of a leaf: %.200s", v)
	}
	if len(v.List) != fixed && (!extended || len(v.List) != fixed+4) {
		t.Errorf("%s/%s has %d items: %.300s", typ, sub, len(v.List), v)
	}
}

func TestEveryShape(t *testing.T) {
	for seed := range uint64(3 * len(mailgen.Shapes())) {
		check(t, mailgen.Message(seed))
	}
}

// Messages made to be described at great length.
func TestBounds(t *testing.T) {
	long := strings.Repeat("long \"\\ ", 8000)
	multipart := "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	for name, message := range map[string]string{
		"strings": "Subject: " + long + "\r\nDate: " + long + "\r\nMessage-ID: " + long +
			"\r\nIn-Reply-To: " + long + "\r\nReferences: <" + long + "> " +
			strings.Repeat("<a@b> ", 8000) + "\r\n\r\n",
		"addresses": strings.Repeat("To: "+
			strings.Repeat("A Person <a.person@example.com>, ", 1500)+"\r\nFrom: "+
			strings.Repeat("a@b, ", 3000)+"\r\n", 6) + "\r\n",
		"one long address": "To: " + strings.Repeat("x", 60000) + "@" +
			strings.Repeat("y", 3000) + ", a@b\r\n\r\n",
		"a group without end": "To: g: " + strings.Repeat("a@b, ", 12000) + "\r\n\r\n",
		"8-bit": "To: " + strings.Repeat("\xe4 <\xe4@\xe4>, ", 4000) +
			"\r\nSubject: " + strings.Repeat("\xe4", 50000) + "\r\n\r\n",
		"many parts": multipart + strings.Repeat("--b\r\nContent-ID: <"+
			strings.Repeat("x", 200)+">\r\n\r\nx\r\n", 2000),
		"parts with long types": multipart + strings.Repeat("--b\r\nContent-Type: "+
			strings.Repeat("x", 200)+"/"+strings.Repeat("y", 200)+"\r\n\r\nx\r\n", 2000),
		"parts with long encodings": multipart +
			strings.Repeat("--b\r\nContent-Transfer-Encoding: "+strings.Repeat("x", 200)+"\r\n\r\nx\r\n", 2000),
		"many messages": multipart +
			strings.Repeat("--b\r\nContent-Type: message/rfc822\r\n\r\n"+
				"To: a@b, c@d, e@f\r\nSubject: x\r\n\r\nx\r\n", 2000),
		"parameters": multipart + strings.Repeat("--b\r\nContent-Type: text/plain"+
			strings.Repeat("; name=value", 60)+"\r\n\r\nx\r\n", 2000),
		"deep": strings.Repeat("Content-Type: message/rfc822\r\nTo: "+
			strings.Repeat("a@b, ", 500)+"\r\n\r\n", 200),
	} {
		t.Run(name, func(t *testing.T) { check(t, []byte(message)) })
	}
}

// A message to very many has all of them in its ENVELOPE, which then is not stored.
func TestManyRecipients(t *testing.T) {
	for n, stored := range map[int]bool{700: true, 3000: false} {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf("Person %d <person%d@example.com>", i, i))
		}
		message := []byte("From: a@b\r\nTo: " + strings.Join(list, ",\r\n ") + "\r\nCc: c@d\r\n\r\n")
		root := check(t, message)
		if stored != (envelope.Envelope(root) != nil) {
			t.Errorf("%d recipients, stored: %t", n, !stored)
		}
		v, err := dovecottest.Parse(string(describe(t, message, root).envelope))
		if err != nil {
			t.Fatal(err)
		}
		if got := len(v.List[5].List); got != n {
			t.Errorf("%d of %d recipients", got, n)
		}
		if cc := v.List[6].String(); cc != `((NIL NIL "c" "d"))` {
			t.Errorf("Cc is %s", cc)
		}
	}
}

// A message of very many parts has the names, dispositions and encodings of all in its
// BODYSTRUCTURE.
func TestManyAttachments(t *testing.T) {
	name := "=?UTF-8?B?" + strings.Repeat("56ys5Zub5Y2K5pyf", 8) + "?="
	part := "--b\r\nContent-Type: application/pdf;\r\n name=\"%d" + name +
		"\"\r\nContent-Transfer-Encoding: base64\r\n" +
		"Content-Disposition: attachment;\r\n filename=\"%[1]d" + name + "\"\r\n\r\nJVBERi0=\r\n"
	for n, stored := range map[int]bool{100: true, 900: false} {
		var message bytes.Buffer
		message.WriteString("Content-Type: multipart/mixed; boundary=b\r\n\r\n")
		for i := range n {
			fmt.Fprintf(&message, part, i)
		}
		message.WriteString("--b--\r\n")
		root := check(t, message.Bytes())
		if stored != (envelope.BodyStructure(root) != nil) {
			t.Errorf("%d parts, stored: %t", n, !stored)
		}
		v, err := dovecottest.Parse(string(describe(t, message.Bytes(), root).structure))
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range v.List[:n] {
			want := fmt.Sprintf(`("application" "pdf" ("name" "%d%s") NIL NIL "base64" 8 NIL `+
				`("attachment" ("filename" "%[1]d%s")) NIL NIL)`, i, name)
			if p.String() != want {
				t.Fatalf("part %d of %d:\n got %s\nwant %s", i, n, p, want)
			}
		}
	}
}

// What headers and the writer fail with comes back, and nothing is made of it.
func TestComputedFormsReturnErrors(t *testing.T) {
	message := mailgen.Of(mailgen.Forwarded, 1)
	root := mimestream.Parse(message)
	parts := 0
	root.Walk(func(*mimestream.Part) bool { parts++; return true })
	for n := range parts {
		calls := 0
		headers := func(p *mimestream.Part) ([]byte, error) {
			if calls++; calls > n {
				return nil, io.ErrUnexpectedEOF
			}
			return message[p.HeaderOffset : p.HeaderOffset+p.HeaderSize], nil
		}
		err := envelope.WriteBodyStructure(io.Discard, root, headers, true)
		if !errors.Is(err, io.ErrUnexpectedEOF) || calls != n+1 {
			t.Errorf("header %d fails: %v after %d calls", n, err, calls)
		}
		err = envelope.WriteEnvelope(io.Discard, root, headers)
		if calls > n && n == 0 && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("the header fails: %v", err)
		}
	}
	headers := func(p *mimestream.Part) ([]byte, error) {
		return message[p.HeaderOffset : p.HeaderOffset+p.HeaderSize], nil
	}
	for _, err := range []error{
		envelope.WriteBodyStructure(broken{}, root, headers, true), envelope.WriteEnvelope(broken{}, root, headers),
	} {
		if !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("the writer fails: %v", err)
		}
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func FuzzEnvelope(f *testing.F) {
	for seed := range uint64(len(mailgen.Shapes())) {
		if m := mailgen.Message(seed); len(m) < 20_000 {
			f.Add(m)
		}
	}
	f.Add([]byte("To: a:b<c@d>(e)\"f\",;@[g]\\\r\nFrom: <@a,@b:c@d\r\nDate: 4-Mar-19 8:00 est\r\n" +
		"Subject: [x] re[y]: [fwd: (fwd)]\r\n"))
	f.Fuzz(func(t *testing.T, message []byte) { check(t, message) })
}

func BenchmarkDescribe(b *testing.B) {
	root := mimestream.Parse(mailgen.Of(mailgen.Related, 1))
	b.ReportAllocs()
	for b.Loop() {
		envelope.Envelope(root)
		envelope.BodyStructure(root)
		envelope.Fields(root)
	}
}
