package main

import (
	"slices"
	"testing"
)

func TestCitations(t *testing.T) {
	for _, test := range []struct {
		s    string
		bad  int // how many faults
		nums []string
	}{
		{"RFC 3501", 0, []string{"3501"}},
		{"as RFC 3501's keys do (RFC 9051)", 0, []string{"3501", "9051"}},
		{"RFC 3501 section 6.4.5, which", 0, []string{"3501"}},
		{"RFC 3501\nsection 6.4.5", 0, []string{"3501"}},
		{"RFC 3501 section 9, flag", 0, []string{"3501"}},
		{"RFC 3501 sections 6.3.1 and 6.3.2", 0, []string{"3501"}},
		{"RFC 3501 sections 6.3.1, 6.3.2 and 6.3.4", 0, []string{"3501"}},
		{"RFC 3501 section 6.3.1, RFC 7162 section 3.1", 0, []string{"3501", "7162"}},
		{"RFC 2046 allows 70", 0, []string{"2046"}},
		{"RFC822.SIZE, message/rfc822, time.RFC3339", 0, nil},

		{"RFC 3501 6.4.5", 1, []string{"3501"}},
		{"RFC 3501, 6.4.5", 1, []string{"3501"}},
		{"RFC 3501\n6.4.5", 1, []string{"3501"}},
		{"RFC 3501 §6.4.5", 1, []string{"3501"}},
		{"RFC 3501 Section 6.4.5", 1, []string{"3501"}},
		{"RFC 3501, section 6.4.5", 1, []string{"3501"}},
		{"RFC 3501 sec. 6.4.5", 1, []string{"3501"}},
		{"RFC 3501 sections 6.4.5", 1, []string{"3501"}},
		{"RFC 3501 section 6.3.1 and 6.3.2", 1, []string{"3501"}},
		{"RFC 3501 section 6.3.1, 6.3.2", 1, []string{"3501"}},
		{"RFC 7162, 7889", 1, []string{"7162"}},
		{"RFC3501", 1, nil},
		{"RFC\n3501", 1, nil},
		{"rfc 3501", 1, nil},
		{"RFC-3501", 1, nil},
		{"RFCs 3501 and 9051", 1, nil},
		{"section 6.4.5 of RFC 3501", 1, []string{"3501"}},
		{"see section 6.4.5", 1, nil},
		{"section 2 of the mail", 0, nil},
	} {
		page := text{line: 1, s: test.s, prose: true}
		if bad := page.badCitations(); len(bad) != test.bad {
			t.Errorf("%q: faults %v, want %d", test.s, bad, test.bad)
		}
		if got := page.cited(); !slices.Equal(got, test.nums) {
			t.Errorf("%q cites %v, want %v", test.s, got, test.nums)
		}
	}
}
