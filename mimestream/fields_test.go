package mimestream

import "testing"

func TestWithoutComments(t *testing.T) {
	for value, want := range map[string]string{
		"http://a/b (comment)":           "http://a/b",
		"(c) http://a":                   "http://a",
		"(a (nested) one)http://a\t(b)":  "http://a",
		`(a \) quoted one) http://a`:     "http://a",
		"http://a/(b)":                   "http://a/(b)", // parentheses may be in a URI
		"http://a/b(c) (d)":              "http://a/b(c)",
		"http://a (not closed":           "http://a (not closed",
		"(c)":                            "",
		"http://a/b c":                   "http://a/b c",
		"Q2hlY2sgSW50ZWdyaXR5IQ== (MD5)": "Q2hlY2sgSW50ZWdyaXR5IQ==",
	} {
		if got := withoutComments(value); got != want {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
	}
}
