package envelope

import (
	"strings"
	"testing"
	"time"
)

func TestParseDate(t *testing.T) {
	for in, want := range map[string]string{
		"Mon, 4 Mar 2019 08:00:00 +0100":                 "2019-03-04T08:00:00 2019-03-04T07:00:00",
		"Mon, 4 Mar 2019 23:30:00 -0530 (India? (no))":   "2019-03-04T23:30:00 2019-03-05T05:00:00",
		"4 Mar 19 8:00 EST":                              "2019-03-04T08:00:00 2019-03-04T13:00:00",
		"4 Mar 99 08:00 GMT":                             "1999-03-04T08:00:00 1999-03-04T08:00:00",
		"4 Mar 119 08:00 GMT":                            "2019-03-04T08:00:00 2019-03-04T08:00:00",
		"Mon Mar  4 08:00:00 2019":                       "2019-03-04T08:00:00 2019-03-04T08:00:00",
		"Mon, 04 March 2019 08:00:00":                    "2019-03-04T08:00:00 2019-03-04T08:00:00",
		"04-Mar-2019 08:00:00 -0730":                     "2019-03-04T08:00:00 2019-03-04T15:30:00",
		"Mon,4 Mar 2019 08:00:60 +0000":                  "2019-03-04T08:00:59 2019-03-04T08:00:59",
		"4 (day) Mar (month) 2019 (year) 08:00 Z":        "2019-03-04T08:00:00 2019-03-04T08:00:00",
		"4 Mar 2019":                                     "2019-03-04T00:00:00 2019-03-04T00:00:00",
		"29 Feb 2020 00:00:00 +1400":                     "2020-02-29T00:00:00 2020-02-28T10:00:00",
		"31 Feb 2019 10:00:00 +0000":                     "",
		"yesterday":                                      "",
		"":                                               "",
		"4 Mar":                                          "",
		"4 Foo 2019 08:00":                               "",
		"99 Mar 2019 08:00":                              "",
		"Mon, 4 Mar 2019 25:00:00 +0000":                 "2019-03-04T00:00:00 2019-03-04T00:00:00",
		"Mon, 4 Mar 2019 08:00:00 +9999 (nonsense":       "2019-03-04T08:00:00 2019-03-04T08:00:00",
		strings.Repeat(" ", 500) + "4 Mar 2019 08:00:00": "",
	} {
		local, sent, ok := parseDate(in)
		got := ""
		if ok {
			got = local.Format("2006-01-02T15:04:05") + " " + sent.Format("2006-01-02T15:04:05")
		}
		if got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
		if ok && (local.Location() != time.UTC || sent.Location() != time.UTC) {
			t.Errorf("%q: not in UTC", in)
		}
	}
}

func TestBaseSubject(t *testing.T) {
	for _, tt := range []struct {
		in, base string
		reply    bool
	}{
		{"hello", "hello", false},
		{"", "", false},
		{"Re: hello", "hello", true},
		{"RE : hello", "hello", true},
		{"re: Re: fw: FWD: hello", "hello", true},
		{"Re[2]: hello", "hello", true},
		{"Re [2] : hello", "hello", true},
		{"[list] Re: hello", "hello", true},
		{"Re: [list] hello", "hello", true},
		{"[list] [other] hello", "hello", false},
		{"[list]", "[list]", false},
		{"[a][b]", "[b]", false},
		{"hello (fwd)", "hello", true},
		{"hello (fwd) (FWD)  ", "hello", true},
		{"[fwd: hello]", "hello", true},
		{"[Fwd: Re: [fwd: hello] (fwd)]", "hello", true},
		{"[fwd: ]", "", true},
		{"reply", "reply", false},
		{"re hello", "re hello", false},
		{"fwd", "fwd", false},
		{"[unclosed hello", "[unclosed hello", false},
		{"[a[b]] hello", "[a[b]] hello", false},
		{"Re:", "", true},
		{"(fwd)", "", true},
		{"a  b\tc", "a b c", false},
		{"Aw: hallo", "Aw: hallo", false},
	} {
		if base, reply := baseSubject(tt.in); base != tt.base || reply != tt.reply {
			t.Errorf("%q: %q %v, want %q %v", tt.in, base, reply, tt.base, tt.reply)
		}
	}
}

func TestCut(t *testing.T) {
	for _, tt := range []struct {
		in   string
		n    int
		want string
	}{{"abc", 5, "abc"}, {"abc", 2, "ab"}, {"aü", 2, "a"}, {"aü", 3, "aü"},
		{"\x80\x80\x80\x80\x80\x80", 5, "\x80\x80\x80\x80\x80"}, {"ü", 1, ""}} {
		if got := cut(tt.in, tt.n); got != tt.want {
			t.Errorf("cut(%q, %d) = %q, want %q", tt.in, tt.n, got, tt.want)
		}
	}
}
