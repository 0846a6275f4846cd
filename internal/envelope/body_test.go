package envelope

import (
	"bytes"
	"errors"
	"testing"

	"gadwall/mimestream"
)

func TestAppendBody(t *testing.T) {
	tests := []struct{ structure, want string }{
		{`("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 16 2 NIL NIL NIL NIL)`,
			`("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 16 2)`},
		{`("text" "plain" NIL NIL NIL "7bit" 16 2)`, `("text" "plain" NIL NIL NIL "7bit" 16 2)`},
		{`("image" "png" ("name" "a \"b\" (c).png") "<id>" "d" "base64" 9 "md5" ("inline" ("x" "y")) ("en" "de") "loc")`,
			`("image" "png" ("name" "a \"b\" (c).png") "<id>" "d" "base64" 9)`},
		{`(("TEXT" "plain" NIL NIL NIL "7bit" 5 0 NIL NIL NIL NIL)("a" "b" NIL NIL NIL "7bit" 1 NIL) "mixed" ("boundary" "x") NIL NIL NIL)`,
			`(("TEXT" "plain" NIL NIL NIL "7bit" 5 0)("a" "b" NIL NIL NIL "7bit" 1) "mixed")`},
		{`("message" "rfc822" NIL NIL NIL "7bit" 47 (NIL "s" ((NIL NIL "a" "b")) NIL NIL NIL NIL NIL NIL NIL) (("text" "x" NIL NIL NIL "7bit" 1 1 NIL) "mixed" NIL) 3 NIL NIL)`,
			`("message" "rfc822" NIL NIL NIL "7bit" 47 (NIL "s" ((NIL NIL "a" "b")) NIL NIL NIL NIL NIL NIL NIL) (("text" "x" NIL NIL NIL "7bit" 1 1) "mixed") 3)`},
		// An embedded message that was not looked into.
		{`("message" "rfc822" NIL NIL NIL "7bit" 47 NIL NIL)`, `("message" "rfc822" NIL NIL NIL "7bit" 47)`},
		{"(\"text\" \"plain\" (\"name\" {5}\r\n()\"\\x) NIL NIL \"8bit\" 1 1 NIL)",
			"(\"text\" \"plain\" (\"name\" {5}\r\n()\"\\x) NIL NIL \"8bit\" 1 1)"},
	}
	for _, tt := range tests {
		got, err := AppendBody([]byte("BODY "), []byte(tt.structure))
		if err != nil || string(got) != "BODY "+tt.want {
			t.Errorf("%s:\n got %s, %v\nwant %s", tt.structure, got, err, tt.want)
		}
	}
}

func TestAppendBodyRefuses(t *testing.T) {
	for _, s := range []string{"", "(", ")", "()", `("text")`, `("text" "plain" NIL NIL NIL "7bit" 1)`,
		`("a" "b" NIL NIL NIL "7bit" x)`, `("a" "b" NIL NIL NIL "7bit" 1) `, `("a" "b" NIL NIL NIL "7bit" 1`,
		`("a" "b" NIL NIL NIL "7bit" 1 (`, `("a" "b" {9}` + "\r\nx", `("a`, `("a" "b" {99999999999999999999}` + "\r\n",
		`(("a" "b" NIL NIL NIL "7bit" 1))`, `("message" "rfc822" NIL NIL NIL "7bit" 1 (NIL) NIL 1)`} {
		got, err := AppendBody([]byte("x"), []byte(s))
		if !errors.Is(err, ErrStructure) || string(got) != "x" {
			t.Errorf("%q: %q, %v", s, got, err)
		}
	}
}

// FuzzAppendBody: the stripper takes any bytes, keeps what it says of dst, its
// result has no extension data left (stripping it again changes nothing), and
// of the structure of any mail it makes the structure without extension data.
func FuzzAppendBody(f *testing.F) {
	f.Add([]byte("From: A <a@b.c>\r\nSubject: hello\r\n\r\nbody line\r\n"))
	f.Add([]byte("Content-Type: message/rfc822\r\n\r\nSubject: deep\r\n\r\ndeep body\r\n"))
	f.Add([]byte("Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\na\r\n--x\r\n" +
		"Content-Type: multipart/alternative; boundary=y\r\n\r\n--y\r\n\r\nb\r\n--y--\r\n--x--\r\n"))
	f.Add([]byte(`("a" "b" NIL NIL NIL "7bit" 1 "md5" ("x" NIL) NIL NIL)`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if body, err := AppendBody(nil, data); err == nil {
			again, err := AppendBody(nil, body)
			if err != nil || string(again) != string(body) {
				t.Fatalf("%q becomes %q and then %q, %v", data, body, again, err)
			}
		}
		root := mimestream.Parse(data)
		stored := BodyStructure(root)
		if stored == nil {
			return
		}
		got, err := AppendBody(nil, stored)
		if err != nil {
			t.Fatalf("structure of %q: %v", data, err)
		}
		var want bytes.Buffer
		if err := WriteBodyStructure(&want, root, headersIn(data), false); err != nil {
			t.Fatal(err)
		}
		if string(got) != want.String() {
			t.Fatalf("%q:\n got %q\nwant %q", data, got, want.String())
		}
	})
}

// headersIn reads the header blocks of a message in memory.
func headersIn(message []byte) Headers {
	return func(p *mimestream.Part) ([]byte, error) {
		return message[p.HeaderOffset : p.HeaderOffset+p.HeaderSize], nil
	}
}
