package imap

import (
	"fmt"
	"strings"
	"testing"

	"gadwall/imap/wire"
)

// decoderOf returns a decoder that stands at the start of line, which may go on
// with literals and further lines.
func decoderOf(t testing.TB, line string) *wire.Decoder {
	dec := wire.NewDecoder(strings.NewReader(line + "\r\n"))
	if err := dec.Start(); err != nil {
		t.Fatal(err)
	}
	return dec
}

func parseFetchLine(t testing.TB, line string, uid bool) (*fetchRequest, error) {
	dec := decoderOf(t, line)
	r, err := parseFetch(dec, uid)
	if err != nil {
		return nil, err
	}
	return r, dec.CRLF()
}

// describe writes a request in one canonical form.
func (r *fetchRequest) describe() string {
	var words []string
	for i, name := range []string{"UID", "FLAGS", "MODSEQ", "INTERNALDATE", "SAVEDATE", "EMAILID", "THREADID", "SIZE",
		"ENVELOPE", "BODY", "STRUCTURE"} {
		if r.items&(1<<i) != 0 {
			words = append(words, name)
		}
	}
	for _, s := range r.sections {
		word := string(s.label)
		if s.partial.Set {
			word += fmt.Sprintf("+%d", s.partial.Size)
		}
		if s.seen {
			word += "!"
		}
		if s.Filtered() {
			word += strings.Join(s.Names, "|")
		}
		words = append(words, word)
	}
	if r.hasSince {
		words = append(words, fmt.Sprintf("since=%d", r.changedSince))
	}
	return strings.Join(words, " ")
}

func TestParseFetch(t *testing.T) {
	tests := []struct{ line, want string }{
		{"ALL", "FLAGS INTERNALDATE SIZE ENVELOPE"},
		{"fast", "FLAGS INTERNALDATE SIZE"},
		{"FULL", "FLAGS INTERNALDATE SIZE ENVELOPE BODY"},
		{"UID", "UID"},
		{"(UID FLAGS RFC822.SIZE)", "UID FLAGS SIZE"},
		{"(flags internaldate envelope body bodystructure modseq)",
			"FLAGS MODSEQ INTERNALDATE ENVELOPE BODY STRUCTURE"},
		{"RFC822", "RFC822!"},
		{"(RFC822.HEADER RFC822.TEXT)", "RFC822.HEADER RFC822.TEXT!"},
		{"BODY[]", "BODY[]!"},
		{"BODY.PEEK[]<0.2048>", "BODY[]<0>+2048"},
		{"body.peek[header]", "BODY[HEADER]"},
		{"BODY[1.2.mime]", "BODY[1.2.MIME]!"},
		{"BODY.PEEK[1]<5000000000.6000000000>", "BODY[1]<5000000000>+6000000000"},
		{"BODY.PEEK[HEADER.FIELDS (From \"X y\" To)]", `BODY[HEADER.FIELDS (From "X y" To)]from|x y|to`},
		{"BODY.PEEK[3.HEADER.FIELDS.NOT ({4+}\r\nFrom)]<0.1>", "BODY[3.HEADER.FIELDS.NOT (From)]<0>+1from"},
		{"(BODY.PEEK[TEXT] BODY.PEEK[TEXT])", "BODY[TEXT] BODY[TEXT]"},
		{"FLAGS (CHANGEDSINCE 12345)", "FLAGS MODSEQ since=12345"},
		{"FLAGS  ", "FLAGS"},
	}
	for _, tt := range tests {
		r, err := parseFetchLine(t, tt.line, false)
		if err != nil {
			t.Errorf("%s: %v", tt.line, err)
			continue
		}
		if got := r.describe(); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.line, got, tt.want)
		}
	}
}

func TestParseFetchUID(t *testing.T) {
	r, err := parseFetchLine(t, "(FLAGS) (CHANGEDSINCE 1)", true)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := r.describe(), "UID FLAGS MODSEQ since=1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestParseFetchErrors(t *testing.T) {
	for _, line := range []string{"", "()", "(ALL)", "(FAST UID)", "FLAGS UID", "XX", "BODY.PEEK", "BODY.PEEKED[]",
		"BODY[", "BODY[]<", "BODY[]<0>", "BODY[]<0.>", "BODY[]<.1>", "BODY[]<-1.1>",
		"BODY[TEXT]<0.1", "BODY[HEADER.FIELDS]",
		"BODY[HEADER.FIELDS ()]", "BODY[HEADER.FIELDS (a]", "BODY[HEADER.FIELDS(a)]", "BODY[MIME]",
		"BODY[1.]", "BODY[0]", "(FLAGS",
		"(FLAGS  UID)", "FLAGS (CHANGEDSINCE)", "FLAGS (CHANGEDSINCE -1)", "FLAGS (VANISHED)",
		"FLAGS (FOO)", "BODY[]<99999999999999999999.1>",
		"(" + strings.Repeat("BODY.PEEK[] ", maxFetchItems) + "BODY.PEEK[])",
		"BODY[HEADER.FIELDS (" + strings.Repeat("a ", maxHeaderNames) + "a)]",
		"BODY[HEADER.FIELDS (" + strings.Repeat("a", maxHeaderName+1) + ")]",
	} {
		if r, err := parseFetchLine(t, line, false); err == nil {
			t.Errorf("%.60q is accepted as %s", line, r.describe())
		}
	}
}

// TestRepeatedItems: an item asked for twice is answered once, and so costs
// nothing however often it is repeated.
func TestRepeatedItems(t *testing.T) {
	r, err := parseFetchLine(t, "("+strings.Repeat("FLAGS ", 5000)+"FLAGS)", false)
	if err != nil || r.describe() != "FLAGS" {
		t.Errorf("got %v, %v", r, err)
	}
}

// FuzzParseFetch: the parser takes any line, and what it accepts says the same
// when it is read again from the labels that the response carries.
func FuzzParseFetch(f *testing.F) {
	for _, s := range []string{"ALL", "(UID FLAGS BODY.PEEK[HEADER.FIELDS (a {1+}\r\nb)]<1.2>)",
		"BODY[1.2.HEADER] (CHANGEDSINCE 5)",
		"BODY.PEEK[1.MIME]", "(BODY[TEXT]<0.1> RFC822)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		dec := wire.NewDecoder(strings.NewReader(line + "\r\n"))
		if dec.Start() != nil {
			return
		}
		r, err := parseFetch(dec, false)
		if err != nil {
			return
		}
		for _, s := range r.sections {
			label := string(s.label)
			if s.partial.Set {
				label = strings.TrimSuffix(label, ">") + fmt.Sprintf(".%d>", s.partial.Size)
			}
			label = strings.Replace(label, "}\r\n", "+}\r\n", -1) // as a client must write it
			again, err := parseFetchLine(t, label, false)
			if err != nil {
				t.Fatalf("label %q of %q: %v", label, line, err)
			}
			if got := string(again.sections[0].label); got != string(s.label) {
				t.Fatalf("label %q becomes %q", s.label, got)
			}
		}
	})
}
