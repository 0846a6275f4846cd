package bench

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"mime"
	"strings"

	"golang.org/x/text/encoding/htmlindex"
)

// A builder writes one message.
type builder struct {
	bytes.Buffer
	source
	w      *world
	legacy bool // texts have the charset of older programs
}

func (b *builder) line(parts ...string) {
	for _, p := range parts {
		b.WriteString(p)
	}
	b.WriteString("\r\n")
}

func (b *builder) linef(format string, args ...any) {
	fmt.Fprintf(b, format, args...)
	b.WriteString("\r\n")
}

// encoded is a header text as mail programs write it: encoded words in UTF-8, base64 or
// quoted-printable.
func (b *builder) encoded(text string) string {
	if b.chance(50) {
		return strings.ReplaceAll(mime.BEncoding.Encode("utf-8", text), "?= =?", "?=\r\n =?")
	}
	return strings.ReplaceAll(mime.QEncoding.Encode("UTF-8", text), "?= =?", "?=\r\n =?")
}

// boundary returns a boundary as the program makes it.
func (b *builder) boundary(p program) string {
	switch p {
	case webmail:
		return "000000000000" + b.hex(16)
	case exchange:
		return "_00" + b.digits(1) + "_" + strings.ToUpper(b.hex(32)) + strings.ToUpper(b.hex(20)) + "_"
	case apple:
		return "Apple-Mail=_" + strings.ToUpper(b.uuid())
	case thunder:
		return "------------" + b.token(24)
	}
	return "----=_Part_" + b.digits(6) + "_" + b.digits(9) + "." + b.digits(13)
}

func (b *builder) uuid() string {
	return b.hex(8) + "-" + b.hex(4) + "-4" + b.hex(3) + "-a" + b.hex(3) + "-" + b.hex(12)
}

// multipart writes the header field and the parts, whose functions begin with the header.
func (b *builder) multipart(subtype, extra string, p program, parts ...func()) {
	if len(parts) == 1 {
		parts[0]()
		return
	}
	boundary := b.boundary(p)
	if p == exchange {
		b.line("Content-Type: multipart/", subtype, ";\r\n\t", extra, `boundary="`, boundary, `"`)
	} else {
		b.line("Content-Type: multipart/", subtype, "; ", extra, `boundary="`, boundary, `"`)
	}
	b.line()
	if p == apple || p == thunder && b.chance(50) {
		b.line()
	}
	if p == thunder {
		b.line("This is a multi-part message in MIME format.")
	}
	for _, part := range parts {
		b.line("--", boundary)
		part()
		b.line()
	}
	b.line("--", boundary, "--")
}

// text writes a part of text in the encoding that the program would choose.
func (b *builder) text(subtype, text string, l *lexicon, p program) {
	text = strings.ReplaceAll(text, "\n", "\r\n")
	ascii := strings.IndexFunc(text, func(r rune) bool { return r >= 0x80 }) < 0
	long := strings.IndexFunc(text, func(rune) bool { return false }) >= 0 || longestLine(text) > 990
	charset := "utf-8"
	switch p {
	case webmail, thunder:
		charset = "UTF-8"
	case exchange:
		if ascii {
			charset = "us-ascii"
		}
	}
	if older, ok := l.inOlderCharset(text); b.legacy && ok {
		text, charset = older, l.charset
		ascii = ascii || charset == "iso-2022-jp"
	}
	if p == exchange {
		b.line("Content-Type: text/", subtype, `; charset="`, charset, `"`)
	} else {
		b.line("Content-Type: text/", subtype, "; charset=", charset,
			pick(b.source, []string{"", "; format=flowed", ""}))
	}
	encoding := []string{"quoted-printable", "base64", "8bit"}[b.weighted([]int{60, 22, 18})]
	if ascii && !long && (subtype == "plain" || b.chance(30)) && b.chance(70) {
		encoding = "7bit"
	} else if long && encoding == "8bit" {
		encoding = "quoted-printable"
	}
	b.line("Content-Transfer-Encoding: ", encoding)
	b.line()
	switch encoding {
	case "quoted-printable":
		b.quotedPrintable([]byte(text), []int{76, 76, 76, 75, 73}[p%5])
	case "base64":
		b.base64([]byte(text), 76)
	default:
		b.WriteString(text)
	}
}

// inOlderCharset is a text in the charset that programs used before UTF-8; ok is false if that does
// not have all its characters.
func (l *lexicon) inOlderCharset(text string) (older string, ok bool) {
	encoding, err := htmlindex.Get(l.charset)
	if err != nil {
		return "", false
	}
	older, err = encoding.NewEncoder().String(strings.ReplaceAll(text, "charset=utf-8", "charset="+l.charset))
	return older, err == nil
}

func longestLine(text string) int {
	longest := 0
	for l := range strings.SplitSeq(text, "\r\n") {
		longest = max(longest, len(l))
	}
	return longest
}

// base64 writes data in lines of n characters; 0 for a single one.
func (b *builder) base64(data []byte, n int) {
	text := make([]byte, base64.StdEncoding.EncodedLen(len(data)))
	base64.StdEncoding.Encode(text, data)
	for n > 0 && len(text) > n {
		b.Write(text[:n])
		b.WriteString("\r\n")
		text = text[n:]
	}
	b.Write(text)
	b.WriteString("\r\n")
}

// quotedPrintable writes text, whose line ends are CRLF, in lines of at most limit characters
// (RFC 2045 section 6.7).
func (b *builder) quotedPrintable(text []byte, limit int) {
	const digits = "0123456789ABCDEF"
	column := 0
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '\r' && i+1 < len(text) && text[i+1] == '\n' {
			b.WriteString("\r\n")
			i++
			column = 0
			continue
		}
		atEnd := i+1 == len(text) || text[i+1] == '\r'
		token := []byte{c}
		if c == '=' || c < ' ' && c != '\t' || c >= 0x7f || (c == ' ' || c == '\t') && atEnd {
			token = []byte{'=', digits[c>>4], digits[c&15]}
		}
		room := limit
		if !atEnd {
			room--
		}
		if column+len(token) > room {
			b.WriteString("=\r\n")
			column = 0
		}
		b.Write(token)
		column += len(token)
	}
	b.WriteString("\r\n")
}
