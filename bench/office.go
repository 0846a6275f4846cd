package bench

import (
	"archive/zip"
	"bytes"
	"fmt"
	"strings"
	"unicode/utf16"
)

// office makes a document of a current office program, or of an older one that did not use zip.
func (w *world) office(s source, l *lexicon, size int, packed bool) *file {
	if s.chance(36) && !packed {
		return binaryOffice(s, l, size*2)
	}
	return zipOffice(s, l, size)
}

// zipPackage is a document of many parts in a zip file.
type zipPackage struct {
	bytes.Buffer
	z *zip.Writer
}

func (p *zipPackage) add(name string, data []byte, method uint16) {
	header := &zip.FileHeader{Name: name, Method: method}
	if strings.Contains(name, "rels/.rels") || strings.HasPrefix(name, "[") {
		// Place to grow, as the most frequent office programs leave it.
		header.Extra = append([]byte{0x20, 0xa2, 0x04, 0x02, 0x28, 0xa0}, make([]byte, 0x200)...)
	}
	f, err := p.z.CreateHeader(header)
	must(err)
	_, err = f.Write(data)
	must(err)
	must(p.z.Flush())
}

const xmlHead = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>` + "\r\n"

// relations returns the part that lists the parts to which another one refers.
func relations(s source, n int) []byte {
	var b bytes.Buffer
	b.WriteString(xmlHead + `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">`)
	for k := range n {
		fmt.Fprintf(&b, `<Relationship Id="rId%d" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/%s" Target="../part%s.xml"/>`, k+1, pick(s, []string{"image", "slideLayout", "hyperlink", "theme", "styles"}), s.digits(2))
	}
	b.WriteString(`</Relationships>`)
	return b.Bytes()
}

// zipOffice is a text document, a table or a presentation: XML that is deflated, pictures that are
// stored.
func zipOffice(s source, l *lexicon, size int) *file {
	p := &zipPackage{}
	p.z = zip.NewWriter(p)
	kind := s.weighted([]int{45, 33, 22})
	p.add("[Content_Types].xml", []byte(xmlHead+`<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/></Types>`), zip.Deflate)
	p.add("_rels/.rels", relations(s, 4), zip.Deflate)
	p.add("docProps/core.xml", []byte(xmlHead+`<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties"><dc:title>`+l.words(s, 4)+`</dc:title><cp:lastModifiedBy>`+l.words(s, 2)+`</cp:lastModifiedBy></cp:coreProperties>`), zip.Deflate)
	var styles strings.Builder
	for k := range 120 {
		fmt.Fprintf(&styles, `<w:style w:type="paragraph" w:styleId="s%d"><w:name w:val="heading %d"/><w:basedOn w:val="s%d"/><w:uiPriority w:val="%d"/><w:rPr><w:color w:val="%s"/><w:sz w:val="%d"/></w:rPr></w:style>`, k, k, s.IntN(k+1), s.IntN(99), s.hex(6), 16+s.IntN(40))
	}
	p.add("styles.xml", []byte(xmlHead+"<w:styles>"+styles.String()+"</w:styles>"), zip.Deflate)
	for _, part := range smallParts {
		p.add([]string{"word/", "xl/", "ppt/"}[kind]+part, relations(s, 1+s.IntN(4)), zip.Deflate)
	}
	switch kind {
	case 0:
		p.add("word/document.xml", []byte(documentXML(s, l, min(size, 200_000))), zip.Deflate)
	case 1:
		for sheet := 1; sheet <= 1+s.IntN(3); sheet++ {
			p.add(fmt.Sprintf("xl/worksheets/sheet%d.xml", sheet),
				[]byte(sheetXML(s, min(size*2, 600_000))), zip.Deflate)
		}
		p.add("xl/sharedStrings.xml", []byte(xmlHead+"<sst><si><t>"+
			strings.Join(strings.Fields(strings.Join(l.paragraphs(s, min(size/2, 100_000)), " ")),
				"</t></si><si><t>")+"</t></si></sst>"), zip.Deflate)
	default:
		for slide := 1; slide <= 4+s.IntN(20); slide++ {
			p.add(fmt.Sprintf("ppt/slides/slide%d.xml", slide), []byte(slideXML(s, l)), zip.Deflate)
			p.add(fmt.Sprintf("ppt/slides/_rels/slide%d.xml.rels", slide), relations(s, 1+s.IntN(3)), zip.Deflate)
		}
		for layout := 1; layout <= 11; layout++ {
			p.add(fmt.Sprintf("ppt/slideLayouts/slideLayout%d.xml", layout), []byte(slideXML(s, l)), zip.Deflate)
			p.add(fmt.Sprintf("ppt/slideLayouts/_rels/slideLayout%d.xml.rels", layout), relations(s, 1), zip.Deflate)
		}
	}
	for k := 1; p.Len() < size; k++ {
		p.add(fmt.Sprintf("media/image%d.png", k), s.bytes(min(size, 3000+s.IntN(60000))), zip.Store)
	}
	must(p.z.Close())
	return &file{l.words(s, 2) + []string{".docx", ".xlsx", ".pptx"}[kind],
		"application/vnd.openxmlformats-officedocument." + []string{"wordprocessingml.document",
			"spreadsheetml.sheet", "presentationml.presentation"}[kind], p.Bytes()}
}

// smallParts are parts that nearly every document has.
var smallParts = []string{"settings.xml", "webSettings.xml", "fontTable.xml", "theme/theme1.xml",
	"numbering.xml", "_rels/document.xml.rels",
	"footnotes.xml", "endnotes.xml", "header1.xml", "footer1.xml", "customXml/item1.xml", "customXml/itemProps1.xml"}

func documentXML(s source, l *lexicon, size int) string {
	var b strings.Builder
	b.WriteString(xmlHead + `<w:document><w:body>`)
	for _, p := range l.paragraphs(s, size) {
		fmt.Fprintf(&b, `<w:p w:rsidR="%s" w:rsidRDefault="%s"><w:r><w:rPr><w:lang w:val="%s"/></w:rPr><w:t xml:space="preserve">%s</w:t></w:r></w:p>`, strings.ToUpper(s.hex(8)), strings.ToUpper(s.hex(8)), l.code, p)
	}
	return b.String() + `</w:body></w:document>`
}

func sheetXML(s source, size int) string {
	var b strings.Builder
	b.WriteString(xmlHead + `<worksheet><sheetData>`)
	for row := 1; b.Len() < size; row++ {
		fmt.Fprintf(&b, `<row r="%d" spans="1:6">`, row)
		for column := range 6 {
			if column < 2 {
				fmt.Fprintf(&b, `<c r="%c%d" s="3" t="s"><v>%d</v></c>`, 'A'+column, row, s.IntN(400))
			} else {
				fmt.Fprintf(&b, `<c r="%c%d" s="7"><v>%d.%02d</v></c>`, 'A'+column, row, s.IntN(9000), s.IntN(100))
			}
		}
		b.WriteString(`</row>`)
	}
	return b.String() + `</sheetData></worksheet>`
}

func slideXML(s source, l *lexicon) string {
	var b strings.Builder
	b.WriteString(xmlHead + `<p:sld xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"><p:cSld><p:spTree>`)
	for k := range 3 + s.IntN(6) {
		fmt.Fprintf(&b, `<p:sp><p:nvSpPr><p:cNvPr id="%d" name="Title %d"/><p:cNvSpPr><a:spLocks noGrp="1"/></p:cNvSpPr></p:nvSpPr><p:spPr><a:xfrm><a:off x="%d" y="%d"/><a:ext cx="%d" cy="%d"/></a:xfrm></p:spPr><p:txBody><a:bodyPr/><a:p><a:r><a:rPr lang="%s" dirty="0"/><a:t>%s</a:t></a:r></a:p></p:txBody></p:sp>`,
			k+2, k+1, s.IntN(9_000_000), s.IntN(6_000_000), s.IntN(9_000_000), s.IntN(6_000_000), l.code, l.sentence(s))
	}
	return b.String() + `</p:spTree></p:cSld></p:sld>`
}

// binaryOffice makes a document as office programs wrote it before they used zip: text in UTF-16 or
// one byte, tables of properties and sectors, padding, pictures as they are.
func binaryOffice(s source, l *lexicon, size int) *file {
	var b bytes.Buffer
	b.WriteString("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
	sector := func() {
		if rest := b.Len() % 512; rest > 0 {
			b.Write(make([]byte, 512-rest))
		}
	}
	kind := s.weighted([]int{45, 35, 20})
	pictures := []int{10, 4, 35}[kind]
	for b.Len() < size {
		switch p := s.IntN(100); {
		case p < pictures:
			b.Write(s.bytes(2000 + s.IntN(20_000)))
		case p < pictures+30:
			for _, p := range l.paragraphs(s, 1500+s.IntN(6000)) {
				for _, unit := range utf16.Encode([]rune(p)) {
					b.WriteByte(byte(unit))
					b.WriteByte(byte(unit >> 8))
				}
				b.WriteString("\r\x00")
			}
		case p < pictures+40: // which sectors follow which
			for at := range 1000 {
				b.Write([]byte{byte(at + 1), byte((at + 1) >> 8), 0, 0})
			}
		default: // cells, or properties of paragraphs
			for at := range 200 + s.IntN(400) {
				fmt.Fprintf(&b, "%c\x02\x0e\x00%c\x00%c\x00\x0f\x00\x00\x00%s\x00", at&0x7f,
					at>>3&0x7f, s.IntN(8), s.bytes(3))
			}
		}
		sector()
	}
	b.Write(make([]byte, 4096))
	return &file{l.words(s, 2) + []string{".doc", ".xls", ".ppt"}[kind],
		[]string{"application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint"}[kind], b.Bytes()}
}
