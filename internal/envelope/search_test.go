package envelope

import (
	"testing"
)

func TestText(t *testing.T) {
	for _, tt := range []struct{ name, value, want string }{
		{"subject", " =?utf-8?q?Gr=C3=BC=C3=9Fe?=\t an  alle ", "gru\u0308\u00dfe an alle"},
		{"subject", "a \u200b b\u00a0 c\x00d", "a b cd"},
		{"subject", "John (x) . Doe@example.com", "john (x) . doe@example.com"},
		{"from", "John Doe <John.Doe@Example.com>", "john doe <john.doe@example.com>"},
		{"from", "john.doe@example.com", "john.doe@example.com"},
		{"from", "John (home) . Doe @ example . com", "john (home) . doe @ example . com\nhome <john.doe@example.com>"},
		{"to", `"Doe, \"J\"" <"j doe"@x>, b@y`, `"doe, \"j\"" <"j doe"@x>, b@y` + "\ndoe, \"j\" <j doe@x>"},
		{"to", "a@x, list: b (B) @y, c@z;", "a@x, list: b (b) @y, c@z;\nb <b@y>"},
		{"to", "=?utf-8?q?M=C3=BCller?= <m@\r\n x>", "mu\u0308ller <m@ x>\nmu\u0308ller <m@x>"},
		{"cc", "root", "root"},
		{"cc", "", ""},
	} {
		if got := Text(tt.name, tt.value); got != tt.want {
			t.Errorf("%s: %q:\n got %q\nwant %q", tt.name, tt.value, got, tt.want)
		}
	}
}
