package search

import "testing"

func TestCharset(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"UTF-8", "größe", "größe"}, {"utf8", "größe", "größe"}, {"us-ascii", "a", "a"},
		{"ANSI_X3.4-1968", "a", "a"}, {"csASCII", "a", "a"}, {"iso-ir-6", "a", "a"}, {"IBM367", "a", "a"},
		{"ISO-8859-1", "K\xf6ln", "Köln"}, {"latin1", "K\xf6ln", "Köln"}, {"l1", "K\xf6ln", "Köln"},
		{"ISO_8859-1:1987", "K\xf6ln", "Köln"}, {"iso-ir-100", "K\xf6ln", "Köln"},
		{"Windows-1251", "\xf1\xf7\xb8\xf2", "счёт"}, {"cp1251", "\xf1\xf7\xb8\xf2", "счёт"},
		{"KOI8-R", "\xd3\xde\xa3\xd4", "счёт"}, {"csKOI8R", "\xd3\xde\xa3\xd4", "счёт"},
		{"Shift_JIS", "\x90\xbf", "請"}, {"MS_Kanji", "\x90\xbf", "請"}, {"EUC-JP", "\xc0\xc1", "請"},
		{"ISO-2022-JP", "\x1b$B@A\x1b(B", "請"}, {"GB18030", "\xd5\x88", "請"}, {"big5", "\xbd\xd0", "請"},
		{"EUC-KR", "\xc7\xd1", "한"}, {"KS_C_5601-1987", "\xc7\xd1", "한"},
		{"UTF-16", "\xff\xfea\x00", "a"}, {"UTF-16BE", "\x00a", "a"}, {"IBM037", "\x81", "a"},
	} {
		decode := Charset(tt.name)
		if decode == nil {
			t.Errorf("%s is not known", tt.name)
			continue
		}
		if got, ok := decode(tt.text); got != tt.want || !ok {
			t.Errorf("%s %q: %q, %v, want %q", tt.name, tt.text, got, ok, tt.want)
		}
	}
	for _, tt := range []struct{ name, text string }{
		{"UTF-8", "\xf6"}, {"utf-16le", "a"}, {"EUC-KR", "\xc7"}, {"iso-8859-7", "\xd2"},
	} {
		if got, ok := Charset(tt.name)(tt.text); ok {
			t.Errorf("%s %q is taken as %q", tt.name, tt.text, got)
		}
	}
	for _, name := range []string{"", "x-unknown", "utf-7", "iso-2022-kr", "hz-gb", "replacement", "\x00"} {
		if Charset(name) != nil {
			t.Errorf("%q is known", name)
		}
	}
}
