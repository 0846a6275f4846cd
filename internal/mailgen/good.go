package mailgen

import (
	"encoding/base64"
	"strings"
)

// good appends a well-formed message.
func (b *builder) good(shape Shape) {
	switch shape {
	case International:
		b.international()
		return
	case Thread:
		b.thread()
		return
	}
	b.head(b.subject())
	switch shape {
	case Plain:
		b.plain(b.gen.text(100 + b.IntN(4000)))
	case HTML:
		b.htmlPart(b.gen.text(100 + b.IntN(2000)))
	case Alternative:
		b.alternative()
	case WithFiles:
		b.withFiles()
	case Related:
		b.related()
	case Nested:
		b.nested()
	case Forwarded:
		b.multipart("mixed", b.boundary(), func() { b.plain(b.gen.text(200)) }, b.message, b.message)
	case ForwardedOnly:
		b.message()
	case Digest:
		b.digest()
	case Report:
		b.report()
	case Signed:
		b.line("Content-Type: multipart/signed; micalg=sha-256; " +
			"protocol=\"application/pkcs7-signature\";\r\n boundary=\"sig\"")
		b.line()
		b.between("sig", b.alternative, func() {
			b.attachment(Attachment{Name: "smime.p7s", Type: "application/pkcs7-signature",
				Data: Random(b.Uint64(), 2000)})
		})
	case Invitation:
		b.multipart("alternative", b.boundary(), func() { b.plain(b.gen.text(200)) }, b.calendar)
	case ExtendedParam:
		b.extendedParam()
	case NoText:
		b.attachment(Attachment{Name: "scan.pdf", Type: "application/pdf", Data: PDF(b.Uint64(), 3000+b.IntN(40000))})
	case FormatFlowed:
		b.line("Content-Type: text/plain; charset=\"utf-8\"; format=flowed; DelSp=yes")
		b.line("Content-Language: de, en-GB")
		b.line("Content-Location: https://example.com/a/b?c=d")
		b.line("Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==")
		b.line("Content-Description: a \"quoted\" description\r\n\tof two lines")
		b.line("Content-ID: ", b.messageID())
		b.line()
		b.WriteString(b.gen.text(500))
	}
}

func (b *builder) alternative() {
	text := b.gen.text(200 + b.IntN(2000))
	b.multipart("alternative", b.boundary(), func() { b.plain(text) }, func() { b.htmlPart(text) })
}

// file is an attachment of a random type, of at most most octets.
func (b *builder) file(most int) Attachment {
	size := 100 + b.IntN(most)
	switch b.IntN(4) {
	case 0:
		return Attachment{Name: b.sentence(english, 2) + ".pdf", Type: "application/pdf", Data: PDF(b.Uint64(), size)}
	case 1:
		return Attachment{Name: "notes.txt", Type: "text/plain", Data: Text(b.Uint64(), size)}
	case 2:
		return Attachment{Name: "Größe " + itoa(b.IntN(100)) + ".docx",
			Type: "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
			Data: Random(b.Uint64(), size)}
	}
	return Attachment{Name: "photo.jpg", Type: "image/jpeg", Data: Random(b.Uint64(), size),
		LineLength: pick(b.gen, []int{60, 64, 72, 76})}
}

func (b *builder) withFiles() {
	parts := []func(){func() { b.plain(b.gen.text(100 + b.IntN(1000))) }}
	for range 1 + b.IntN(3) {
		parts = append(parts, func() { b.attachment(b.file(60000)) })
	}
	b.multipart("mixed", b.boundary(), parts...)
}

func (b *builder) related() {
	text := b.gen.text(300)
	b.multipart("alternative", b.boundary(),
		func() { b.plain(text) },
		func() {
			b.multipart("related", b.boundary(),
				func() { b.htmlPart(text) },
				func() {
					b.attachment(Attachment{Name: "logo.png", Type: "image/png", Data: Random(1, 5000), Inline: true})
				})
		})
}

func (b *builder) nested() {
	b.multipart("mixed", b.boundary(), b.related, func() { b.attachment(b.file(20000)) },
		func() { b.multipart("mixed", b.boundary(), b.alternative, func() { b.attachment(b.file(5000)) }) })
}

func (b *builder) message() {
	b.line("Content-Type: message/rfc822")
	if b.chance(50) {
		b.line("Content-Disposition: attachment; filename=\"forwarded.eml\"")
	}
	b.line()
	b.Write(b.goodOf())
}

func (b *builder) digest() {
	var parts []func()
	for range 2 + b.IntN(4) {
		parts = append(parts, func() {
			b.line()
			b.Write(b.goodOf())
		})
	}
	parts = append(parts, func() { b.line("Content-Type: text/plain"); b.line(); b.line("end of digest") })
	b.multipart("digest", b.boundary(), parts...)
}

func (b *builder) report() {
	b.line("Content-Type: multipart/report; report-type=delivery-status; boundary=r")
	b.line()
	b.between("r",
		func() { b.plain("Your message could not be delivered.\r\n") },
		func() {
			b.line("Content-Type: message/delivery-status")
			b.line()
			b.line("Reporting-MTA: dns; mail.example.com")
			b.line()
			b.line("Final-Recipient: rfc822; nobody@example.com")
			b.line("Action: failed\r\nStatus: 5.1.1")
		},
		func() {
			b.line("Content-Type: text/rfc822-headers")
			b.line()
			b.head(b.subject())
		})
}

func (b *builder) calendar() {
	b.line("Content-Type: text/calendar; charset=utf-8; method=REQUEST")
	b.line()
	b.line("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT")
	b.line("UID:", b.messageID(), "\r\nSUMMARY:", b.subject(), "\r\nEND:VEVENT\r\nEND:VCALENDAR")
}

func (b *builder) international() {
	words := languages[pick(b.gen, languageNames)]
	b.head(b.sentence(words, 3+b.IntN(10)))
	text := b.textOf(words, 300+b.IntN(2000))
	b.multipart("mixed", b.boundary(),
		func() {
			b.multipart("alternative", b.boundary(), func() { b.plain(text) }, func() { b.htmlPart(text) })
		},
		func() {
			b.attachment(Attachment{Name: b.sentence(words, 2) + ".pdf", Type: "application/pdf",
				Data: PDF(b.Uint64(), 3000)})
		})
}

func (b *builder) extendedParam() {
	b.multipart("mixed", b.boundary(),
		func() { b.plain(b.gen.text(100)) },
		func() {
			b.line("Content-Type: application/octet-stream;\r\n name*0=\"first part of \";\r\n name*1=\"the name.bin\"")
			b.line("Content-Disposition: attachment;\r\n filename*0*=utf-8'de'Gr%C3%B6%C3%9Fe%20;" +
				"\r\n filename*1*=%e2%82%ac%20;\r\n filename*2*=end.bin")
			b.line()
			b.line("x")
		},
		func() {
			b.line("Content-Type: image/gif; name=plain.gif")
			b.line("Content-Disposition: inline; filename=plain.gif; filename*=iso-8859-1''%e4.gif")
			b.line("Content-Transfer-Encoding: base64")
			b.line()
			b.WriteString(base64.StdEncoding.EncodeToString(Random(b.Uint64(), 40)))
		})
}

func (b *builder) thread() {
	b.field("Date", b.date())
	b.field("From", b.addressList(b.people(1)))
	b.field("To", b.addressList(b.people(3)))
	b.field("Subject", "Re: [list] "+b.subject())
	b.field("Message-ID", b.messageID())
	var ids []string
	for range 3 + b.IntN(60) {
		ids = append(ids, b.messageID())
	}
	b.field("References", strings.Join(ids, " "))
	b.field("In-Reply-To", ids[len(ids)-1])
	b.line("MIME-Version: 1.0")
	text := b.gen.text(200)
	for depth := range 4 {
		prefix := strings.Repeat("> ", depth+1)
		text += "\r\n" + prefix + strings.ReplaceAll(strings.TrimSpace(b.gen.text(400)), "\r\n", "\r\n"+prefix) + "\r\n"
	}
	b.plain(text)
}
