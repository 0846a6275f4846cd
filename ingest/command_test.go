package ingest

import (
	"strings"
	"testing"

	"gadwall/internal/mailpath"
)

func TestParseCommand(t *testing.T) {
	for line, want := range map[string]command{
		"NOOP\r\n":                     {"NOOP", ""},
		"noop\n":                       {"NOOP", ""},
		"Mail  From:<a@b> SIZE=1 \r\n": {"MAIL", "From:<a@b> SIZE=1"},
		"STARTTLSX\r\n":                {"STARTTLSX", ""},
		"\r\n":                         {"", ""},
		" QUIT\r\n":                    {"", "QUIT"},
		"BDAT 5 LAST\r\n":              {"BDAT", "5 LAST"},
		"bdat\r\n":                     {"BDAT", ""},
		"BDAT5\r\n":                    {"BDAT", "?"},
		"BDAT\t5\r\n":                  {"BDAT", "?"},
		"BDATA\r\n":                    {"BDAT", "?"},
	} {
		if got := parseCommand(line); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

func TestParseChunk(t *testing.T) {
	for arg, want := range map[string]struct {
		size     int64
		last, ok bool
	}{
		"5":          {5, false, true},
		"0 LAST":     {0, true, true},
		"4294967295": {1<<32 - 1, false, true},
		"5  last":    {5, true, true},
		"4294967296": {}, "": {}, "?": {}, "-1": {}, "+1": {}, "0x5": {}, "5 LAST PLEASE": {}, "5LAST": {},
		"LAST 5": {}, "5.0": {},
	} {
		size, last, ok := parseChunk(arg)
		if ok != want.ok || ok && (size != want.size || last != want.last) {
			t.Errorf("%q: %d, %v, %v", arg, size, last, ok)
		}
	}
}

// FuzzCommandParser: a line never loses text, whatever begins like BDAT is BDAT, and what the
// parsers of paths and parameters return is part of what they got, and safe.
func FuzzCommandParser(f *testing.F) {
	for _, line := range []string{
		"MAIL FROM:<a@b> SIZE=10 BODY=8BITMIME SMTPUTF8", "RCPT TO:<\"a\\\"b\"@[127.0.0.1]>", "BDAT 5 LAST",
		"RCPT TO:<@r.example,@s.example:c@d>", "mail from: a@b x=y=z", "RCPT TO:<Postmaster>", "BDATx", "EHLO",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		cmd := parseCommand(line)
		isBDAT := len(strings.TrimRight(line, "\r\n")) >= 4 && strings.EqualFold(line[:4], "BDAT")
		if isBDAT != (cmd.verb == "BDAT") || strings.Contains(cmd.verb, " ") {
			t.Fatalf("%q is %q", line, cmd)
		}
		if cmd.arg != "?" && !strings.Contains(line, cmd.arg) {
			t.Fatalf("%q became argument %q", line, cmd.arg)
		}
		for _, prefix := range []string{"FROM:", "TO:"} {
			path, ok := cutFold(cmd.arg, prefix)
			if !ok {
				continue
			}
			address, rest, err := mailpath.Parse(path)
			if err != nil {
				continue
			}
			if !strings.HasSuffix(path, rest) || rest != "" && rest[0] != ' ' && rest[0] != '\t' {
				t.Fatalf("%q leaves %q", path, rest)
			}
			if len(address) > len(path) {
				t.Fatalf("%q became %q", path, address)
			}
			// A path that was understood is understood the same when it is written properly.
			if address != "" && mailpath.Check(address, true) == nil {
				again, rest, err := mailpath.Parse("<" + mailpath.Quote(address) + ">")
				if err != nil || rest != "" || again != address {
					t.Fatalf("%q, written again: %q, %q, %v", address, again, rest, err)
				}
			}
			list, err := parseParameters(rest)
			if err != nil {
				continue
			}
			for _, p := range list {
				if !isKeyword(p.name) || strings.ContainsAny(p.value, " =\t") {
					t.Fatalf("%q has parameter %q", rest, p)
				}
			}
		}
	})
}
