package properties

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gadwall/bench"
)

const plain = "From: a@example.com\r\n\r\nhello\r\n"

// attached is a mail with a text and a file, which decodes to "hello".
const attached = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" +
	"--b\r\n\r\nhi\r\n--b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment\r\n" +
	"Content-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n--b--\r\n"

func TestProperties(t *testing.T) {
	var p Properties
	for _, raw := range []string{plain, attached, strings.Replace(attached, "hi", "another text", 1)} {
		if err := p.Add([]byte(raw)); err != nil {
			t.Fatal(err)
		}
	}
	if p.Messages != 3 || p.Attachments != (Sum{2, 10}) || p.Duplicates != (Sum{1, 5}) {
		t.Errorf("%+v", p)
	}
	if p.Classes[bench.Text] != int64(len("hello\r\n")+len("hi")+len("another text")) ||
		p.Classes[bench.PDF] != 2*int64(len("aGVsbG8=")) {
		t.Errorf("%v", p.Classes)
	}
	var sum int64
	for _, n := range p.Classes {
		sum += n
	}
	if sum != p.Octets {
		t.Errorf("classes have %d bytes of %d", sum, p.Octets)
	}
	if diff := cmp.Diff(histogram{1: 1, 2: 2}, p.Leaves); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(histogram{5: 1, 8: 2}, p.Sizes); diff != "" {
		t.Error(diff)
	}
}

func TestWriteText(t *testing.T) {
	var p Properties
	for _, raw := range []string{plain, attached, attached, attached} {
		if err := p.Add([]byte(raw)); err != nil {
			t.Fatal(err)
		}
	}
	var text strings.Builder
	if err := p.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"4 messages, 624 bytes, 156 on average\n",
		"3 attachments of 15 bytes decoded, 2 of 10 bytes were there before (67 %)\n",
		"  16 B to 32 B                 1  25.0 %  #############\n",
		"  32 B to 64 B                 0   0.0 %\n",
		"  128 B to 256 B               3  75.0 %  ######################################\n",
		"  1                            1  25.0 %  #############\n",
		"  pdf                         24   3.8 %  ##\n",
		"  images                       0   0.0 %\n",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
	text.Reset()
	if err := new(Properties).WriteText(&text); err != nil ||
		!strings.HasPrefix(text.String(), "0 messages, 0 bytes\n") {
		t.Errorf("of nothing: %q, %v", text.String(), err)
	}
}

func TestSizeRange(t *testing.T) {
	for n, want := range map[int]string{0: "0", 1: "1 B to 2 B", 10: "512 B to 1 KiB", 17: "64 KiB to 128 KiB",
		20: "512 KiB to 1 MiB", 31: "1 GiB to 2 GiB"} {
		if got := sizeRange(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
