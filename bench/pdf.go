package bench

import (
	"bytes"
	"encoding/ascii85"
	"fmt"
	"strings"
)

// Producers of PDF files differ in what they compress.
type pdfProducer int

const (
	scanner pdfProducer = iota // a picture for each page, and little else
	// streams compressed; structure, widths and tables of a tagged document are not
	officePDF
	// everything compressed, dictionaries too (object streams, PDF 1.5)
	typesetter
	// programs that write invoices and reports: nothing compressed, pictures in ASCII
	reporter
)

// pdfWeights and packedPDFWeights are the shares of the producers, in per cent.
var (
	pdfWeights       = []int{25, 46, 12, 17}
	packedPDFWeights = []int{45, 0, 55, 0}
)

func (w *world) pdf(s source, l *lexicon, around func(median, most int) int, packed bool) *file {
	weights := pdfWeights
	if packed {
		weights = packedPDFWeights
	}
	p := &pdfWriter{source: s, l: l, producer: pdfProducer(s.weighted(weights))}
	p.WriteString("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
	size := around(70_000, 1_500_000)
	switch p.producer {
	case scanner:
		size = size * 3 / 2
	case reporter:
		size = size*3/4 + 4000
	}
	p.object("/Type /Catalog /Pages 2 0 R /Metadata 3 0 R")
	p.object("/Type /Pages /Kids [4 0 R] /Count 1")
	p.stream("/Type /Metadata /Subtype /XML", []byte(xmp(l.words(s, 5))))
	for p.Len()+p.packed.Len()/4 < size {
		p.page()
	}
	p.end()
	return &file{pick(s, []string{"Invoice_", "scan", "Document-", "report ", "Angebot_"}) +
		s.digits(5) + ".pdf", "application/pdf", p.Bytes()}
}

// A pdfWriter writes objects and remembers where they are.
type pdfWriter struct {
	bytes.Buffer
	source
	l        *lexicon
	producer pdfProducer
	offsets  []int
	packed   bytes.Buffer // objects for an object stream
}

func (p *pdfWriter) next() int { return len(p.offsets) + 1 }

// object writes a dictionary.
func (p *pdfWriter) object(dict string) {
	if p.producer == typesetter {
		p.offsets = append(p.offsets, 0)
		p.packed.WriteString("<< " + dict + " >>\n")
		return
	}
	p.offsets = append(p.offsets, p.Len())
	fmt.Fprintf(p, "%d 0 obj\n<< %s >>\nendobj\n", len(p.offsets), dict)
}

// stream writes a stream as it is.
func (p *pdfWriter) stream(dict string, data []byte) {
	p.offsets = append(p.offsets, p.Len())
	fmt.Fprintf(p, "%d 0 obj\n<< %s /Length %d >>\nstream\n", len(p.offsets), dict, len(data))
	p.Write(data)
	p.WriteString("\nendstream\nendobj\n")
}

// picture writes a picture that is compressed already, in ASCII if the producer keeps files free of
// other bytes.
func (p *pdfWriter) picture(n int) {
	dict := "/Type /XObject /Subtype /Image /Width 640 /Height 480 /ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter "
	data := p.bytes(n)
	if p.producer != reporter {
		p.stream(dict+"/DCTDecode", data)
		return
	}
	text := make([]byte, ascii85.MaxEncodedLen(n))
	text = text[:ascii85.Encode(text, data)]
	var lines bytes.Buffer
	for ; len(text) > 72; text = text[72:] {
		lines.Write(text[:72])
		lines.WriteByte('\n')
	}
	lines.Write(text)
	p.stream(dict+"[/ASCII85Decode /DCTDecode]", lines.Bytes())
}

// page writes a page with its text, pictures, a part of a font, and for tagged documents its
// structure.
func (p *pdfWriter) page() {
	page := p.next()
	p.object(fmt.Sprintf("/Type /Page /Parent 2 0 R /MediaBox [0 0 595.32 841.92] /Contents %d 0 "+
		"R /Resources << /Font << /F1 9 0 R /F2 11 0 R >> /XObject << /Image%d %d 0 R >> "+
		"/ProcSet [/PDF /Text /ImageB /ImageC] >> /Group << /Type /Group /S /Transparency /CS "+
		"/DeviceRGB >> /Tabs /S", page+1, page, page+2))
	if p.producer == scanner {
		p.stream("", []byte("q 595.32 0 0 841.92 0 0 cm /Im0 Do Q"))
		p.picture(15_000 + p.IntN(60_000))
		return
	}
	text := operators(p.source, p.l, 2500+p.IntN(9000))
	if p.producer == reporter {
		p.stream("", text)
	} else {
		p.stream("/Filter /FlateDecode", deflated(text))
	}
	if p.chance(40) {
		p.picture(3000 + p.IntN(24_000))
	}
	if p.chance(35) && p.producer != reporter { // outlines of letters
		p.stream("/Filter /FlateDecode /Length1 "+p.digits(5), deflated(p.bytes(4000+p.IntN(14_000))))
		p.object("/Type /FontDescriptor /FontName /" + p.token(6) +
			"+Calibri /Flags 32 /ItalicAngle 0 /Ascent 750 /Descent -250 /CapHeight 750 " +
			"/AvgWidth 521 /MaxWidth 1743 /FontWeight 400 /XHeight 250 /StemV 52 /FontBBox [ " +
			"-503 -250 1240 750] /FontFile2 " + fmt.Sprint(p.next()-1) + " 0 R")
		var widths strings.Builder
		for range 180 {
			fmt.Fprintf(&widths, "%d ", 226+p.IntN(600))
		}
		p.object("/Widths [ " + widths.String() + "]")
	}
	if p.producer == officePDF {
		var kids strings.Builder
		for mark := range 12 + p.IntN(20) {
			fmt.Fprintf(&kids, "%d 0 R ", p.next())
			p.object(fmt.Sprintf("/Type /StructElem /S /%s /P %d 0 R /Pg %d 0 R /K [ %d ]",
				pick(p.source, []string{"P", "P", "Span", "TD", "TR", "H1", "LBody"}), page-1, page, mark))
		}
		p.object("/Nums [ " + fmt.Sprint(page) + " [ " + kids.String() + "] ]")
	}
}

// operators is a page of a PDF: text with its positions.
func operators(s source, l *lexicon, size int) []byte {
	var b bytes.Buffer
	b.WriteString("q\nBT\n/F1 10.5 Tf\n")
	for b.Len() < size {
		fmt.Fprintf(&b, "1 0 0 1 %d.%02d %d.%02d Tm\n[(%s) %d (%s)] TJ\n", 50+s.IntN(60),
			s.IntN(100), 100+s.IntN(650), s.IntN(100), l.words(s, 1+s.IntN(5)), -s.IntN(300), l.words(s, 1+s.IntN(4)))
	}
	b.WriteString("ET\nQ\n")
	return b.Bytes()
}

// end writes the places of the objects: as a table, or compressed with the dictionaries.
func (p *pdfWriter) end() {
	if p.producer == typesetter {
		p.stream("/Type /ObjStm /Filter /FlateDecode", deflated(p.packed.Bytes()))
		var entries bytes.Buffer
		for _, o := range p.offsets {
			entries.Write([]byte{1, byte(o >> 16), byte(o >> 8), byte(o), 0})
		}
		p.stream("/Type /XRef /W [1 3 1] /Filter /FlateDecode", deflated(entries.Bytes()))
		fmt.Fprintf(p, "startxref\n%d\n%%%%EOF\n", p.offsets[len(p.offsets)-1])
		return
	}
	start := p.Len()
	fmt.Fprintf(p, "xref\n0 %d\n0000000000 65535 f \n", len(p.offsets)+1)
	for _, o := range p.offsets {
		fmt.Fprintf(p, "%010d 00000 n \n", o)
	}
	fmt.Fprintf(p, "trailer\n<< /Size %d /Root 1 0 R /ID [<%s> <%s>] >>\nstartxref\n%d\n%%%%EOF\n",
		len(p.offsets)+1, p.hex(32), p.hex(32), start)
}
