package mailstore

import (
	"errors"
	"strings"
	"testing"
)

func TestNormalizePath(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"Sent", "Sent"},
		{"a/b/c", "a/b/c"},
		{"a/", "a"},
		{"inbox", "INBOX"},
		{"InBoX/Work", "INBOX/Work"},
		{"work/inbox", "work/inbox"},
		{"inboxes", "inboxes"},
		{"Entwu\u0308rfe", "Entw\u00fcrfe"},
		{"日本語/台北", "日本語/台北"},
		{" leading and trailing ", " leading and trailing "},
		{"per%cent*star", "per%cent*star"},
		{strings.Repeat("x", MaxPathLength), strings.Repeat("x", MaxPathLength)},
	} {
		got, err := NormalizePath(tt.in)
		if err != nil || got != tt.want {
			t.Errorf("NormalizePath(%q) = %q, %v; want %q", tt.in, got, err, tt.want)
		}
		if again, err := NormalizePath(got); err != nil || again != got {
			t.Errorf("NormalizePath(%q) = %q, %v: not stable", got, again, err)
		}
	}
}

func TestNormalizePathRefuses(t *testing.T) {
	for _, in := range []string{
		"", "/", "//", "/a", "a//b", "a\x00b", "a\tb", "a\x7f", "a\u0085", "a\u2028b", "\xff\xfe",
		strings.Repeat("x", MaxPathLength+1), strings.Repeat("a/", MaxPathDepth) + "a",
	} {
		if got, err := NormalizePath(in); !errors.Is(err, ErrInvalidName) {
			t.Errorf("NormalizePath(%q) = %q, %v; want ErrInvalidName", in, got, err)
		}
	}
}

func TestChildrenIsTheRangeOfInferiorPaths(t *testing.T) {
	from, to := children("a/b")
	for path, want := range map[string]bool{
		"a/b/c": true, "a/b/\u00ff/x": true, "a/b//": true,
		"a/b": false, "a/b-c": false, "a/bc": false, "a/b0": false, "a/c": false, "a": false,
	} {
		if got := from <= path && path < to; got != want {
			t.Errorf("%q below a/b: %t", path, got)
		}
	}
}

func FuzzNormalizePath(f *testing.F) {
	for _, s := range []string{"INBOX", "inbox/a", "a//b", "e\u0301/", "\x00", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, err := NormalizePath(in)
		if err != nil {
			if !errors.Is(err, ErrInvalidName) {
				t.Fatal(err)
			}
			return
		}
		if again, err := NormalizePath(got); err != nil || again != got {
			t.Fatalf("%q, then %q, %v", got, again, err)
		}
	})
}
