package shortheader

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"gadwall/internal/mailgen"
	"gadwall/internal/section"
)

// pick returns what a FieldSelector picks from the header, which comes after the prefix.
func pick(t interface{ Fatal(...any) }, prefix, header string, names section.Names) string {
	var out bytes.Buffer
	s := section.NewFieldSelector(&out, names, false)
	for _, piece := range []string{prefix, header} {
		if _, err := s.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func shorten(t interface{ Fatal(...any) }, header string) string {
	var out bytes.Buffer
	s := Selector(&out)
	if _, err := s.Write([]byte(header)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// listed are names that clients ask for: those of Thunderbird, Apple Mail and mutt.
var listed = [][]string{
	{"From", "To", "Cc", "Bcc", "Subject", "Date", "Message-ID", "Priority", "X-Priority", "References",
		"Newsgroups", "In-Reply-To", "Content-Type", "Reply-To"},
	{"date", "subject", "from", "to", "cc", "message-id", "in-reply-to", "references", "content-type", "x-priority",
		"x-uniform-type-identifier", "x-universally-unique-identifier", "list-id", "list-unsubscribe",
		"bimi-indicator", "bimi-location", "x-bimi-indicator-hash", "authentication-results", "dkim-signature"},
	{"DATE", "FROM", "SENDER", "SUBJECT", "TO", "CC", "MESSAGE-ID", "REFERENCES", "CONTENT-TYPE",
		"CONTENT-DESCRIPTION", "IN-REPLY-TO", "REPLY-TO", "LINES", "LIST-POST", "LIST-SUBSCRIBE",
		"LIST-UNSUBSCRIBE", "X-LABEL", "X-ORIGINAL-TO"},
}

func TestAnswers(t *testing.T) {
	fields := func(names ...string) *section.Section {
		return &section.Section{Kind: section.Fields, Names: section.Lower(names)}
	}
	for _, names := range listed {
		if !Answers(fields(names...)) {
			t.Errorf("not %q", names)
		}
	}
	not, part := fields("subject"), fields("subject")
	not.Kind, part.Path = section.FieldsNot, []int{1}
	for _, s := range []*section.Section{
		fields("Subject", "RECEIVED"), fields("arc-seal"), not, part, {Kind: section.Header}, {},
	} {
		if Answers(s) {
			t.Errorf("it answers %+v", s)
		}
	}
}

// Whatever the header is, the short one gives the same answer, and lacks what only transport needs.
func TestShortHeaderAnswersAsTheWhole(t *testing.T) {
	check := func(t interface {
		Fatal(...any)
		Fatalf(string, ...any)
	}, prefix, header string, names section.Names) {
		short := shorten(t, header)
		if want, got := pick(t, prefix, header, names), pick(t, prefix, short, names); got != want {
			t.Fatalf("%q of %q behind %q:\n got %q\nwant %q", names, header, prefix, got, want)
		}
		if strings.Contains(short, "Received:") {
			t.Fatalf("of %q stays %q", header, short)
		}
	}
	for _, shape := range mailgen.Shapes() {
		for seed := range uint64(20) {
			mail := string(mailgen.Of(shape, seed))
			header, _, found := strings.Cut(mail, "\r\n\r\n")
			if found {
				header += "\r\n\r\n"
			}
			for _, names := range listed {
				check(t, "Delivered-To: x\r\n", "Received: by x\r\n\t; now\r\n"+header, section.Lower(names))
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		line := rapid.SampledFrom([]string{
			"a: 1", "B:2", "Received: x", "received : y", "ARC-Seal: z", " more", "\tx", "junk", ":", "\r", "",
			strings.Repeat("l", 5000), strings.Repeat("l", 5000) + ":", "a:" + strings.Repeat("m", 5000)})
		end := rapid.SampledFrom([]string{"\r\n", "\r\n", "\n", "\r\r\n"})
		header := ""
		for _, l := range rapid.SliceOfN(line, 0, 12).Draw(t, "lines") {
			if header += l; strings.HasPrefix(strings.ToLower(l), "received") {
				header += "\r\n"
				continue
			}
			header += end.Draw(t, "end")
		}
		header += rapid.SampledFrom([]string{"", "a: 1", "ARC-Seal: z", "\r\n"}).Draw(t, "last")
		header = strings.ReplaceAll(header, "Received:", "received:")
		prefix := rapid.SampledFrom([]string{"", "a: p\r\n", "Received-SPF: p\r\n"}).Draw(t, "prefix")
		names := section.Names(rapid.SliceOf(rapid.SampledFrom([]string{"a", "b", "c", ""})).Draw(t, "names"))
		check(t, prefix, header, names)
	})
}

// FuzzShortHeader: the same for any bytes.
func FuzzShortHeader(f *testing.F) {
	f.Add("a: p\r\n", "Received: x\r\n y\r\na: 1\r\n b\r\n\r\n", "a")
	f.Add("", " lost\r\nReceived: x", "b")
	f.Fuzz(func(t *testing.T, prefix, header, name string) {
		s := &section.Section{Kind: section.Fields, Names: section.Lower([]string{name})}
		if !Answers(s) || prefix != "" && (prefix[0] == ' ' || !strings.HasSuffix(prefix, "\r\n")) {
			return
		}
		if want, got := pick(t, prefix, header, s.Names), pick(t, prefix, shorten(t, header), s.Names); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}
