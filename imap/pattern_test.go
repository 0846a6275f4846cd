package imap

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestPattern(t *testing.T) {
	for _, tt := range []struct {
		reference, pattern string
		match, miss        string // separated by spaces
	}{
		{"", "*", "INBOX a a/b/c", ""},
		{"", "%", "INBOX a", "a/b"},
		{"", "a/%", "a/b a/", "a a/b/c"},
		{"", "%/%", "a/b", "a a/b/c"},
		{"", "%/*", "a/b a/b/c", "a"},
		{"", "*b", "b ab a/b", "ba"},
		{"", "%b*", "b abc ab/c", "a/b"},
		{"a/", "*", "a/b a/b/c", "a b"},
		{"", "inbox", "INBOX", "inbox"},
		{"", "Inb%", "INBOX", ""},
		{"", "inbox/*", "INBOX/a", "INBOX"},
		{"", "INBOXES", "INBOXES", "INBOX"},
		{"", "inboxes", "inboxes", "INBOXES"},
		{"", "%*%", "a a/b", ""},
		{"", "", "", "a"},
	} {
		p, err := newPattern(tt.reference, tt.pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range strings.Fields(tt.match) {
			if !p.match(name) {
				t.Errorf("%q %q does not match %q", tt.reference, tt.pattern, name)
			}
		}
		for _, name := range strings.Fields(tt.miss) {
			if p.match(name) {
				t.Errorf("%q %q matches %q", tt.reference, tt.pattern, name)
			}
		}
	}
	if _, err := newPattern("", strings.Repeat("a*", maxWildcards+1)); err == nil {
		t.Error("too many wildcards were taken")
	}
}

// TestPatternModel compares with a regular expression.
func TestPatternModel(t *testing.T) {
	letters := rapid.StringOfN(rapid.RuneFrom([]rune("ab/*%")), 0, 12, -1)
	rapid.Check(t, func(t *rapid.T) {
		text := letters.Draw(t, "pattern")
		name := rapid.StringOfN(rapid.RuneFrom([]rune("ab/")), 1, 12, -1).Draw(t, "name")
		p, err := newPattern("", text)
		if err != nil {
			t.Fatal(err)
		}
		model := regexp.MustCompile("^" + strings.NewReplacer("*", ".*", "%", "[^/]*").Replace(text) + "$")
		if got, want := p.match(name), model.MatchString(name); got != want {
			t.Fatalf("%q matches %q: %v, want %v", text, name, got, want)
		}
	})
}

// TestPatternCost: many wildcards cost no more than the product of lengths.
func TestPatternCost(t *testing.T) {
	p, err := newPattern("", strings.Repeat("*a", maxWildcards))
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if p.match(strings.Repeat("a", 1000) + "b") {
		t.Error("matches what ends in another letter")
	}
	if d := time.Since(start); d > time.Second {
		t.Errorf("took %v", d)
	}
}
