package contents

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand"
	"strings"

	"pgregory.net/rapid"
)

// random returns n bytes that do not compress.
func random(seed int64, n int) []byte {
	b := make([]byte, n)
	rand.New(rand.NewSource(seed)).Read(b)
	return b
}

// text returns about n bytes of text in lines.
func text(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "Line %d of a text that says %d different things, and more.\r\n", i, i*i%997)
	}
	return b.String()
}

// encode returns data in base64 lines of that length (0: one line), without a last line end.
func encode(data []byte, length int, eol string) string {
	s := base64.StdEncoding.EncodeToString(data)
	if length == 0 {
		return s
	}
	var b strings.Builder
	for len(s) > length {
		b.WriteString(s[:length] + eol)
		s = s[length:]
	}
	return b.String() + s
}

// multipart returns a message of the given parts, each with its header fields.
func multipart(parts ...string) string {
	var b strings.Builder
	b.WriteString("From: Ann <ann@example.com>\r\nTo: bob@example.com\r\nSubject: Mail with parts\r\n" +
		"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"=_1\"\r\n\r\nThis is MIME.\r\n")
	for _, p := range parts {
		b.WriteString("--=_1\r\n" + p + "\r\n")
	}
	return b.String() + "--=_1--\r\n"
}

const (
	textHeader   = "Content-Type: text/plain; charset=UTF-8\r\n\r\n"
	base64Text   = "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
	base64Header = "Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n" +
		"Content-Disposition: attachment; filename=a.pdf\r\n\r\n"
	binaryHeader = "Content-Type: application/x-data\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
)

// sampleMessages returns mails of every shape that is stored in its own way.
func sampleMessages() map[string]string {
	nested := multipart(textHeader+"inner", base64Header+encode(random(1, 9000), 76, "\r\n"))
	manyParts := make([]string, 400)
	for i := range manyParts {
		manyParts[i] = fmt.Sprintf("X-Part: %d\r\n", i) + textHeader + "part"
	}
	return map[string]string{
		"empty":           "",
		"no header":       "\r\n",
		"header only":     "Subject: x",
		"short":           "Subject: x\r\n\r\nbody\r\n",
		"bare LF":         "Subject: x\nFrom: a@b\n\nbody\n\x00\xff",
		"long text":       "Subject: x\r\n\r\n" + text(200_000),
		"medium text":     "Subject: x\r\n\r\n" + text(30_000),
		"long header":     "Subject: " + strings.Repeat("x", 100_000) + "\r\n\r\nbody",
		"small base64":    multipart(textHeader+"Hi.", base64Text+encode([]byte(text(3000)), 76, "\r\n")),
		"tiny base64":     multipart(base64Header + "QUJD"),
		"attachment":      multipart(textHeader+"Hi.", base64Header+encode(random(2, 300_000), 76, "\r\n")),
		"attachment LF":   multipart(base64Header + encode(random(2, 300_000), 60, "\n")),
		"one line":        multipart(base64Header + encode(random(2, 300_000), 0, "")),
		"final line ends": multipart(base64Header + encode(random(2, 20_000), 76, "\r\n") + "\r\n\r\n\r\n"),
		"late deviation":  multipart(base64Header + encode(random(3, 20_000), 76, "\r\n") + "\r\n" + text(20_000)),
		"early deviation": multipart(base64Header + "!" + encode(random(3, 20_000), 76, "\r\n")),
		"small tail":      multipart(base64Header + encode(random(3, 20_000), 76, "\r\n") + "\r\n-- \r\nbye"),
		"binary":          multipart(binaryHeader+string(random(4, 50_000)), textHeader+"x"),
		"nested":          multipart("Content-Type: message/rfc822\r\n\r\n"+nested, textHeader+"outer"),
		"root message":    "Content-Type: message/rfc822\r\n\r\n" + nested,
		"unclosed":        strings.TrimSuffix(multipart(textHeader+"a", textHeader+"b"), "--=_1--\r\n"),
		"encoded message": multipart("Content-Type: message/rfc822\r\n" +
			"Content-Transfer-Encoding: base64\r\n\r\n" + encode([]byte(nested), 76, "\r\n")),
		"many parts":     multipart(manyParts...),
		"incompressible": "Subject: x\r\n\r\n" + string(random(5, 60_000)),
		"two attachments": multipart(base64Header+encode(random(6, 9000), 76, "\r\n"),
			base64Header+encode(random(6, 9000), 72, "\r\n")),
		"digest": "Content-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n\r\n" +
			"Subject: a\r\n\r\nA\r\n--d\r\n\r\nSubject: b\r\n\r\nB\r\n--d--\r\n",
		"odd words": "Content-Type: X-Foo/X-Bar; charset=" + strings.Repeat("y", 600) +
			"\r\nContent-Transfer-Encoding: X-Foo\r\nContent-Disposition: X-Baz\r\n\r\nbody",
		"large first part": multipart(base64Header + encode(bytes.Repeat([]byte("compressible "), 80_000), 76, "\r\n")),
	}
}

// drawMail draws bytes that are a mail, mostly, with damage.
func drawMail(t *rapid.T) []byte {
	part := rapid.Custom(func(t *rapid.T) string {
		size := rapid.SampledFrom([]int{0, 1, 100, 3000, 5000, 9000, 70_000}).Draw(t, "size")
		seed := rapid.Int64Range(0, 3).Draw(t, "seed")
		switch rapid.IntRange(0, 4).Draw(t, "part") {
		case 0:
			return textHeader + text(size)
		case 1:
			return base64Text + encode([]byte(text(size)), 76, "\r\n")
		case 2:
			length := rapid.SampledFrom([]int{0, 4, 60, 72, 76, 400}).Draw(t, "length")
			eol := rapid.SampledFrom([]string{"\r\n", "\n"}).Draw(t, "eol")
			return base64Header + encode(random(seed, size), length, eol) +
				rapid.SampledFrom([]string{"", "\r\n", "\n\n"}).Draw(t, "end")
		case 3:
			return binaryHeader + string(random(seed, size))
		}
		return "Content-Type: message/rfc822\r\n\r\n" + multipart(textHeader+"inner", base64Header+
			encode(random(seed, size), 76, "\r\n"))
	})
	mail := []byte(multipart(rapid.SliceOfN(part, 0, 4).Draw(t, "parts")...))
	for range rapid.IntRange(0, 3).Draw(t, "mutations") {
		at := rapid.IntRange(0, len(mail)).Draw(t, "at")
		cut := rapid.IntRange(0, min(100, len(mail)-at)).Draw(t, "cut")
		insert := rapid.SampledFrom([]string{"", "\r\n", "\n", "--=_1\r\n", "--=_1--", "=", "\x00",
			"Content-Type: text/html\r\n\r\n"}).Draw(t, "insert")
		mail = append(append(bytes.Clone(mail[:at]), insert...), mail[at+cut:]...)
	}
	return mail
}
