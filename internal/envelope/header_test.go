package envelope_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"gadwall/internal/envelope"
	"gadwall/mimestream"
)

func TestReadHeader(t *testing.T) {
	const message = "Date: Mon, 30 Nov 2026 12:00:00 +0000\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n" +
		"From: =?utf-8?q?J=C3=BCrgen?= <j@example.net>\r\n" +
		"To: Team: a@example.com, \"B \\\"x\\\"\" <b@example.com>;\r\n" +
		"Cc: c@example.com\r\nMessage-ID: <1@x>\r\nIn-Reply-To: <0@x>\r\n\r\n"
	j := []envelope.Address{{Name: "Jürgen", Mail: "j@example.net"}}
	want := envelope.Header{
		Date: "Mon, 30 Nov 2026 12:00:00 +0000", Subject: "Grüße", From: j, Sender: j, ReplyTo: j,
		To: []envelope.Address{{Mail: "a@example.com"}, {Name: `B "x"`, Mail: "b@example.com"}},
		Cc: []envelope.Address{{Mail: "c@example.com"}}, MessageID: "<1@x>", InReplyTo: "<0@x>",
	}
	got, ok := envelope.ReadHeader(envelope.Envelope(mimestream.Parse([]byte(message))))
	if diff := cmp.Diff(want, got); diff != "" || !ok {
		t.Errorf("%v %s", ok, diff)
	}
	for _, bad := range []string{"", "(", "NIL", `("d" "s" ((`, `("d" "s" NIL NIL NIL NIL NIL NIL NIL)`} {
		if _, ok := envelope.ReadHeader([]byte(bad)); ok {
			t.Errorf("%q is an ENVELOPE", bad)
		}
	}
}

// FuzzReadHeader: no octets end the program, and the envelope of any header can be read.
func FuzzReadHeader(f *testing.F) {
	f.Add(`("d" "s" (("n" NIL "m" "h")(NIL NIL NIL NIL)) NIL NIL NIL NIL NIL NIL "<i>")`)
	f.Add("From: a@b\r\nTo: x:;\r\n\r\n")
	f.Fuzz(func(t *testing.T, in string) {
		envelope.ReadHeader([]byte(in))
		wire := envelope.Envelope(mimestream.Parse([]byte(in)))
		if _, ok := envelope.ReadHeader(wire); !ok && len(wire) <= envelope.MaxWire {
			t.Errorf("%q cannot be read", wire)
		}
	})
}
