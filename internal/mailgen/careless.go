package mailgen

import (
	"bytes"
	"strings"
)

// careless returns mail of software that did not read the standards to the end.
func (b *builder) careless(shape Shape) []byte {
	switch shape {
	case BareLF, MixedLineEnds:
		return b.lineEnds(shape)
	case UTF8Header:
		b.utf8Header()
		return b.Bytes()
	case OddFields:
		b.oddFields()
		return b.Bytes()
	case OddDates:
		b.line("Date: ", pick(b.gen, oddDates))
		b.line("From: ", b.person().address)
		b.line("Subject: ", b.subject())
		b.line()
		b.WriteString(b.gen.text(50))
		return b.Bytes()
	case OddAddresses:
		b.oddAddresses()
		return b.Bytes()
	case MissingMIME:
		b.line("From: ", b.person().address)
		b.line("Subject: ", b.subject())
		b.alternative()
		return b.Bytes()
	}
	b.head(b.subject())
	switch shape {
	case Latin1:
		b.line("Content-Type: text/plain; charset=iso-8859-1")
		b.line("Content-Transfer-Encoding: 8bit")
		b.line()
		b.WriteString("Gr\xfc\xdfe aus M\xfcnchen, \xe9t\xe9, ni\xf1o\r\n" + b.gen.text(300))
	case Raw8bit:
		b.WriteString("Subject: Gr\xfc\xdfe \xe4\xf6\r\nComments: \xff\xfe\r\n")
		b.line("Content-Type: text/plain")
		b.line()
		b.Write(Random(b.Uint64(), 100))
		b.line()
	case NoContentType:
		part := func() { b.line(); b.WriteString(b.gen.text(100)) }
		b.multipart("mixed", b.boundary(), part, part, func() { b.WriteString("X-Only: field\r\n") }, part)
	case OddBase64:
		b.oddBase64()
	case OddQP:
		b.line("Content-Type: text/html; charset=utf-8")
		b.line("Content-Transfer-Encoding: Quoted-Printable ")
		b.line()
		b.line("a=b =C3=A4 =c3=a4 =ZZ =3D= \t\r\nsoft =\r\n\r\ntrailing \t\r\n=")
		b.line("=", strings.Repeat("=41", 400))
		b.WriteString("end=4")
	case LongLines:
		b.multipart("mixed", b.boundary(),
			func() { b.line(); b.line(strings.Repeat("long line without end ", 10000)) },
			func() {
				b.line("Content-Type: text/html\r\nContent-Transfer-Encoding: base64")
				b.line()
				b.base64(Random(b.Uint64(), 150000), 1<<20)
			})
	case ManyRecipients:
		b.field("To", b.addressList(b.people(600)))
		b.field("Cc", b.addressList(b.people(400)))
		b.plain(b.gen.text(100))
	case OddTypes:
		b.oddTypes()
	case GlobalMessage:
		b.line("Content-Type: message/global")
		b.line()
		b.utf8Header()
	}
	return b.Bytes()
}

// lineEnds is a good message with LF for all or some CRLF.
func (b *builder) lineEnds(shape Shape) []byte {
	good := Of(pick(b.gen, []Shape{Plain, Alternative, WithFiles, Forwarded, Nested}), b.Uint64())
	lines := bytes.SplitAfter(good, []byte("\r\n"))
	for i, l := range lines {
		if bytes.HasSuffix(l, []byte("\r\n")) && (shape == BareLF || b.chance(50)) {
			lines[i] = append(l[:len(l)-2:len(l)-2], '\n')
		}
	}
	return bytes.Join(lines, nil)
}

func (b *builder) utf8Header() {
	b.line("From: Jürgen Müller <jürgen@müller.example>")
	b.line("To: 太郎 <太郎@例え.jp>, Ольга <olga@example.com>")
	b.line("Subject: ", b.sentence(languages[pick(b.gen, languageNames)], 4))
	b.line("Date: ", b.date())
	b.line("Content-Type: text/plain; charset=utf-8; name=\"Größe.txt\"")
	b.line()
	b.line("ü")
}

func (b *builder) oddFields() {
	b.line("Subject:no space")
	b.line("From : space@before.colon")
	b.line("FROM:second@example.com")
	b.line("Subject: ", b.subject())
	b.line("To:\r\n \r\n\t<folded@example.com>,\r\n  \t other@example.com ")
	b.line("Cc:")
	b.line("Date: \t Mon, 4 Mar 2019 08:00:00 +0100 (CET (comment))")
	b.line("Message-ID: not-an-id")
	b.line("In-Reply-To: your mail of yesterday <a@b> \"x\" <c@d>")
	b.line("References: <a@b><c@d>, <e@\r\n f>")
	b.line("Content-Type: text/plain; charset=utf-8")
	b.line("Content-Type: text/html")
	b.line("Content-Transfer-Encoding: 7BIT (comment)")
	b.line("Content-Disposition: inline")
	b.line("Content-Disposition: attachment")
	b.line("X-Empty:")
	b.line("X-Long: ", strings.Repeat("x", 1000+b.IntN(2000)))
	b.line(": no name")
	b.line()
	b.WriteString(b.gen.text(50))
}

var oddDates = []string{
	"Mon, 4 Mar 2019 08:00:00 +0100 (CET)", "4 Mar 19 8:00 EST", "Mon Mar  4 08:00:00 2019",
	"04-Mar-2019 08:00:00 -0730",
	"Mon, 04 Mar 2019 23:59:60 GMT", "Montag, 4. März 2019", "Mon, 31 Feb 2019 10:00:00 +0000", "yesterday",
	"Sun,  1 Jan 1995 00:00:00 -1200", "Mon,4 Mar 2019 08:00:00+0100", "2019-03-04T08:00:00Z", "Tue, 1 Jan 2041 00:00 ",
}

func (b *builder) oddAddresses() {
	b.line("From: ", pick(b.gen, []string{"John Doe", "john@example.com (John Doe)", "<>",
		`"only quoted"`, "John Q. Public <j@x>",
		"=?utf-8?q?J=C3=BCrgen?= <j@example.com>", `"a\"b\\c" <d@e>`, "root", "a@b, c@d",
		"[x] <y@z>", "unclosed <a@b"}))
	b.line("Sender: ", pick(b.gen, []string{"", "a @ b . c", "<@route,@more:a@b>", "a@[127.0.0.1]", ".a.@b"}))
	b.line("Reply-To: ", pick(b.gen, []string{"group: a@b, \"C D\" <c@d>;",
		"undisclosed-recipients:;", "empty:;, x@y", "open: a@b"}))
	b.line("To: ", pick(b.gen, []string{`"Doe, John" <a@b>, Jane <c@d>`, "a@b;c@d", "a@b,,c@d,",
		"A <a@b> (c), (only comment)",
		"a (x (y) \\) z) <b@c>", `"a b"@c, <"d e"@f>`, `"unterminated <a@b>`,
		"x <a@b> y <c@d>, e@f", "<<a@b>>", "a@b@c, d@e"}))
	b.line("Cc: ", strings.Repeat("A Person <person@example.com>,\r\n ", b.IntN(5)), "last@example.com")
	b.line("Subject: ", b.subject())
	b.line()
	b.WriteString(b.gen.text(50))
}

func (b *builder) oddTypes() {
	var parts []func()
	for _, typ := range []string{"text", "text/", "/plain", "", "text/plain;",
		"TEXT / Plain ; Charset = \"x y\"", "text/plain charset=utf-8",
		"foo/bar/baz", "application/x; a=b c; d=\"e",
		"text/html (comment) ; (c) charset=us-ascii; x=; =y; z", "message/partial; id=\"a\"; number=1",
		"image/gif; name=a b.gif", "message/external-body; access-type=URL",
		"application/octet-stream; name=\"\"", "text/plain; charset=utf-8; charset=ascii"} {
		parts = append(parts, func() {
			b.line("Content-Type: ", typ)
			b.line("Content-Transfer-Encoding: ",
				pick(b.gen, []string{"", "x-uuencode", "\"base64\"", "8bit, 7bit", "binary"}))
			b.line("Content-Disposition: ",
				pick(b.gen, []string{"", "INLINE", ";filename=x", "attachment filename=x",
					"attachment; filename=a b; size=1"}))
			b.line("Content-ID: ", pick(b.gen, []string{"", "<a>", "no brackets"}))
			b.line()
			b.line("x")
		})
	}
	b.multipart("mixed", b.boundary(), parts...)
}

func (b *builder) oddBase64() {
	text := func(data []byte, n int) string {
		c := newBuilder(0, 0)
		c.base64(data, n)
		return c.String()
	}
	part := func(body string) func() {
		return func() {
			b.line("Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: BASE64")
			b.line()
			b.WriteString(body)
		}
	}
	data := Random(b.Uint64(), 3000)
	good := text(data, 76)
	b.multipart("mixed", b.boundary(),
		part(text(data, 61+b.IntN(10))),
		part(strings.TrimRight(good, "=\r\n")),
		part(good+good),
		part(strings.ReplaceAll(good, "A", "A*\r\n")),
		part(strings.ReplaceAll(good, "\r\n", " \r\n")),
		part(good+"\r\n\r\n-- \r\ntrailing text\r\n"),
		part("A"), part("===="), part(""))
}
