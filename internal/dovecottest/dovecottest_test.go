package dovecottest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func TestAppendAndFetch(t *testing.T) {
	s := Start(t)
	s.MaildirAppend("other", []byte("Subject: bare\n\nx\x00y\n"))
	c := s.Login()
	c.Append("INBOX", []byte("Subject: a \"b\"\r\n\r\nbody\r\n"))
	c.Command("SELECT INBOX")
	got := c.Fetch("1", "RFC822.SIZE ENVELOPE BODY.PEEK[]")[1]
	for item, want := range map[string]string{
		"RFC822.SIZE": "24",
		"ENVELOPE":    `(NIL "a \"b\"" NIL NIL NIL NIL NIL NIL NIL NIL)`,
		"BODY[]":      `"Subject: a \"b\"\r\n\r\nbody\r\n"`,
	} {
		if got[item].String() != want {
			t.Errorf("%s is %s, want %s", item, got[item], want)
		}
	}
	other := Dial(t, s.Addr, "other", "x")
	other.Command("SELECT INBOX")
	if size := other.Fetch("1", "RFC822.SIZE")[1]["RFC822.SIZE"].Text; size != "22" {
		t.Errorf("a file of 19 octets with 3 bare LF has size %s", size)
	}
}

func TestLMTP(t *testing.T) {
	s := Start(t, LMTP())
	conn, err := net.Dial("tcp", s.LMTPAddr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(commandTimeout)); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	reply := func(want string) {
		t.Helper()
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if len(line) > 3 && line[3] == '-' {
				continue
			}
			if !strings.HasPrefix(line, want) {
				t.Fatalf("%q, want %s", line, want)
			}
			return
		}
	}
	reply("220")
	for _, step := range []struct{ send, want string }{
		{"LHLO test\r\n", "250"},
		{"MAIL FROM:<a@b>\r\n", "250"},
		{fmt.Sprintf("RCPT TO:<%s>\r\n", s.User), "250"},
		{fmt.Sprintf("RCPT TO:<%s@example.com>\r\n", s.User), "250"},
		{"DATA\r\n", "354"},
		{"Subject: x\r\n\r\ny\r\n.\r\n", "250"},
	} {
		if _, err := io.WriteString(conn, step.send); err != nil {
			t.Fatal(err)
		}
		reply(step.want)
	}
	reply("250")
	c := s.Login()
	if got := strings.Join(c.Command("SELECT INBOX"), "\n"); !strings.Contains(got, "* 2 EXISTS") {
		t.Errorf("delivered to two addresses of one user, got\n%s", got)
	}
}

func TestParse(t *testing.T) {
	for in, want := range map[string]string{
		`(A 1 NIL "q\"\\" ({3}` + "\r\n\"\r\nx" + `) ~{1}` + "\r\n\x00)": `(A 1 NIL "q\"\\" ("\"\r\n" x) "\x00")`,
		`((a b)(c d) "e")`:          `((a b) (c d) "e")`,
		`BODY[HEADER.FIELDS (A B)]`: `BODY[HEADER.FIELDS (A B)]`,
		`nil`:                       `NIL`,
		`()`:                        `()`,
	} {
		v, err := Parse(in)
		if err != nil || v.String() != want {
			t.Errorf("%q: %s, want %s: %v", in, v, want, err)
		}
	}
	for _, in := range []string{"", "(", `"a`, "{5}\r\nabc", "{x}\r\n", "a b", ")", "\"\xff\"",
		"\"a\nb\"", "{-1}\r\n"} {
		if v, err := Parse(in); err == nil {
			t.Errorf("%q gave %s", in, v)
		}
	}
}
