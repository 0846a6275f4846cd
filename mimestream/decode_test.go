package mimestream

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime/quotedprintable"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

func decodeString(t testing.TB, encoding, s string) string {
	t.Helper()
	got, err := io.ReadAll(NewDecoder(encoding, strings.NewReader(s)))
	if err != nil {
		t.Fatal(err)
	}
	slow, err := io.ReadAll(iotest.OneByteReader(NewDecoder(encoding, iotest.OneByteReader(strings.NewReader(s)))))
	if err != nil || !bytes.Equal(got, slow) {
		t.Errorf("%q: %q, but octet by octet %q: %v", s, got, slow, err)
	}
	for _, step := range []int{1, 3, max(1, len(s))} {
		var c bodyCounter
		c.reset(encoding)
		for rest := []byte(s); len(rest) > 0; {
			n := min(step, len(rest))
			c.write(rest[:n])
			rest = rest[n:]
		}
		if n := c.size(); n != int64(len(got)) {
			t.Errorf("%q: counted %d in steps of %d, decoded %d", s, n, step, len(got))
		}
	}
	return string(got)
}

func TestBase64Decoder(t *testing.T) {
	for in, want := range map[string]string{
		"":                    "",
		"QUJD":                "ABC",
		"QUJDRA==":            "ABCD",
		"QUJDRA":              "ABCD",
		"QUJDREU=":            "ABCDE",
		"QUJDREU":             "ABCDE",
		"Q":                   "",
		"QUJDR":               "ABC",
		"QU JD\r\nRA\t==\r\n": "ABCD",
		"QU*J!D":              "ABC",
		"QUJDRA==QUJDRA==":    "ABCDABCD",
		"QQ=QQ":               "AA",
		"====":                "",
		"=QUJD":               "ABC",
		"\xff\x00QUJD":        "ABC",
	} {
		if got := decodeString(t, "base64", in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestQPDecoder(t *testing.T) {
	space := strings.Repeat(" ", maxSpace)
	for in, want := range map[string]string{
		"":                   "",
		"a=41b":              "aAb",
		"=e4=E4":             "\xe4\xe4",
		"a=\r\nb":            "ab",
		"a=\nb":              "ab",
		"a= \t\r\nb":         "ab",
		"a \t\r\nb":          "a\r\nb",
		"a \nb":              "a\nb",
		"a b":                "a b",
		"a ":                 "a ",
		"a=":                 "a=",
		"a=4":                "a=4",
		"a=4g":               "a=4g",
		"=g":                 "=g",
		"==41":               "=A",
		"=4=41":              "=4A",
		"a\rb":               "a\rb",
		"a \r b":             "a \r b",
		"a\r\r\nb":           "a\r\r\nb",
		"a=\rb":              "a=\rb",
		"a= b":               "a= b",
		"\r\n\r\n":           "\r\n\r\n",
		"a" + space + "\nb":  "a\nb",
		"a " + space + "\nb": "a" + space + "\nb",
		"=" + space + space:  "=" + space + space,
	} {
		if got := decodeString(t, "quoted-printable", in); got != want {
			t.Errorf("%.40q: %.40q, want %.40q", in, got, want)
		}
	}
}

func TestOtherEncodingsPass(t *testing.T) {
	for _, encoding := range []string{"", "7bit", "8bit", "binary", "x-uuencode"} {
		if got := decodeString(t, encoding, "a=41 QUJD\r\n"); got != "a=41 QUJD\r\n" {
			t.Errorf("%s: %q", encoding, got)
		}
	}
}

// What others have encoded comes back.
func TestDecodersAgree(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		data := rapid.SliceOf(rapid.Byte()).Draw(rt, "data")
		if got := decodeString(t, "base64", base64.StdEncoding.EncodeToString(data)); got != string(data) {
			rt.Fatalf("base64: %q", got)
		}
		var buf bytes.Buffer
		w := quotedprintable.NewWriter(&buf)
		w.Binary = true
		if _, err := w.Write(data); err != nil {
			rt.Fatal(err)
		}
		if err := w.Close(); err != nil {
			rt.Fatal(err)
		}
		if got := decodeString(t, "quoted-printable", buf.String()); got != string(data) {
			rt.Fatalf("quoted-printable: %q of %q", got, buf.String())
		}
	})
}

// An error of the reader below comes after the octets before it.
func TestDecoderPassesErrors(t *testing.T) {
	r := NewBase64Decoder(io.MultiReader(strings.NewReader("QUJD"), iotest.ErrReader(io.ErrUnexpectedEOF)))
	got, err := io.ReadAll(r)
	if string(got) != "ABC" || err != io.ErrUnexpectedEOF {
		t.Errorf("%q, %v", got, err)
	}
}

func FuzzDecoders(f *testing.F) {
	f.Add("QUJDRA==\r\n")
	f.Add("a=41=\r\n = \t\r\n")
	f.Fuzz(func(t *testing.T, s string) {
		decodeString(t, "base64", s)
		decodeString(t, "quoted-printable", s)
	})
}
