package mimestream_test

import (
	"fmt"
	"io"
	"log"
	"strings"

	"gadwall/mimestream"
)

const mail = "From: =?utf-8?q?Grace_H=C3=B6pper?= <grace@example.net>\r\n" +
	"Subject: the plan\r\n" +
	"Content-Type: multipart/mixed; boundary=b\r\n" +
	"\r\n" +
	"--b\r\n" +
	"Content-Type: text/plain; charset=iso-8859-1\r\n" +
	"Content-Transfer-Encoding: quoted-printable\r\n" +
	"\r\n" +
	"Gr=FC=DFe!\r\n" +
	"--b\r\n" +
	"Content-Type: application/pdf\r\n" +
	"Content-Disposition: attachment; filename*=utf-8''Pl%C3%A4ne.pdf\r\n" +
	"Content-Transfer-Encoding: base64\r\n" +
	"\r\n" +
	"JVBERi0xLjQK\r\n" +
	"--b--\r\n"

// Parse returns the MIME tree of a message that is in memory.
func ExampleParse() {
	root := mimestream.Parse([]byte(mail))
	root.Walk(func(p *mimestream.Part) bool {
		fmt.Printf("%v %s %d %d %q\n", p.Path, p.MediaType(), p.BodySize, p.DecodedSize, p.Filename())
		return true
	})
	from, _ := root.Header.Get("from")
	fmt.Println(mimestream.DecodeWords(from))
	// Output:
	// [] multipart/mixed 270 270 ""
	// [1] text/plain 10 6 ""
	// [2] application/pdf 12 9 "Pläne.pdf"
	// Grace Höpper <grace@example.net>
}

// A Handler gets the bytes of each body while they come in. This one counts those of attachments.
type attachments struct {
	mimestream.NopHandler
	octets map[string]int
}

func (a *attachments) Body(p *mimestream.Part, b []byte) error {
	if p.Disposition == "attachment" {
		a.octets[p.Filename()] += len(b)
	}
	return nil
}

// A Parser takes a message in pieces of any size, and never holds all of it.
func ExampleParser() {
	h := &attachments{octets: make(map[string]int)}
	p := mimestream.NewParser(h)
	if _, err := io.CopyBuffer(p, onlyReader{strings.NewReader(mail)}, make([]byte, 7)); err != nil {
		log.Fatal(err)
	}
	root, err := p.Close()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(root.Children), "parts,", h.octets)
	// Output: 2 parts, map[Pläne.pdf:12]
}

type onlyReader struct{ io.Reader }

// The offsets of a part lead to its bytes in the message.
func ExamplePart_Find() {
	root := mimestream.Parse([]byte(mail))
	p := root.Find([]int{1})
	body := mail[p.BodyOffset : p.BodyOffset+p.BodySize]
	decoded, err := io.ReadAll(mimestream.NewDecoder(p.Encoding, strings.NewReader(body)))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%q: %s\n", body, mimestream.DecodeCharset(p.Charset(), string(decoded)))
	// Output: "Gr=FC=DFe!": Grüße!
}
