package section

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// crlf turns the line ends of a raw string into those of mail.
func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

// selectFields gives header to a FieldSelector in pieces of at most size octets.
func selectFields(t interface{ Fatal(...any) }, header string, names Names, not bool, size int) string {
	var out bytes.Buffer
	s := NewFieldSelector(&out, names, not)
	for rest := []byte(header); len(rest) > 0; {
		n := min(size, len(rest))
		if got, err := s.Write(rest[:n]); got != n || err != nil {
			t.Fatal(got, err)
		}
		rest = rest[n:]
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestFieldSelector(t *testing.T) {
	header := crlf("From: a\nsubject : one\n folded\n\tagain\nX-Spam: no\nSUBJECT: two\ngarbage\n" +
		" more garbage\nTo: b\n\n")
	long := strings.Repeat("x", maxHeld)
	tests := []struct {
		header string
		names  Names
		not    bool
		want   string
	}{
		{header, Names{"subject"}, false, crlf("subject : one\n folded\n\tagain\nSUBJECT: two\n\n")},
		{header, Names{"x-spam", "from"}, false, crlf("From: a\nX-Spam: no\n\n")},
		{header, Names{"nothing"}, false, "\r\n"},
		{header, Names{"subject", "to"}, true, crlf("From: a\nX-Spam: no\ngarbage\n more garbage\n\n")},
		{"", Names{"a"}, false, "\r\n"},
		{"", Names{"a"}, true, ""},
		{"A: 1\r\nB: 2\r\n", Names{"a"}, false, "A: 1\r\n\r\n"}, // no empty line at the end
		{"A: 1\r\nB: 2\r\n", Names{"a"}, true, "B: 2\r\n"},
		{"A: 1", Names{"a"}, false, "A: 1\r\n\r\n"},
		{"junk", Names{"a"}, false, "\r\n"},
		{"junk", Names{"a"}, true, "junk"},
		{"A: 1\nB: 2\n\n", Names{"b"}, false, "B: 2\n\n"}, // bare line ends stay
		{" lost\r\nA: 1\r\n\r\n", Names{"a"}, false, "A: 1\r\n\r\n"},
		{" lost\r\nA: 1\r\n\r\n", Names{"a"}, true, " lost\r\n\r\n"},
		{"A: 1\r\n\r\nA: body\r\n", Names{"a"}, false, "A: 1\r\n\r\n"},
		// A name that takes more than is held is none.
		{long + ": 1\r\nA: 2\r\n\r\n", Names{long, "a"}, false, "A: 2\r\n\r\n"},
		{long + ": 1\r\nA: 2\r\n\r\n", Names{long, "a"}, true, long + ": 1\r\n\r\n"},
		{long[1:] + ": 1\r\nA: 2\r\n\r\n", Names{long[1:]}, false, long[1:] + ": 1\r\n\r\n"},
	}
	for _, tt := range tests {
		for _, size := range []int{1, 3, 1 << 20} {
			if got := selectFields(t, tt.header, tt.names, tt.not, size); got != tt.want {
				t.Errorf("%.80q not=%v of %.80q, %d octets at a time:\n got %.80q\nwant %.80q",
					tt.names, tt.not, tt.header, size, got, tt.want)
			}
		}
	}
}

// TestFieldSelectorSplits: a header is the lines of Fields and those of FieldsNot of the same
// names, whatever they are, and however they come.
func TestFieldSelectorSplits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		line := rapid.SampledFrom([]string{"a: 1", "B:2", "c : 3", " more", "\tx", "junk", ":", "a", "\r"})
		header := ""
		for i, l := range rapid.SliceOfN(line, 0, 12).Draw(t, "lines") {
			header += l + strconv.Itoa(i) + "\r\n"
		}
		names := Names(rapid.SliceOf(rapid.SampledFrom([]string{"a", "b", "c", ""})).Draw(t, "names"))
		size := rapid.IntRange(1, 20).Draw(t, "size")
		with := strings.SplitAfter(strings.TrimSuffix(selectFields(t, header, names, false, size), "\r\n"), "\n")
		without := strings.SplitAfter(selectFields(t, header, names, true, size), "\n")
		for _, l := range strings.SplitAfter(header, "\n") {
			switch {
			case len(with) > 0 && with[0] == l:
				with = with[1:]
			case len(without) > 0 && without[0] == l:
				without = without[1:]
			default:
				t.Fatalf("line %q is in neither, or not in order", l)
			}
		}
		if strings.Join(with, "")+strings.Join(without, "") != "" {
			t.Fatalf("too much: %q and %q", with, without)
		}
	})
}

// failing is a writer that takes no more than some octets.
type failing struct{ left int }

var errFull = errors.New("full")

func (f *failing) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestFieldSelectorReturnsTheWritersError(t *testing.T) {
	for left := range len("A: 1\r\n b\r\n\r\n") {
		s := NewFieldSelector(&failing{left}, Names{"a"}, false)
		_, err := s.Write([]byte("A: 1\r\n b\r\n"))
		if err == nil {
			err = s.Close()
		}
		if !errors.Is(err, errFull) {
			t.Errorf("room for %d octets: %v", left, err)
		}
	}
}

// FuzzFieldSelector: what is selected does not depend on how the header comes, and each octet of it
// is in one of the two halves, but for the empty line that ends both.
func FuzzFieldSelector(f *testing.F) {
	f.Add([]byte("From: a\r\nTo: b\r\n c\r\n\r\n"), "from", uint8(3))
	f.Add([]byte("From: a\r\r\n\r\r\nx"), "from", uint8(1))
	f.Add([]byte("junk\n\nx"), "", uint8(2))
	f.Fuzz(func(t *testing.T, header []byte, name string, size uint8) {
		names := Lower([]string{name})
		for _, not := range []bool{false, true} {
			whole := selectFields(t, string(header), names, not, len(header)+1)
			if got := selectFields(t, string(header), names, not, int(size)+1); got != whole {
				t.Fatalf("%q in pieces of %d, but %q at once", got, size, whole)
			}
		}
	})
}
