package language

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func TestParse(t *testing.T) {
	type q struct {
		key         string
		in, not, on []string
	}
	for text, want := range map[string]q{
		"":                        {key: "(all )"},
		"Looms":                   {key: `text="looms"`, on: []string{"Looms"}},
		`"exact phrase" x`:        {key: `(all text="exact phrase" text="x")`, on: []string{"exact phrase", "x"}},
		"from:ada -subject:lunch": {key: `(all from="ada" (not subject="lunch"))`, on: []string{"ada"}},
		"to:bob":                  {key: `(any to="bob" cc="bob")`, on: []string{"bob"}},
		"a OR b c":                {key: `(any text="a" (all text="b" text="c"))`, on: []string{"a", "b", "c"}},
		"-(a OR b) c":             {key: `(all (not (any text="a" text="b")) text="c")`, on: []string{"c"}},
		"--a":                     {key: `text="a"`, on: []string{"a"}},
		"has:attachment is:unread in:INBOX -in:Junk": {
			key: `(all attached (not \Seen))`, in: []string{"INBOX"}, not: []string{"Junk"}},
		`in:"My Folder"`: {key: "(all )", in: []string{"My Folder"}},
		"before:2026-01-02 after:2025-01-02": {
			key: "(all internal[,2026-01-02) internal[2025-01-02,))"},
		"older:7d newer:1W": {key: "(all internal[,2026-11-23T12:00:00Z) internal[2026-11-23T12:00:00Z,))"},
		"larger:5M":         {key: "size[5000001,9223372036854775807]"},
		"smaller:10k":       {key: "size[0,9999]"},
		"http://x.org":      {key: `text="http://x.org"`, on: []string{"http://x.org"}},
		"FROM:ada":          {key: `from="ada"`, on: []string{"ada"}},
		`"open`:             {key: `text="open"`, on: []string{"open"}},
		"IS:starred":        {key: `\Flagged`},
	} {
		got, err := Parse(text, now)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		read := q{got.Key.String(), got.In, got.Not, got.Needles}
		if diff := cmp.Diff(want, read, cmp.AllowUnexported(q{})); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", text, diff)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, text := range []string{
		"OR a", "a OR", "a OR OR b", "(a", "a)", "from:", `""`, "has:tail", "is:blue", "before:yesterday",
		"older:7", "older:d", "older:-1d", "older:99999999999y", "larger:big", "larger:M", "smaller:-1",
		"a OR in:x", "in:x OR a", "(in:x)", "\xff",
		strings.Repeat("a ", maxTerms+1), strings.Repeat("(", maxDepth+2), strings.Repeat("x", MaxLength+1),
	} {
		var syntax *SyntaxError
		if q, err := Parse(text, now); !errors.As(err, &syntax) {
			t.Errorf("%.40q is accepted as %v, %v", text, q.Key, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a OR (b -c)", `from:"x" is:read`, "older:1y larger:3G", "in:a -in:b", `"`, "-", "("} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q, err := Parse(text, now)
		var syntax *SyntaxError
		if err != nil && !errors.As(err, &syntax) || err == nil && q.Key == nil {
			t.Errorf("%v, %v", q.Key, err)
		}
	})
}
