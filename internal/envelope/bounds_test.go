package envelope_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"gadwall/internal/dovecottest"
	"gadwall/internal/envelope"
	"gadwall/internal/mailgen"
	"gadwall/mimestream"
)

// body returns the BODY of a message, nil if its BODYSTRUCTURE is malformed.
func body(root *mimestream.Part) []byte {
	b, err := envelope.AppendBody(nil, envelope.BodyStructure(root))
	if err != nil {
		return nil
	}
	return b
}

// check asserts what must hold for any message.
func check(t testing.TB, message []byte) *mimestream.Part {
	t.Helper()
	root := mimestream.Parse(message)
	for name, wire := range map[string][]byte{
		"ENVELOPE": envelope.Envelope(root), "BODY": body(root), "BODYSTRUCTURE": envelope.BodyStructure(root),
	} {
		v, err := dovecottest.Parse(string(wire))
		if err != nil {
			t.Errorf("%s is not valid: %v\n%.300q", name, err, wire)
			continue
		}
		limit := envelope.MaxWire
		if name != "ENVELOPE" {
			limit *= 2
			checkStructure(t, v, name == "BODYSTRUCTURE")
		} else if len(v.List) != 10 {
			t.Errorf("ENVELOPE has %d items", len(v.List))
		}
		if len(wire) > limit {
			t.Errorf("%s has %d octets", name, len(wire))
		}
	}
	f := envelope.Fields(root)
	for name, s := range map[string]string{
		"Subject": f.Subject, "BaseSubject": f.BaseSubject, "From": f.From, "Sender": f.Sender, "ReplyTo": f.ReplyTo,
		"To": f.To, "Cc": f.Cc, "Bcc": f.Bcc, "FromMailbox": f.FromMailbox, "ToMailbox": f.ToMailbox,
		"CcMailbox": f.CcMailbox, "FromDisplay": f.FromDisplay, "ToDisplay": f.ToDisplay, "MessageID": f.MessageID,
		"InReplyTo": f.InReplyTo, "References": strings.Join(f.References, ""),
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

// A message to very many shows as many of them as fit, and is cut between two addresses.
func TestManyRecipients(t *testing.T) {
	var list []string
	for i := range 700 {
		list = append(list, fmt.Sprintf("Person %d <person%d@example.com>", i, i))
	}
	root := check(t, []byte("From: a@b\r\nTo: "+strings.Join(list, ",\r\n ")+"\r\nCc: c@d\r\n\r\n"))
	v, err := dovecottest.Parse(string(envelope.Envelope(root)))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(v.List[5].List); n != 700 {
		t.Errorf("%d of 700 recipients", n)
	}
	if cc := v.List[6].String(); cc != `((NIL NIL "c" "d"))` {
		t.Errorf("Cc is %s", cc)
	}
}

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
		body(root)
		envelope.BodyStructure(root)
		envelope.Fields(root)
	}
}
