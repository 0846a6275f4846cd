package bench

import (
	"bytes"
	"fmt"
	"html"
	"strings"
)

// textFiles are the sorts of attachments that compress well, and their weights.
var textFiles = []struct {
	weight     int
	name, kind string
	median     int
	write      func(b *bytes.Buffer, s source, l *lexicon, size int)
}{
	{24, ".csv", "text/csv", 50_000, writeCSV},
	{16, ".log", "text/plain", 50_000, writeLog},
	{14, ".xml", "application/xml", 40_000, writeXML},
	{8, ".json", "application/json", 30_000, writeJSON},
	{8, ".rtf", "application/rtf", 50_000, writeRTF},
	{9, ".html", "text/html", 30_000, writePage},
	{8, ".txt", "text/plain", 15_000, writeText},
	{6, ".ics", "text/calendar", 2500, writeCalendar},
	{4, ".vcf", "text/vcard", 1200, writeCards},
	{3, ".svg", "image/svg+xml", 20_000, writeDrawing},
}

// textFile makes a table, a log, a document in markup, or another of textFiles.
func (w *world) textFile(s source, l *lexicon, around func(median, most int) int) *file {
	weights := make([]int, len(textFiles))
	for i, t := range textFiles {
		weights[i] = t.weight
	}
	t := textFiles[s.weighted(weights)]
	var b bytes.Buffer
	t.write(&b, s, l, around(t.median*6/5, 1_000_000))
	return &file{l.words(s, 1) + s.digits(4) + t.name, t.kind, b.Bytes()}
}

func writeCSV(b *bytes.Buffer, s source, l *lexicon, size int) {
	b.WriteString("id;date;name;amount;status\r\n")
	for b.Len() < size {
		fmt.Fprintf(b, "%s;2024-%02d-%02d;%s;%d.%02d;%s\r\n", s.digits(6), 1+s.IntN(12), 1+
			s.IntN(28), l.words(s, 2), s.IntN(5000), s.IntN(100), pick(s, []string{"open", "paid", "late"}))
	}
}

func writeLog(b *bytes.Buffer, s source, l *lexicon, size int) {
	var messages []string
	for range 40 {
		messages = append(messages, l.words(s, 3+s.IntN(6)))
	}
	for at := when(s.IntN(3000)); b.Len() < size; {
		at = at.Add(when(s.IntN(3)).Sub(epoch) / 40)
		fmt.Fprintf(b, "%s %s [%s] %s: %s %d\n", at.Format("2006-01-02T15:04:05.000Z"),
			pick(s, []string{"INFO", "INFO", "WARN", "ERROR"}), s.hex(8), often(s, l.content),
			often(s, messages), s.IntN(10_000))
	}
}

func writeXML(b *bytes.Buffer, s source, l *lexicon, size int) {
	b.WriteString(xmlHead + "<Invoice xmlns:cbc=\"urn:oasis:names:specification:ubl:schema:xsd:Co" +
		"mmonBasicComponents-2\">\r\n")
	for k := 1; b.Len() < size; k++ {
		fmt.Fprintf(b, "  <cac:InvoiceLine>\r\n    <cbc:ID>%d</cbc:ID>\r\n"+
			"    <cbc:InvoicedQuantity unitCode=\"C62\">%d</cbc:InvoicedQuantity>\r\n"+
			"    <cbc:LineExtensionAmount currencyID=\"EUR\">%d.%02d</cbc:LineExtensionAmount>"+
			"\r\n    <cac:Item>\r\n      <cbc:Name>%s</cbc:Name>\r\n"+
			"      <cac:SellersItemIdentification><cbc:ID>%s</cbc:ID>"+
			"</cac:SellersItemIdentification>\r\n    </cac:Item>\r\n  </cac:InvoiceLine>\r\n", k, 1+
			s.IntN(20), s.IntN(3000), s.IntN(100), l.words(s, 3), s.digits(8))
	}
	b.WriteString("</Invoice>\r\n")
}

func writeJSON(b *bytes.Buffer, s source, l *lexicon, size int) {
	b.WriteString("[\n")
	for b.Len() < size {
		fmt.Fprintf(b, "  {\"id\": \"%s\", \"created\": %d, \"name\": \"%s\", \"active\": %t, "+
			"\"tags\": [\"%s\", \"%s\"], \"score\": %d.%d},\n", s.hex(24), epoch.Unix()+
			int64(s.IntN(9_000_000)), l.words(s, 2), s.chance(80), often(s, l.content),
			often(s, l.content), s.IntN(100), s.IntN(100))
	}
	b.WriteString("  {}\n]\n")
}

func writeRTF(b *bytes.Buffer, s source, l *lexicon, size int) {
	b.WriteString("{\\rtf1\\ansi\\ansicpg1252\\deff0{\\fonttbl{\\f0\\fswiss\\fcharset0 Arial;}}\r\n")
	for b.Len() < size {
		if s.chance(6) { // a picture, in hexadecimal
			b.WriteString("{\\pict\\jpegblip\\picw1200\\pich800\r\n")
			for range 40 + s.IntN(100) {
				b.WriteString(s.hex(128) + "\r\n")
			}
			b.WriteString("}\r\n")
		}
		b.WriteString("\\pard\\plain \\f0\\fs22\\lang1033 ")
		for _, r := range l.sentence(s) {
			if r < 0x80 {
				b.WriteRune(r)
			} else {
				fmt.Fprintf(b, "\\u%d?", r)
			}
		}
		b.WriteString("\\par\r\n")
	}
	b.WriteString("}\r\n")
}

func writePage(b *bytes.Buffer, s source, l *lexicon, size int) {
	b.WriteString("<!DOCTYPE html>\r\n<html><head><meta charset=\"utf-8\"><title>" + l.words(s, 3) +
		"</title></head><body><table>\r\n")
	for b.Len() < size {
		fmt.Fprintf(b, "<tr class=\"row\"><td class=\"num\">%d</td><td><a href=\"https://www.example.com/%s/%s\">%s</a></td><td>%s</td></tr>\r\n", s.IntN(10_000), often(s, l.content), s.hex(8), l.words(s, 2), html.EscapeString(l.sentence(s)))
	}
	b.WriteString("</table></body></html>\r\n")
}

func writeText(b *bytes.Buffer, s source, l *lexicon, size int) {
	for _, p := range l.paragraphs(s, size) {
		b.WriteString(strings.ReplaceAll(wrap(p, 76), "\n", "\r\n") + "\r\n\r\n")
	}
}

func writeCalendar(b *bytes.Buffer, s source, l *lexicon, size int) {
	b.WriteString("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//" + l.words(s, 1) + "//EN\r\nMETHOD:REQUEST\r\n")
	for b.Len() < size {
		fmt.Fprintf(b, "BEGIN:VEVENT\r\nUID:%s@%s.example\r\nDTSTAMP:20240108T070000Z\r\n"+
			"DTSTART:202401%02dT%02d0000Z\r\nSUMMARY:%s\r\nDESCRIPTION:%s\r\nEND:VEVENT\r\n",
			s.hex(32), s.hex(6), 1+s.IntN(28), s.IntN(24), l.words(s, 3), l.sentence(s))
	}
	b.WriteString("END:VCALENDAR\r\n")
}

func writeCards(b *bytes.Buffer, s source, l *lexicon, size int) {
	for b.Len() < size {
		fmt.Fprintf(b, "BEGIN:VCARD\r\nVERSION:3.0\r\nN:%s;%s;;;\r\nFN:%s\r\n"+
			"TEL;TYPE=CELL:+49%s\r\nEMAIL;TYPE=INTERNET:%s@example.com\r\nEND:VCARD\r\n",
			capital(l.word(s)), capital(l.word(s)), l.words(s, 2), s.digits(10), s.hex(8))
	}
}

func writeDrawing(b *bytes.Buffer, s source, _ *lexicon, size int) {
	b.WriteString("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"800\" height=\"600\" viewBox=\"0 0 800 600\">\n")
	for b.Len() < size {
		fmt.Fprintf(b, "<path d=\"M%d.%d %d.%dl%d.%d %d.%d %d.%d-%d.%dz\" fill=\"#%s\" "+
			"stroke=\"none\"/>\n", s.IntN(800), s.IntN(100), s.IntN(600), s.IntN(100), s.IntN(30),
			s.IntN(100), s.IntN(30), s.IntN(100), s.IntN(30), s.IntN(100), s.IntN(30), s.IntN(100),
			pick(s, []string{"336699", "cc0000", "eeeeee", "222222"}))
	}
	b.WriteString("</svg>\n")
}
