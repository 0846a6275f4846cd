package acceptance

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"gadwall/internal/contents"
	"gadwall/internal/imapconn"
)

// TestHostileMail sends mail made to mislead a parser, a decoder or a limit. The server takes all
// of it and gives it back byte for byte, whole and in slices. The mail passes a deep check, and
// leaves nothing when it is expunged.
func TestHostileMail(t *testing.T) {
	s := startServer(t)
	mails := hostileMails()
	s.deliver(t, mails...)
	c := s.login(t)
	i := 0
	fetchAll(t, c, "INBOX", func(m fetched) {
		_, rest, err := splitTrace(m.body)
		if err != nil || !bytes.Equal(rest, mails[i]) {
			t.Errorf("mail %d, %.60q, is another one: %v", i, mails[i], err)
		}
		if int(m.size) != len(m.body) {
			t.Errorf("mail %d: RFC822.SIZE %d, body has %d", i, m.size, len(m.body))
		}
		i++
	})
	if i != len(mails) {
		t.Fatalf("%d of %d mails", i, len(mails))
	}
	raw, err := imapconn.Login(s.imap, testUser, testPassword, ioTimeout)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if _, err := raw.Must("SELECT INBOX"); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 8))
	section := func(format string, args ...any) string {
		lines, err := raw.Must(format, args...)
		if err != nil {
			t.Fatal(err)
		}
		_, bytes, _ := strings.Cut(lines[0], "}\r\n")
		return strings.TrimSuffix(bytes, ")")
	}
	for i, mail := range mails {
		whole := section("FETCH %d BODY.PEEK[]", i+1)
		for range 4 {
			off, n := rng.IntN(len(mail)), 1+rng.IntN(20_000)
			if got := section("FETCH %d BODY.PEEK[]<%d.%d>", i+1, off, n); got != whole[off:min(off+n, len(whole))] {
				t.Errorf("mail %d: the %d bytes at %d differ", i, n, off)
			}
		}
	}
	side := &sideProcesses{server: s}
	if out, err := side.run("check", "--deep"); err != nil {
		t.Errorf("check: %v\n%s", err, out)
	}
	for _, command := range []string{"STORE 1:* +FLAGS.SILENT (\\Deleted)", "EXPUNGE"} {
		if _, err := raw.Must("%s", command); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := side.run("gc", "--grace", "0s"); err != nil {
		t.Errorf("gc: %v\n%s", err, out)
	}
	for _, name := range []string{contents.Collection, "blobs.files", "blobs.chunks"} {
		if n, err := s.database(t).Collection(name).EstimatedDocumentCount(t.Context()); err != nil || n != 0 {
			t.Errorf("%s: %d are left, %v", name, n, err)
		}
	}
}

func hostileMails() [][]byte {
	var list [][]byte
	add := func(format string, args ...any) { list = append(list, fmt.Appendf(nil, format, args...)) }
	multipart := func(boundary string, parts ...string) string {
		var b strings.Builder
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=%q\r\n\r\n", boundary)
		for _, p := range parts {
			b.WriteString("--" + boundary + "\r\n" + p + "\r\n")
		}
		return b.String() + "--" + boundary + "--\r\n"
	}
	file := func(seed uint64, size int) string {
		var b bytes.Buffer
		b.WriteString("Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n")
		writeBase64(&b, seed, size, 76)
		return b.String()
	}
	head := "MIME-Version: 1.0\r\nSubject: hostile\r\n"
	nested := "Content-Type: text/plain\r\n\r\ninnermost\r\n"
	for i := range 120 {
		if i%2 == 0 {
			nested = "Content-Type: message/rfc822\r\n\r\nSubject: " + fmt.Sprint(i) + "\r\n" + nested
		} else {
			nested = multipart(fmt.Sprintf("b%d", i%7), nested, file(uint64(i%3), 5000))
		}
	}
	add("%s%s", head, nested)
	add("%s%s", head, multipart("x",
		strings.Split(strings.Repeat("Content-Type: text/plain\r\n\r\npart\x01", 9_999)+"end", "\x01")...))
	add("%s%s", head, multipart("x", strings.Split(strings.Repeat(file(1, 6000)+"\x01", 500)+"end", "\x01")...))
	add("%s%s", head, multipart("x", strings.Split(strings.Repeat(file(2, 6000)+"!\r\n\x01", 1500)+"end", "\x01")...))
	// Boundaries that begin one another, are those of the outer one, end with blanks, are empty, or
	// very long.
	add("%s%s", head, multipart("a", multipart("ab", file(3, 9000), "x"), multipart("a", "y", file(3, 9000)), "z"))
	add("%sContent-Type: multipart/mixed; boundary=\"b \"\r\n\r\n--b \t\r\n\r\none\r\n--b\r\n\r\n"+
		"two\r\n--b -- \r\nthree\r\n--b --\r\n", head)
	add("%sContent-Type: multipart/mixed; boundary=\"\"\r\n\r\n--\r\n\r\none\r\n----\r\n", head)
	long := strings.Repeat("0123456789", 30)
	add("%s%s", head, multipart(long, file(4, 9000), file(4, 9000)))
	add("%sContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n%s--b--\r\n--b\r\n%s--b--\r\n",
		head, file(5, 9000), file(5, 9000))
	add("%sContent-Type: multipart/mixed; boundary=b\n\n--b\n%s--b--\n", head,
		strings.ReplaceAll(file(5, 9000), "\r\n", "\n"))
	add("%sContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n%s\r\r\n--b\r\n\r\nx\r--b\r\n"+
		"--b--", head, file(5, 9000))
	// Lines of a megabyte, NULs, other charsets, headers without end.
	add("Subject: %s\r\n\r\n%s\r\n%s", strings.Repeat("x ", 700_000), strings.Repeat("y", 1<<20),
		strings.Repeat("\x00", 1<<20))
	add("%s%s", strings.Repeat("X-Field: value\r\n", 100_000), "\r\nbody\r\n")
	add("%sContent-Type: text/plain; charset=utf-16\r\n\r\n\xff\xfeh\x00i\x00\r\x00\n\x00", head)
	add("%sContent-Type: text/plain; charset=\"%s\"\r\nContent-Transfer-Encoding: %s\r\n\r\nx",
		head, strings.Repeat("c", 5000), strings.Repeat("e", 5000))
	add("\r\n")
	add("x")
	add("\x00")
	add("Return-Path: <>\r\nDelivered-To: a\r\nReceived: x")
	// Encodings that nearly are what they say.
	soft := strings.Repeat(strings.Repeat(" ", 75)+"=\r\n", 100)
	for _, end := range []string{"", "=", "=3d", "!=zz", "\r\n", "=\r\n", "\x00"} {
		add("%s%s", head, multipart("q",
			"Content-Type: application/x\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"+
				soft+end, file(6, 70_000)+end))
	}
	var b bytes.Buffer
	writeBase64(&b, 7, 60_000, 76)
	for at := range 12 {
		damaged := bytes.Clone(b.Bytes())
		place := len(damaged) * at / 12
		for _, c := range []string{"=", "\r", "\n", " ", "\x00", "\r\n\r\n"} {
			body := append(append(damaged[:place:place], c...), damaged[place:]...)
			add("%sContent-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n\r\n%s", head, body)
		}
	}
	return list
}
