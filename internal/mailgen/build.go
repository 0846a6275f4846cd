package mailgen

import (
	"bytes"
	"encoding/base64"
	"mime"
	"strings"
	"time"
)

// An Attachment is a part with a file.
type Attachment struct {
	Name string // file name, any Unicode; empty for none
	Type string // media type; application/octet-stream if empty
	Data []byte

	// Inline gives the part Content-Disposition: inline and the Content-ID <name>.
	Inline bool
	// LineLength of the base64 text; 76 if 0. It need not be a multiple of 4.
	LineLength int
}

// A message under construction. Methods append to it; lines end in CRLF.
type builder struct {
	gen
	bytes.Buffer
	boundaries int
}

func newBuilder(seed, stream uint64) *builder { return &builder{gen: newGen(seed, stream)} }

// line appends s and CRLF.
func (b *builder) line(s ...string) {
	for _, s := range s {
		b.WriteString(s)
	}
	b.WriteString("\r\n")
}

// field appends a header field, folded at spaces after 76 octets.
func (b *builder) field(name, value string) {
	column := len(name) + 2
	b.WriteString(name + ": ")
	for i, word := range strings.Split(value, " ") {
		if i > 0 {
			if column+1+len(word) > 76 {
				b.WriteString("\r\n")
				column = 0
			}
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	b.WriteString("\r\n")
}

// word encodes s for a header if it needs that, in one of the two ways.
func (b *builder) word(s string) string {
	if b.chance(50) {
		return mime.QEncoding.Encode("utf-8", s)
	}
	return mime.BEncoding.Encode("UTF-8", s)
}

func (b *builder) addressList(list []person) string {
	var out []string
	for _, p := range list {
		name := p.name
		if encoded := b.word(name); encoded != name {
			name = encoded
		} else if b.chance(30) || strings.ContainsAny(name, ".,'") {
			name = `"` + name + `"`
		}
		switch {
		case b.chance(15):
			out = append(out, p.address)
		default:
			out = append(out, name+" <"+p.address+">")
		}
	}
	return strings.Join(out, ", ")
}

// epoch is the day of the first generated mail.
var epoch = time.Date(2019, time.March, 4, 8, 0, 0, 0, time.UTC)

func (b *builder) date() string {
	zone := time.FixedZone("", (b.IntN(25)-12)*3600+b.IntN(2)*1800)
	return epoch.Add(time.Duration(b.IntN(7*365*24*3600)) * time.Second).In(zone).Format(time.RFC1123Z)
}

func (b *builder) messageID() string {
	const digits = "0123456789abcdefghijklmnopqrstuvwxyz"
	var sb strings.Builder
	for range 16 + b.IntN(12) {
		sb.WriteByte(digits[b.IntN(len(digits))])
	}
	return "<" + sb.String() + "@" + pick(b.gen, domains) + ">"
}

// head appends the usual fields of a message, without those of its body.
func (b *builder) head(subject string) {
	b.field("Date", b.date())
	b.field("From", b.addressList(b.people(1)))
	if b.chance(10) {
		b.field("Sender", b.addressList(b.people(1)))
	}
	if b.chance(15) {
		b.field("Reply-To", b.addressList(b.people(1)))
	}
	b.field("To", b.addressList(b.people(4)))
	if b.chance(30) {
		b.field("Cc", b.addressList(b.people(6)))
	}
	if b.chance(5) {
		b.field("Bcc", b.addressList(b.people(2)))
	}
	b.field("Subject", b.word(subject))
	b.field("Message-ID", b.messageID())
	if b.chance(40) {
		id := b.messageID()
		b.field("In-Reply-To", id)
		b.field("References", b.messageID()+" "+id)
	}
	if b.chance(50) {
		b.field("X-Mailer", "Mailgen "+itoa(b.IntN(20)))
	}
	b.line("MIME-Version: 1.0")
}

func (b *builder) boundary() string {
	b.boundaries++
	const digits = "0123456789abcdefABCDEF'()+_,-./:=?"
	var sb strings.Builder
	for range 8 + b.IntN(40) {
		sb.WriteByte(digits[b.IntN(len(digits))])
	}
	return "=_" + sb.String() + "_" + itoa(b.boundaries)
}

// multipart appends a Content-Type field, and the parts between boundary lines.
func (b *builder) multipart(subtype, boundary string, parts ...func()) {
	b.line("Content-Type: multipart/", subtype, ";\r\n boundary=\"", boundary, `"`)
	b.line()
	b.between(boundary, parts...)
}

// between appends a multipart's body.
func (b *builder) between(boundary string, parts ...func()) {
	if b.chance(50) {
		b.line("This is a multi-part message in MIME format.")
	}
	for _, part := range parts {
		b.WriteString("\r\n--" + boundary + "\r\n")
		part()
	}
	b.WriteString("\r\n--" + boundary + "--\r\n")
	if b.chance(10) {
		b.line("epilogue")
	}
}

// plain and html are text parts, header fields included; text has CRLF.
func (b *builder) plain(text string)    { b.text("plain", text) }
func (b *builder) htmlPart(text string) { b.text("html", b.html(text)) }

func (b *builder) text(subtype, text string) {
	ascii := strings.IndexFunc(text, func(r rune) bool { return r >= 0x80 }) < 0
	charset := "utf-8"
	if ascii {
		charset = pick(b.gen, []string{"us-ascii", "utf-8", "UTF-8", "iso-8859-1", ""})
	}
	if charset == "" {
		b.line("Content-Type: text/", subtype)
	} else {
		b.line("Content-Type: text/", subtype, `; charset="`, charset, `"`)
	}
	switch b.IntN(4) {
	case 0:
		b.line("Content-Transfer-Encoding: quoted-printable")
		b.line()
		b.WriteString(quotedPrintable(text))
	case 1:
		b.line("Content-Transfer-Encoding: base64")
		b.line()
		b.base64([]byte(text), 76)
	default:
		if ascii {
			b.line("Content-Transfer-Encoding: 7bit")
		} else {
			b.line("Content-Transfer-Encoding: 8bit")
		}
		b.line()
		b.WriteString(text)
	}
}

// attachment appends a part with a file in base64.
func (b *builder) attachment(a Attachment) {
	typ := a.Type
	if typ == "" {
		typ = "application/octet-stream"
	}
	disposition := "attachment"
	if a.Inline {
		disposition = "inline"
		b.line("Content-ID: <", a.Name, ">")
	}
	switch {
	case a.Name == "":
		b.line("Content-Type: ", typ)
		b.line("Content-Disposition: ", disposition)
	case b.chance(50):
		b.line("Content-Type: ", typ, ";\r\n name=\"", b.word(a.Name), `"`)
		b.line("Content-Disposition: ", disposition, ";\r\n filename=\"", b.word(a.Name), `"; size=`, itoa(len(a.Data)))
	default:
		b.line("Content-Type: ", typ)
		b.line("Content-Disposition: ", mime.FormatMediaType(disposition, map[string]string{"filename": a.Name}))
	}
	b.line("Content-Transfer-Encoding: base64")
	b.line()
	length := a.LineLength
	if length == 0 {
		length = 76
	}
	b.base64(a.Data, length)
}

// base64 appends data in lines of n digits. The last line has a line end too.
func (b *builder) base64(data []byte, n int) {
	text := make([]byte, base64.StdEncoding.EncodedLen(len(data)))
	base64.StdEncoding.Encode(text, data)
	for len(text) > 0 {
		k := min(n, len(text))
		b.Write(text[:k])
		b.WriteString("\r\n")
		text = text[k:]
	}
}

// quotedPrintable encodes text whose line ends are CRLF.
func quotedPrintable(text string) string {
	const hex = "0123456789ABCDEF"
	var sb strings.Builder
	for line := range strings.SplitSeq(text, "\r\n") {
		column := 0
		for i := range len(line) {
			c := line[i]
			plain := c >= ' ' && c < 0x7f && c != '=' || c == '\t'
			if (c == ' ' || c == '\t') && i == len(line)-1 {
				plain = false
			}
			if column >= 72 {
				sb.WriteString("=\r\n")
				column = 0
			}
			if plain {
				sb.WriteByte(c)
				column++
			} else {
				sb.Write([]byte{'=', hex[c>>4], hex[c&15]})
				column += 3
			}
		}
		sb.WriteString("\r\n")
	}
	return strings.TrimSuffix(sb.String(), "\r\n")
}

// Mixed returns a message with some text and the given attachments.
func Mixed(seed uint64, attachments ...Attachment) []byte {
	b := newBuilder(seed, 4)
	b.head(b.subject())
	parts := []func(){func() { b.plain(b.gen.text(200 + b.IntN(1000))) }}
	for _, a := range attachments {
		parts = append(parts, func() { b.attachment(a) })
	}
	b.multipart("mixed", b.boundary(), parts...)
	return b.Bytes()
}
