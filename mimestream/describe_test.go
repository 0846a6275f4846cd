package mimestream_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"gadwall/internal/mailgen"
	"gadwall/mimestream"
)

// describedAgain fails unless a parser and Describe say the same of every part of a message.
func describedAgain(t *testing.T, message []byte) {
	t.Helper()
	root := mimestream.Parse(message)
	root.Walk(func(p *mimestream.Part) bool {
		header := message[p.HeaderOffset : p.HeaderOffset+p.HeaderSize]
		known := mimestream.Part{ // what a part table has
			Path: p.Path, Parent: p.Parent, Children: p.Children, Kind: p.Kind,
			HeaderOffset: p.HeaderOffset, HeaderSize: p.HeaderSize, HeaderLines: p.HeaderLines,
			BodyOffset: p.BodyOffset, BodySize: p.BodySize, Lines: p.Lines, DecodedSize: p.DecodedSize,
			HasContentType: p.HasContentType, Type: p.Type, Subtype: p.Subtype,
			Degraded: p.Degraded, HasNUL: p.HasNUL, Has8bit: p.Has8bit,
		}
		if p.Degraded&mimestream.DegradedFields == 0 {
			ignored := cmpopts.IgnoreFields(mimestream.Part{}, "Parent", "Children", "Header")
			diff := cmp.Diff(p, known.Describe(header), ignored, cmpopts.IgnoreUnexported(mimestream.Part{}))
			if diff != "" {
				t.Fatalf("part %v of %.300q: -parser +Describe\n%s", p.Path, message, diff)
			}
		}
		if !p.IsMessage() {
			return true
		}
		for _, name := range []string{"date", "subject", "from", "to", "cc", "message-id"} {
			all := slices.Collect(mimestream.FieldValues(header, name))
			for i, value := range p.Header.Values(name) {
				whole := p.Degraded&mimestream.DegradedFields == 0
				if i >= len(all) || whole && all[i] != value ||
					!strings.HasPrefix(all[i], strings.TrimRight(value, "\r\n")) {
					t.Fatalf("%s of part %v of %.300q: value %d is %q of %q", name, p.Path, message, i, value, all)
				}
			}
		}
		return true
	})
}

func TestDescribeSaysWhatTheParserSays(t *testing.T) {
	for _, shape := range mailgen.Shapes() {
		for seed := range uint64(5) {
			describedAgain(t, mailgen.Of(shape, seed))
		}
	}
}

func FuzzDescribe(f *testing.F) {
	for _, shape := range mailgen.Shapes() {
		f.Add(mailgen.Of(shape, 1))
	}
	f.Add([]byte("To: a\r\n b\r\nto : c\r\r\nTo\r\nTo:\r\n\r\r\nTo: d\r\n"))
	f.Fuzz(describedAgain)
}

func TestFieldValues(t *testing.T) {
	header := "To: a\r\n b\r\nX: To: no\r\ntO : c\r\r\nTo\r\nTo:\r\n\r\r\nTo: body\r\n"
	want := []string{"a b", "c", ""}
	if got := slices.Collect(mimestream.FieldValues([]byte(header), "to")); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for range mimestream.FieldValues([]byte(header), "to") {
		break
	}
	long := strings.Repeat("x", 3*mimestream.MaxFieldBytes)
	for got := range mimestream.FieldValues([]byte("To: "+long), "to") {
		if got != long {
			t.Errorf("%d octets of %d", len(got), len(long))
		}
	}
}
