package wire

import (
	"strings"
	"testing"
	"time"
)

func TestAppend(t *testing.T) {
	long := strings.Repeat("x", maxQuoted)
	for _, tt := range []struct {
		got  []byte
		want string
	}{
		{AppendNumber(nil, 1<<63), "9223372036854775808"},
		{AppendNIL([]byte("(")), "(NIL"},

		{AppendString([]byte("x "), "abc"), `x "abc"`},
		{AppendString(nil, ""), `""`},
		{AppendString(nil, `"a\b"`), `"\"a\\b\""`},
		{AppendString(nil, "a\tb\x7f"), "\"a\tb\x7f\""},
		{AppendString(nil, "a\nb"), "{3}\r\na\nb"},
		{AppendString(nil, "a\r"), "{2}\r\na\r"},
		{AppendString(nil, "\xff"), "{1}\r\n\xff"},
		{AppendString(nil, "\x00"), "{3}\r\n\uFFFD"},
		{AppendString(nil, long), `"` + long + `"`},
		{AppendString(nil, long+"x"), "{1001}\r\n" + long + "x"},

		{AppendNString(nil, ""), "NIL"},
		{AppendNString(nil, "NIL"), `"NIL"`},

		{AppendAString(nil, "Subject"), "Subject"},
		{AppendAString(nil, ""), `""`},
		{AppendAString(nil, "nil"), `"nil"`},
		{AppendAString(nil, "a b"), `"a b"`},
		{AppendAString(nil, "]"), `"]"`}, // not every client takes it for a part of an atom
		{AppendAString(nil, "\xff"), "{1}\r\n\xff"},

		{AppendLiteral(nil, 0), "{0}\r\n"},
		{AppendLiteral([]byte("BODY[] "), 12), "BODY[] {12}\r\n"},

		{AppendFlags(nil, "", nil), "()"},
		{AppendFlags(nil, `\Seen \Deleted`, nil), `(\Seen \Deleted)`},
		{AppendFlags(nil, "", []string{`\Seen`, "not a flag", "$Junk"}), `(\Seen $Junk)`},
		{AppendFlags([]byte("FLAGS "), `\Seen`, []string{"not a flag", "$Junk"}), `FLAGS (\Seen $Junk)`},

		{AppendDateTime(nil, time.Date(1996, 7, 17, 2, 44, 25, 0, time.FixedZone("", -7*3600))),
			`"17-Jul-1996 02:44:25 -0700"`},
		{AppendDateTime(nil, time.Date(1996, 7, 1, 0, 0, 0, 0, time.UTC)), `" 1-Jul-1996 00:00:00 +0000"`},
	} {
		if string(tt.got) != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}

// FuzzAppendString: any string comes back through the Decoder as it was, but for NUL.
func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "a", `"\`, "a\r\nb", "\x00", "é", "NIL", "(", strings.Repeat("x", maxQuoted+1)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > MaxLine/4 {
			return
		}
		want := strings.ReplaceAll(s, "\x00", "\uFFFD")
		d := start(t, string(AppendAString(nil, s))+" "+string(AppendString(nil, s))+"\r\n")
		first, err := d.AString()
		if err != nil {
			t.Fatal(err)
		}
		if err := d.SP(); err != nil {
			t.Fatal(err)
		}
		second, err := d.String()
		if err != nil {
			t.Fatal(err)
		}
		if err := d.CRLF(); err != nil {
			t.Fatal(err)
		}
		if first != want || second != want {
			t.Fatalf("%q came back as %q and %q", s, first, second)
		}
	})
}
