package mailstore

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestParseFlag(t *testing.T) {
	for i, name := range AllFlags.Names() {
		for _, spelled := range []string{name, strings.ToUpper(name), strings.ToLower(name)} {
			if f, ok := ParseFlag(spelled); !ok || f != 1<<i {
				t.Errorf("ParseFlag(%s) = %v, %t", spelled, f, ok)
			}
		}
	}
	for _, name := range []string{"", "Seen", `\Recent`, `\*`, `\Seen `} {
		if f, ok := ParseFlag(name); ok {
			t.Errorf("ParseFlag(%q) = %v", name, f)
		}
	}
}

func TestCheckKeywords(t *testing.T) {
	for _, good := range [][]string{nil, {"$Forwarded", "NonJunk", "a-b_c+d"},
		{strings.Repeat("x", MaxKeywordLength)}} {
		if err := checkKeywords(good); err != nil {
			t.Errorf("%v: %v", good, err)
		}
	}
	for _, bad := range [][]string{
		{""}, {`\Seen`}, {"a b"}, {"a(b"}, {"a]"}, {`a"`}, {"a%"}, {"a*"}, {"ä"}, {"a\x00"}, {"a{"},
		{strings.Repeat("x", MaxKeywordLength+1)}, slices.Repeat([]string{"x"}, MaxKeywords+1),
	} {
		if err := checkKeywords(bad); !errors.Is(err, ErrInvalidKeyword) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestSpellings(t *testing.T) {
	spelled, fresh := spellings([]string{"$Junk", "Work"}, []string{"work", "new", "NEW", "$JUNK", "other"})
	if want := []string{"Work", "new", "$Junk", "other"}; !slices.Equal(spelled, want) {
		t.Errorf("spelled %v, want %v", spelled, want)
	}
	if want := []string{"new", "other"}; !slices.Equal(fresh, want) {
		t.Errorf("fresh %v, want %v", fresh, want)
	}
}

func TestFlagChangeApply(t *testing.T) {
	have := []string{"Work", "$Junk"}
	for _, tt := range []struct {
		name     string
		op       FlagOp
		flags    Flags
		wanted   []string
		want     Flags
		keywords []string
	}{
		{"add", Add, Seen | Flagged, []string{"Work", "New"}, Seen | Flagged | Answered,
			[]string{"Work", "$Junk", "New"}},
		{"remove", Remove, Answered | Draft, []string{"$Junk", "Other"}, Flagged, []string{"Work"}},
		{"set", Set, Draft, []string{"Only"}, Draft, []string{"Only"}},
		{"set to nothing", Set, 0, nil, 0, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := FlagChange{Op: tt.op, Flags: tt.flags}
			flags, keywords := c.apply(Answered|Flagged, have, tt.wanted)
			if flags != tt.want || !slices.Equal(keywords, tt.keywords) {
				t.Errorf("got %v %v, want %v %v", flags, keywords, tt.want, tt.keywords)
			}
			if !slices.Equal(have, []string{"Work", "$Junk"}) {
				t.Fatalf("the message's own list became %v", have)
			}
		})
	}
}
