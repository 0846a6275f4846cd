package envelope_test

import (
	"testing"

	"gadwall/internal/envelope"
	"gadwall/mimestream"
)

// TestFirstAddresses: what SORT compares is what the first address of an ENVELOPE says.
func TestFirstAddresses(t *testing.T) {
	for _, tt := range []struct{ value, mailbox, display string }{
		{"", "", ""},
		{"Carol <carol@example.com>, Bob <bob@example.com>", "carol", "carol"},
		{"carol@Example.com", "carol", "carol@example.com"},
		{"=?utf-8?q?J=C3=B6rg=2C?= X <j@example.com>", "j", "jo\u0308rg, x"},
		{`"Smith, \"J\"" <j.smith@example.com>`, "j.smith", `smith, "j"`},
		{"=?utf-8?q?=20?= <blank@example.com>", "blank", "blank@example.com"},
		{"Team: a@example.com, b@example.com;", "team", "team"},
		{"undisclosed-recipients:;", "undisclosed-recipients", "undisclosed-recipients"},
		{"Jane Doe", "missing_mailbox", "jane doe"},
		{"jane", "jane", "jane@missing_domain"},
	} {
		for _, field := range []string{"From", "To", "Cc"} {
			root := mimestream.Parse([]byte(field + ": " + tt.value + "\r\nSubject: \"x\\\r\n\r\n"))
			from, to, cc, ok := envelope.FirstAddresses(envelope.Envelope(root))
			got := map[string]envelope.First{"From": from, "To": to, "Cc": cc}
			want := envelope.First{Mailbox: tt.mailbox, Display: tt.display}
			if !ok || got[field] != want {
				t.Errorf("%s: %s is %+v, %v", field, tt.value, got[field], ok)
			}
			got[field] = envelope.First{}
			for other, first := range got {
				if first != (envelope.First{}) {
					t.Errorf("%s: %s gives %s %+v", field, tt.value, other, first)
				}
			}
		}
	}
	for _, bad := range []string{"", "(", "NIL", `("d" "s" ((`, `("d" "s" (("a`, "({9}\r\nx"} {
		if _, _, _, ok := envelope.FirstAddresses([]byte(bad)); ok {
			t.Errorf("%q is an ENVELOPE", bad)
		}
	}
}

// FuzzFirstAddresses: no octets end the program.
func FuzzFirstAddresses(f *testing.F) {
	f.Add(`("d" "s" (("n" NIL "m" "h")(NIL NIL NIL NIL)) NIL NIL NIL NIL NIL NIL "<i>")`)
	f.Add("(NIL {3}\r\nabc NIL NIL NIL ((\"\\\"\" NIL \"\" NIL)) NIL")
	f.Fuzz(func(_ *testing.T, in string) { envelope.FirstAddresses([]byte(in)) })
}
