package mailgen

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
)

// lineBytes is how many bytes a line of base64 holds (RFC 2045 section 6.8).
const lineBytes = 57

// Simple is a small good message, for tests that only need one: from Bob, to Alice, with the date
// of the examples in RFC 3501, and the subject also in its Message-ID. With attachments
// it is multipart/mixed, with the text before them, and they are in base64.
func Simple(subject string, attachments ...[]byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: Bob <bob@example.com>\r\nTo: alice@example.com\r\nSubject: %s\r\n"+
		"Date: Wed, 17 Jul 1996 02:44:25 -0700\r\nMessage-ID: <%s@example.com>\r\n", subject, subject)
	const text = "\r\nHello.\r\n"
	if len(attachments) == 0 {
		b.WriteString(text)
		return b.Bytes()
	}
	b.WriteString("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=part\r\n\r\n" +
		"--part\r\nContent-Type: text/plain\r\n" + text)
	for _, a := range attachments {
		b.WriteString("--part\r\nContent-Type: application/octet-stream\r\n" +
			"Content-Transfer-Encoding: base64\r\n\r\n")
		for line := range slices.Chunk(a, lineBytes) {
			b.WriteString(base64.StdEncoding.EncodeToString(line) + "\r\n")
		}
	}
	b.WriteString("--part--\r\n")
	return b.Bytes()
}
