package mimestream

import (
	"testing"
	"unicode/utf8"
)

func TestDecodeWords(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                                         "plain",
		"=?utf-8?q?Gr=C3=BC=C3=9Fe?=":                   "Grüße",
		"=?UTF-8?B?R3LDvMOfZQ==?=":                      "Grüße",
		"=?UTF-8?B?R3LDvMOfZQ?=":                        "Grüße", // padding missing
		"=?iso-8859-1?Q?a_b=E4?=":                       "a bä",
		"=?utf-8*de?q?a?=":                              "a",
		"a =?utf-8?q?b?= c":                             "a b c",
		"=?utf-8?q?a?= =?utf-8?q?b?=":                   "ab",
		"=?utf-8?q?a?= \t =?iso-8859-1?q?=E4?= b":       "aä b",
		"=?utf-8?q?=C3?= =?utf-8?q?=BC?=":               "ü", // a character cut in two
		"=?utf-8?b?w7w=?= =?utf-8?b?w7w=?=":             "üü",
		"=?utf-8?q?a?=b":                                "ab",
		"(=?utf-8?q?a?=)":                               "(a)",
		"=?utf-8?x?a?=":                                 "=?utf-8?x?a?=",
		"=?utf-8?q?a":                                   "=?utf-8?q?a",
		"=?utf-8?q?a?= =?":                              "a =?",
		"=?":                                            "=?",
		"=??q?a?=":                                      "=??q?a?=",
		"=?nonsense?q?=E4?=":                            "ä",
		"=?utf-8?q?=FF?=":                               "\uFFFD",
		"=?utf-8?q?a b?=":                               "a b",
		"=?utf-8?q?=ZZ?=":                               "=ZZ",
		"=?koi8-r?b?8NLJ18XU?=":                         "Привет",
		"=?iso-2022-jp?b?GyRCMnE1RBsoQg==?=":            "会議",
		"=?gb2312?b?xOO6ww==?=":                         "你好",
		"raw \xe4":                                      "raw ä",
		"raw ü":                                         "raw ü",
		"raw \xe4 =?utf-8?q?=C3=BC?=":                   "raw ä ü",
		"=?utf-8?q?a?=\r\n =?utf-8?q?b?=":               "ab",
		"=?utf-8?q??=":                                  "",
		"=?utf-8?q?a?==?utf-8?q?b?=":                    "ab",
		"=?us-ascii?q?=41?= \"=?utf-8?q?q?=\" <x@y>":    "A \"q\" <x@y>",
		"=?windows-1252?q?=80?= =?WINDOWS-1252?q?=93?=": "€“",
	} {
		if got := DecodeWords(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestDecodeCharset(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"utf-8", "ä", "ä"},
		{"UTF8", "\xe4x", "\uFFFDx"},
		{"", "\xe4", "ä"},
		{"us-ascii", "ü", "ü"},
		{"iso-8859-15", "\xa4", "€"},
		{"ISO-8859-1", "\xfc", "ü"},
		{"x-unknown", "\xfcx", "üx"},
		{"x-unknown", "ü", "ü"},
		{"utf-16be", "\x00a\x20\xac", "a€"},
		{" shift_jis ", "\x89\xef", "会"},
	} {
		if got := DecodeCharset(tt.name, tt.in); got != tt.want {
			t.Errorf("%s %q: %q, want %q", tt.name, tt.in, got, tt.want)
		}
	}
}

func FuzzWords(f *testing.F) {
	f.Add("=?utf-8?q?a?= =?iso-2022-jp?b?GyRC?= x")
	f.Add("text/plain; a*0*=utf-8''%e4; a*1=b; c=\"d\\\"\"; (e")
	f.Fuzz(func(t *testing.T, s string) {
		if got := DecodeWords(s); !utf8.ValidString(got) {
			t.Errorf("%q: not UTF-8: %q", s, got)
		}
		sc := scanner{s}
		for _, p := range sc.params() {
			if !utf8.ValidString(p.Value) || len(p.RawValue) > MaxParamBytes ||
				len(p.Value) > 3*MaxParamBytes || p.Name == "" {
				t.Errorf("%q: parameter %+v", s, p)
			}
		}
		sc = scanner{s}
		sc.skip()
		languages(s)
	})
}
