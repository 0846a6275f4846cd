package submission

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const (
	someDate = "Date: Mon, 30 Nov 2026 12:00:00 +0000\r\n"
	someID   = "Message-ID: <made@mail.example.com>\r\n"
)

func missingFields(name string) string {
	return map[string]string{fieldDate: someDate, fieldMessageID: someID}[name]
}

// split runs a message through a splitter, in pieces of at most so many octets.
func split(t interface{ Fatal(...any) }, message string, piece int) (wire, saved string, h *header) {
	var w, s bytes.Buffer
	told := 0
	sp := newSplitter(&w, &s, missingFields, func(got *header) error {
		h = got
		told++
		return nil
	})
	for rest := message; rest != ""; {
		n := min(piece, len(rest))
		if used, err := sp.Write([]byte(rest[:n])); used != n || err != nil {
			t.Fatal(used, err)
		}
		rest = rest[n:]
	}
	if err := sp.end(); err != nil {
		t.Fatal(err)
	}
	if told != 1 {
		t.Fatal(fmt.Sprintf("the header was told %d times", told))
	}
	return w.String(), s.String(), h
}

func TestSplit(t *testing.T) {
	const whole = "Date: x\r\nMessage-ID: <1@x>\r\n"
	for name, tt := range map[string]struct{ message, wire, saved string }{
		"nothing to do": {whole + "From: a@x\r\n\r\nBcc: body\r\n", "", ""},
		"Bcc":           {whole + "Bcc: a@x,\r\n\tb@x\r\nTo: c@x\r\n\r\n.", whole + "To: c@x\r\n\r\n.", ""},
		"Bcc twice":     {whole + "BCC : a@x\r\nbcc:\r\n\r\n", whole + "\r\n", ""},
		"Bcc first":     {"Bcc:a@x\r\n" + whole + "\r\n", whole + "\r\n", ""},
		"Bcc last":      {whole + "Bcc: a@x", whole, whole + "Bcc: a@x\r\n"},
		"Bcc alone":     {"Bcc: a@x", someDate + someID, "Bcc: a@x\r\n" + someDate + someID},
		"Resent-Bcc":    {whole + "Resent-Bcc: a@x\r\n\r\n", whole + "\r\n", ""},
		"Bcc badly cut": {whole + "Bcc: a@x,\r\nb@x\r\nTo: c@x\r\n\r\n", whole + "To: c@x\r\n\r\n", ""},
		"Bcc, then very much white space": {whole + "Bcc" + strings.Repeat(" ", 3*maxFieldName) +
			": a@x\r\n\tb@x\r\nTo: c@x\r\n\r\n", whole + "To: c@x\r\n\r\n", ""},
		"Bcc with NUL": {whole + "\x00Bcc: a@x\r\nB\x00cc\x00 : b@x\r\nTo: c@x\r\n\r\n",
			whole + "To: c@x\r\n\r\n", ""},
		"Bcc in LF":    {"Date: x\nMessage-ID: y\nBcc: z\n\nx\n", "Date: x\nMessage-ID: y\n\nx\n", ""},
		"Bccx":         {whole + "Bccx: 1\r\nX-Bcc: 2\r\n\r\n", "", ""},
		"without both": {"From: a@x\r\n\r\nx", "From: a@x\r\n" + someDate + someID + "\r\nx", "wire"},
		"without Date": {"Message-ID: y\r\n\r\n", "Message-ID: y\r\n" + someDate + "\r\n", "wire"},
		"without ID":   {"Date: y\r\n\r\n", "Date: y\r\n" + someID + "\r\n", "wire"},
		"header only":  {"From: a@x", "From: a@x\r\n" + someDate + someID, "wire"},
		"body only":    {"\r\nx", someDate + someID + "\r\nx", "wire"},
		"no header":    {"x\r\ny\r\n", someDate + someID + "\r\nx\r\ny\r\n", "wire"},
		"an mbox line": {"From a@x Mon 1 12:00:00\r\n\r\n",
			someDate + someID + "\r\nFrom a@x Mon 1 12:00:00\r\n\r\n", "wire"},
		"a blank first": {" x: y\r\n", someDate + someID + "\r\n x: y\r\n", "wire"},
		"nothing":       {"", someDate + someID, "wire"},
		"a bad line":    {whole + "bad\r\nBcc: a\r\n\r\n", whole + "bad\r\n\r\n", ""},
		"a long name":   {whole + strings.Repeat("n", 3*maxFieldName) + ":\r\n\r\n", "", ""},
		"no field": {strings.Repeat("n", 3*maxFieldName),
			someDate + someID + "\r\n" + strings.Repeat("n", 3*maxFieldName), "wire"},
		"dates in a body": {"From: a@x\r\nMessage-ID: y\r\n\r\nDate: x\r\n",
			"From: a@x\r\nMessage-ID: y\r\n" + someDate + "\r\nDate: x\r\n", "wire"},
	} {
		if tt.wire == "" {
			tt.wire = tt.message
		}
		switch tt.saved {
		case "":
			tt.saved = tt.message
		case "wire":
			tt.saved = tt.wire
		}
		for _, piece := range []int{1, 2, 7, 1 << 20} {
			wire, saved, _ := split(t, tt.message, piece)
			if wire != tt.wire || saved != tt.saved {
				t.Errorf("%s, pieces of %d:\nwire %q\nwant %q\nsaved %q\nwant %q", name, piece, wire, tt.wire,
					saved, tt.saved)
			}
		}
	}
}

// The header has the senders and the identifier.
func TestSplitHeader(t *testing.T) {
	_, _, h := split(t, "FROM : Ada\r\n <a@x>\r\nMessage-Id:\r\n <1@x> \r\nfrom: b@x\r\n\r\nFrom: c@x\r\n", 3)
	var from []string
	for _, f := range h.from {
		from = append(from, f.String())
	}
	want := []string{"FROM : Ada\r\n <a@x>\r\n", "from: b@x\r\n"}
	if diff := cmp.Diff(want, from); diff != "" || h.messageID != "<1@x>" || h.tooLong {
		t.Errorf("%s, %q, %t", diff, h.messageID, h.tooLong)
	}
	for _, hidden := range []string{"From: a@x,\r\nb@x\r\n", "From" + strings.Repeat(" \t", maxFieldName) + ": b@x\r\n",
		"\x00From: b@x\r\n", "From\x00: b@x\r\n"} {
		for _, piece := range []int{1, 7, 1 << 20} {
			_, _, h := split(t, "Subject: x\r\n"+hidden+"Message-ID: <1@x>\r\nnot of it\r\n\r\n", piece)
			if len(h.from) != 1 || h.from[0].String() != hidden || h.messageID != "<1@x>" {
				t.Errorf("%q in pieces of %d: %+v", hidden, piece, h)
			}
		}
	}
	if _, _, h := split(t, strings.Repeat("From: a@x\r\n", maxFroms+1), 99); !h.tooLong {
		t.Error("too many From fields are not noticed")
	}
	if _, _, h := split(t, "From: "+strings.Repeat("a", maxFrom)+"\r\n", 99); !h.tooLong {
		t.Error("a long From field is not noticed")
	}
	if _, _, h := split(t, "Message-ID: "+strings.Repeat("a", maxFrom)+"\r\n", 99); h.tooLong || h.messageID != "" {
		t.Error("a long identifier is told, or refused")
	}
}

// The errors of both writers, and of the check, reach the caller.
func TestSplitErrors(t *testing.T) {
	bad := errors.New("bad")
	fine := func(*header) error { return nil }
	for name, s := range map[string]*splitter{
		"wire":  newSplitter(failing{bad}, &bytes.Buffer{}, missingFields, fine),
		"saved": newSplitter(&bytes.Buffer{}, failing{bad}, missingFields, fine),
		"check": newSplitter(&bytes.Buffer{}, &bytes.Buffer{}, missingFields, func(*header) error { return bad }),
	} {
		if _, err := s.Write([]byte("From: a@x\r\n\r\nbody")); !errors.Is(err, bad) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// Whatever the fields, their order, folding and cut into pieces: the wire has the message without its
// Bcc fields and the copy all of it, and both have the fields that were missing.
func TestSplitProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		end := rapid.SampledFrom([]string{"\r\n", "\n"}).Draw(t, "line end")
		words := rapid.StringMatching(`[ -9;-~é]{0,30}`)
		var all, open strings.Builder
		has := map[string]bool{}
		for range rapid.IntRange(1, 8).Draw(t, "fields") {
			name := rapid.SampledFrom([]string{"From", "Bcc", "bCC", "Resent-Bcc", "Date", "message-id", "To",
				"X-Bcc",
				"Bc", "Subject"}).Draw(t, "name")
			value := words.Draw(t, "value")
			for range rapid.IntRange(0, 2).Draw(t, "folds") {
				value += end + rapid.SampledFrom([]string{" ", "\t"}).Draw(t, "fold") + words.Draw(t, "more")
			}
			field := name + ":" + value + end
			all.WriteString(field)
			has[strings.ToLower(name)] = true
			if lower := strings.ToLower(name); lower != "bcc" && lower != "resent-bcc" {
				open.WriteString(field)
			}
		}
		body := end + rapid.StringMatching(`[ -~\r\n.]{0,200}`).Draw(t, "body")
		added := ""
		if !has["date"] {
			added += someDate
		}
		if !has["message-id"] {
			added += someID
		}
		wire, saved, _ := split(t, all.String()+body, rapid.IntRange(1, 50).Draw(t, "piece"))
		if want := open.String() + added + body; wire != want {
			t.Fatalf("wire %q\nwant %q", wire, want)
		}
		if want := all.String() + added + body; saved != want {
			t.Fatalf("saved %q\nwant %q", saved, want)
		}
	})
}

// For any octets: pieces make no difference, nothing is lost from the copy, and the wire has no Bcc
// field before its first empty line.
func FuzzSplit(f *testing.F) {
	f.Add([]byte("From: a@x\r\nBcc: b@x,\r\n c@x\r\n\r\nbody"), 3)
	f.Add([]byte("Bcc"), 1)
	f.Add([]byte("\r\rBcc:\n\nDate:"), 2)
	f.Fuzz(func(t *testing.T, message []byte, piece int) {
		wire, saved, _ := split(t, string(message), max(1, piece))
		wire1, saved1, _ := split(t, string(message), 1<<20)
		if wire != wire1 || saved != saved1 {
			t.Fatalf("cut into pieces: %q, %q; whole: %q, %q", wire, saved, wire1, saved1)
		}
		if !isSubsequence(string(message), saved) {
			t.Fatalf("the copy %q lacks octets of %q", saved, message)
		}
		head, _, _ := strings.Cut(strings.ReplaceAll(wire, "\r\n", "\n"), "\n\n")
		for _, line := range strings.Split(head, "\n") {
			if name, ok := fieldName([]byte(line)); ok && strings.EqualFold(name, "bcc") {
				t.Fatalf("Bcc on the wire: %q", wire)
			}
		}
	})
}

// isSubsequence reports whether s comes out of t by taking octets away.
func isSubsequence(s, t string) bool {
	for i := range len(s) {
		at := strings.IndexByte(t, s[i])
		if at < 0 {
			return false
		}
		t = t[at+1:]
	}
	return true
}
