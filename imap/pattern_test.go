package imap

import (
	"regexp"
	"strings"
	"testing"

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
		p := newPattern(tt.reference, tt.pattern)
		for _, name := range strings.Fields(tt.match) {
			if !p.matches(name) {
				t.Errorf("%q %q does not match %q", tt.reference, tt.pattern, name)
			}
		}
		for _, name := range strings.Fields(tt.miss) {
			if p.matches(name) {
				t.Errorf("%q %q matches %q", tt.reference, tt.pattern, name)
			}
		}
	}
}

// TestPatternModel compares with a regular expression, also for patterns whose positions
// do not fit into one word.
func TestPatternModel(t *testing.T) {
	letters := rapid.StringOfN(rapid.RuneFrom([]rune("ab/*%")), 0, 12, -1)
	runs := rapid.SampledFrom([]string{"", strings.Repeat("a", 60), strings.Repeat("*b", 32), strings.Repeat("a%", 31)})
	rapid.Check(t, func(t *rapid.T) {
		text := runs.Draw(t, "run") + letters.Draw(t, "pattern") + runs.Draw(t, "run 2")
		name := rapid.StringOfN(rapid.RuneFrom([]rune("ab/")), 1, 12, -1).Draw(t, "name")
		if rapid.Bool().Draw(t, "long") {
			// What the pattern means, with wildcards replaced.
			name = strings.NewReplacer("*", rapid.SampledFrom([]string{"", "a/b", name}).Draw(t, "*"),
				"%", rapid.SampledFrom([]string{"", "ab", name}).Draw(t, "%")).Replace(text)
		}
		p := newPattern("", text)
		model := regexp.MustCompile("^" + strings.NewReplacer("*", ".*", "%", "[^/]*").Replace(text) + "$")
		if got, want := p.matches(name), model.MatchString(name); got != want {
			t.Fatalf("%q matches %q: %v, want %v", text, name, got, want)
		}
	})
}

// TestPatternCost: a byte of a name costs a step for each word of the patterns' states.
// What LIST takes of them is bounded in all, so the words are.
func TestPatternCost(t *testing.T) {
	const each = maxPatternLength / maxListPatterns
	send := func(n, length int) (patterns, error) {
		var p patterns
		for range n {
			dec := decoderOf(t, strings.Repeat("*n", length/2))
			if _, err := p.read(dec, ""); err != nil {
				return p, err
			}
		}
		return p, nil
	}
	p, err := send(maxListPatterns, each)
	if err != nil {
		t.Fatal(err)
	}
	words := 0
	for _, one := range p.list {
		words += len(one.wildcard)
	}
	if limit := maxPatternLength/64 + 2*maxListPatterns; words > limit {
		t.Errorf("the patterns of one LIST have %d words, more than %d", words, limit)
	}
	for _, tt := range []struct{ n, length int }{{maxListPatterns + 1, 2},
		{maxListPatterns, each + 2}, {1, maxPatternLength + 2}} {
		if _, err := send(tt.n, tt.length); err == nil || !strings.Contains(err.Error(), "patterns") {
			t.Errorf("%d patterns of %d octets: %v", tt.n, tt.length, err)
		}
	}
}
