package bench

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"strings"
	"unicode/utf16"
)

// A file is an attachment.
type file struct {
	name, kind string // kind is the media type
	data       []byte
}

// must is for writers into memory, which do not fail.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// fileWeights: images, PDF, office, archives, other text.
var fileWeights = []int{38, 32, 17, 6, 7}

// newFile makes the file of a number: always the same.
func (w *world) newFile(n int) *file {
	s := newSource(w.seed, "file", n)
	l := w.lexicon[languages[s.weighted(languageWeights)].code]
	switch s.weighted(fileWeights) {
	case 0:
		return w.image(s, s.around(55_000, 1.25, 4_000_000))
	case 1:
		return w.pdf(s, l, s.around(45_000, 1.25, 4_000_000))
	case 2:
		return w.office(s, l, s.around(22_000, 1.2, 3_000_000))
	case 3:
		return w.archive(s, l, s.around(40_000, 1.3, 4_000_000))
	}
	return w.data(s, l, s.around(9_000, 1.2, 800_000))
}

// image is a photograph: a header that says where it was taken, then entropy-coded bytes, which do not compress.
func (w *world) image(s source, size int) *file {
	var b bytes.Buffer
	if s.chance(25) {
		b.WriteString("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x05\xa0\x00\x00\x03\x84\x08\x06\x00\x00\x00")
		for b.Len() < size {
			n := min(8192, size)
			fmt.Fprintf(&b, "\x00\x00%c%cIDAT", n>>8, n)
			b.Write(s.bytes(n + 4))
		}
		b.WriteString("\x00\x00\x00\x00IEND\xaeB`\x82")
		return &file{"Screenshot " + s.digits(4) + "-" + s.digits(2) + ".png", "image/png", b.Bytes()}
	}
	b.WriteString("\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x48\x00\x48\x00\x00\xff\xe1\x01\x42Exif\x00\x00II*\x00\x08\x00\x00\x00")
	fmt.Fprintf(&b, "Camera %s\x00%s\x00%s:%s:%s %s:%s:%s\x00", s.token(4), s.token(6), "2024", "01", s.digits(2), s.digits(2), s.digits(2), s.digits(2))
	b.Write(make([]byte, 200))
	for q := range 64 { // a quantization table
		b.WriteByte(byte(8 + q*2))
	}
	scan := s.bytes(max(size-b.Len(), 100))
	b.Write(bytes.ReplaceAll(scan, []byte{0xff}, []byte{0xff, 0})) // byte stuffing
	b.WriteString("\xff\xd9")
	return &file{"IMG_" + s.digits(4) + pick(s, []string{".jpg", ".jpeg", ".JPG"}), "image/jpeg", b.Bytes()}
}

func deflated(data []byte) []byte {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, err := z.Write(data)
	must(err)
	must(z.Close())
	return b.Bytes()
}

// operators is a page of a PDF: text with its positions.
func operators(s source, l *lexicon, size int) []byte {
	var b bytes.Buffer
	b.WriteString("q\nBT\n/F1 10.5 Tf\n")
	for b.Len() < size {
		fmt.Fprintf(&b, "1 0 0 1 %d.%02d %d.%02d Tm\n[(%s) %d (%s)] TJ\n", 50+s.IntN(60), s.IntN(100), 100+s.IntN(650), s.IntN(100), l.words(s, 1+s.IntN(5)), -s.IntN(300), l.words(s, 1+s.IntN(4)))
	}
	b.WriteString("ET\nQ\n")
	return b.Bytes()
}

// pdf has pages, fonts and pictures in deflate streams, some metadata and the tables between them as they are.
func (w *world) pdf(s source, l *lexicon, size int) *file {
	var b bytes.Buffer
	b.WriteString("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
	var offsets []int
	object := func(dict string, stream []byte) {
		offsets = append(offsets, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n", len(offsets))
		if stream == nil {
			b.WriteString("<< " + dict + " >>\nendobj\n")
			return
		}
		fmt.Fprintf(&b, "<< %s /Length %d >>\nstream\n", dict, len(stream))
		b.Write(stream)
		b.WriteString("\nendstream\nendobj\n")
	}
	meta := "<?xpacket begin=\"\xef\xbb\xbf\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n<x:xmpmeta xmlns:x=\"adobe:ns:meta/\"><rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\n<rdf:Description rdf:about=\"\" xmlns:dc=\"http://purl.org/dc/elements/1.1/\"><dc:title>" + l.words(s, 5) + "</dc:title></rdf:Description>\n</rdf:RDF></x:xmpmeta>\n" + strings.Repeat(strings.Repeat(" ", 99)+"\n", 20) + "<?xpacket end=\"w\"?>"
	object("/Type /Catalog /Pages 2 0 R /Metadata 3 0 R", nil)
	object("/Type /Pages /Kids [4 0 R] /Count 1", nil)
	object("/Type /Metadata /Subtype /XML", []byte(meta))
	for b.Len() < size {
		switch s.IntN(6) {
		case 0: // a picture
			object("/Type /XObject /Subtype /Image /Width 640 /Height 480 /ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /DCTDecode", s.bytes(3000+s.IntN(30000)))
		case 1: // a part of a font: outlines
			object("/Filter /FlateDecode /Length1 "+s.digits(5), deflated(s.bytes(4000+s.IntN(9000))))
		default:
			object("/Type /Page /Parent 2 0 R /MediaBox [0 0 595.32 841.92] /Contents "+fmt.Sprint(len(offsets)+2)+" 0 R /Resources << /Font << /F1 9 0 R >> /ProcSet [/PDF /Text /ImageB /ImageC] >>", nil)
			object("/Filter /FlateDecode", deflated(operators(s, l, 2500+s.IntN(9000))))
		}
	}
	start := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(offsets)+1)
	for _, o := range offsets {
		fmt.Fprintf(&b, "%010d 00000 n \n", o)
	}
	fmt.Fprintf(&b, "trailer\n<< /Size %d /Root 1 0 R /ID [<%s> <%s>] >>\nstartxref\n%d\n%%%%EOF\n", len(offsets)+1, s.hex(32), s.hex(32), start)
	return &file{pick(s, []string{"Invoice_", "scan", "Document-", "report ", "Angebot_"}) + s.digits(5) + ".pdf", "application/pdf", b.Bytes()}
}

// binaryOffice is a document as office programs wrote them before they used zip: text in UTF-16, tables of properties, padding,
// pictures as they are.
func (w *world) binaryOffice(s source, l *lexicon, size int) *file {
	var b bytes.Buffer
	b.WriteString("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
	sector := func() {
		if rest := b.Len() % 512; rest > 0 {
			b.Write(make([]byte, 512-rest))
		}
	}
	for b.Len() < size {
		switch s.IntN(3) {
		case 0:
			for _, p := range l.paragraphs(s, 3000+s.IntN(9000)) {
				for _, unit := range utf16.Encode([]rune(p)) {
					b.WriteByte(byte(unit))
					b.WriteByte(byte(unit >> 8))
				}
				b.WriteString("\r\x00")
			}
		case 1:
			for at := range 200 + s.IntN(400) {
				fmt.Fprintf(&b, "%c\x00\x00\x00%c\x00%c\x00\x00\x00%s\x00", at&0x7f, s.IntN(128), s.IntN(16), s.bytes(3))
			}
		default:
			b.Write(s.bytes(2000 + s.IntN(20_000)))
		}
		sector()
	}
	if s.chance(50) {
		return &file{l.words(s, 2) + ".doc", "application/msword", b.Bytes()}
	}
	return &file{l.words(s, 2) + ".xls", "application/vnd.ms-excel", b.Bytes()}
}

func (w *world) office(s source, l *lexicon, size int) *file {
	if s.chance(25) {
		return w.binaryOffice(s, l, size*2)
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	add := func(name string, data []byte) {
		f, err := z.Create(name)
		must(err)
		_, err = f.Write(data)
		must(err)
	}
	add("[Content_Types].xml", []byte(`<?xml version="1.0" encoding="UTF-8" standalone="yes"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/></Types>`))
	add("_rels/.rels", []byte(`<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Target="word/document.xml"/></Relationships>`))
	var doc strings.Builder
	doc.WriteString(`<?xml version="1.0" encoding="UTF-8" standalone="yes"?><w:document><w:body>`)
	text := min(size*2, 200_000)
	for _, p := range l.paragraphs(s, text) {
		fmt.Fprintf(&doc, `<w:p w:rsidR="%s" w:rsidRDefault="%s"><w:r><w:rPr><w:lang w:val="%s"/></w:rPr><w:t xml:space="preserve">%s</w:t></w:r></w:p>`, strings.ToUpper(s.hex(8)), strings.ToUpper(s.hex(8)), l.code, p)
	}
	doc.WriteString(`</w:body></w:document>`)
	add("word/document.xml", []byte(doc.String()))
	for k := 1; b.Len() < size; k++ {
		add(fmt.Sprintf("word/media/image%d.png", k), s.bytes(min(size, 3000+s.IntN(60000))))
	}
	must(z.Close())
	kind := s.IntN(3)
	return &file{l.words(s, 2) + []string{".docx", ".xlsx", ".pptx"}[kind], "application/vnd.openxmlformats-officedocument." + []string{"wordprocessingml.document", "spreadsheetml.sheet", "presentationml.presentation"}[kind], b.Bytes()}
}

func (w *world) archive(s source, l *lexicon, size int) *file {
	var b bytes.Buffer
	content := func() []byte {
		if s.chance(50) {
			return s.bytes(1000 + s.IntN(30000))
		}
		return []byte(strings.Join(l.paragraphs(s, 2000+s.IntN(60000)), "\n\n"))
	}
	if s.chance(60) {
		z := zip.NewWriter(&b)
		for k := 0; b.Len() < size; k++ {
			f, err := z.Create(fmt.Sprintf("%s/%d.dat", l.words(s, 1), k))
			must(err)
			_, err = f.Write(content())
			must(err)
			must(z.Flush())
		}
		must(z.Close())
		return &file{"archive-" + s.digits(3) + ".zip", "application/zip", b.Bytes()}
	}
	g := gzip.NewWriter(&b)
	t := tar.NewWriter(g)
	for k := 0; b.Len() < size; k++ {
		data := content()
		must(t.WriteHeader(&tar.Header{Name: fmt.Sprintf("logs/%d.log", k), Mode: 0o644, Size: int64(len(data))}))
		_, err := t.Write(data)
		must(err)
		must(t.Flush())
		must(g.Flush())
	}
	must(t.Close())
	must(g.Close())
	return &file{"logs-" + s.digits(4) + ".tar.gz", "application/gzip", b.Bytes()}
}

// data is text that is attached: tables, logs, calendars.
func (w *world) data(s source, l *lexicon, size int) *file {
	var b bytes.Buffer
	switch s.IntN(3) {
	case 0:
		b.WriteString("id;date;name;amount;status\r\n")
		for b.Len() < size {
			fmt.Fprintf(&b, "%s;2024-%02d-%02d;%s;%d.%02d;%s\r\n", s.digits(6), 1+s.IntN(12), 1+s.IntN(28), l.words(s, 2), s.IntN(5000), s.IntN(100), pick(s, []string{"open", "paid", "late"}))
		}
		return &file{"export_" + s.digits(4) + ".csv", "text/csv", b.Bytes()}
	case 1:
		for b.Len() < size {
			fmt.Fprintf(&b, "2024-01-%02dT%02d:%02d:%02d.%sZ %s [%s] %s: %s\n", 1+s.IntN(28), s.IntN(24), s.IntN(60), s.IntN(60), s.digits(3), pick(s, []string{"INFO", "INFO", "WARN", "ERROR"}), s.hex(8), often(s, l.content), l.words(s, 3+s.IntN(6)))
		}
		return &file{"server.log", "text/plain", b.Bytes()}
	}
	b.WriteString("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//" + l.words(s, 1) + "//EN\r\nMETHOD:REQUEST\r\n")
	for b.Len() < min(size, 6000) {
		fmt.Fprintf(&b, "BEGIN:VEVENT\r\nUID:%s@%s\r\nDTSTAMP:20240108T070000Z\r\nDTSTART:202401%02dT%02d0000Z\r\nSUMMARY:%s\r\nDESCRIPTION:%s\r\nEND:VEVENT\r\n", s.hex(32), w.mx[0], 1+s.IntN(28), s.IntN(24), l.words(s, 3), l.sentence(s))
	}
	b.WriteString("END:VCALENDAR\r\n")
	return &file{"invite.ics", "text/calendar", b.Bytes()}
}
