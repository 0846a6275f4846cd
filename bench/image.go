package bench

import (
	"bytes"
	"fmt"
	"strings"
)

// image is a photograph, a screenshot, or (rarely, but large) a scan without compression.
func (w *world) image(s source, l *lexicon, size int, packed bool) *file {
	switch p := s.IntN(100); {
	case p < 25:
		return png(s, size)
	case p < 27 && !packed:
		return bitmap(s, min(size*6, max(size, 1_000_000)))
	}
	return jpeg(s, l, size)
}

// png has chunks of deflate streams.
func png(s source, size int) *file {
	var b bytes.Buffer
	b.WriteString("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x05\xa0\x00\x00\x03\x84\x08\x06\x00\x00\x00")
	b.WriteString("\x00\x00\x00\x09pHYs\x00\x00\x16%\x00\x00\x16%\x01IR$\xf0\x00\x00\x00\x01sRGB\x00\xae\xce\x1c\xe9")
	for b.Len() < size {
		n := min(8192, size)
		fmt.Fprintf(&b, "\x00\x00%c%cIDAT", n>>8, n)
		b.Write(s.bytes(n + 4))
	}
	b.WriteString("\x00\x00\x00\x00IEND\xaeB`\x82")
	return &file{"Screenshot " + s.digits(4) + "-" + s.digits(2) + ".png", "image/png", b.Bytes()}
}

// jpeg makes a file with the metadata that cameras and programs write, tables and a thumbnail, and
// then entropy-coded bytes, which do not compress.
func jpeg(s source, l *lexicon, size int) *file {
	var b bytes.Buffer
	segment := func(marker byte, data []byte) {
		n := len(data) + 2
		b.Write([]byte{0xff, marker, byte(n >> 8), byte(n)})
		b.Write(data)
	}
	b.WriteString("\xff\xd8")
	segment(0xe0, []byte("JFIF\x00\x01\x01\x00\x00\x48\x00\x48\x00\x00"))
	if s.chance(60) { // Exif, with a thumbnail
		exif := fmt.Appendf(nil,
			"Exif\x00\x00II*\x00\x08\x00\x00\x00Camera %s\x00%s\x00%s:%s:%s %s:%s:%s\x00",
			s.token(4), s.token(6), "2024", "01", s.digits(2), s.digits(2), s.digits(2), s.digits(2))
		for tag := range 30 {
			exif = append(exif, byte(tag), 0x92, 5, 0, 1, 0, 0, 0, byte(s.IntN(256)), 2, 0, 0)
		}
		exif = append(exif, make([]byte, 300)...)
		segment(0xe1, append(exif, s.bytes(min(size/12, 6000))...))
	}
	if s.chance(20) { // of an image editor: XMP, padded
		segment(0xe1, []byte("http://ns.adobe.com/xap/1.0/\x00"+xmp(l.words(s, 4))))
	}
	if s.chance(35) { // a colour profile: curves
		profile := []byte("ICC_PROFILE\x00\x01\x01\x00\x00\x0c\x48\x4c\x69\x6e\x6f\x02\x10\x00\x00mntrRGB XYZ ")
		for k := range 1024 {
			profile = append(profile, byte(k*k>>12), byte(k*k>>4))
		}
		segment(0xe2, profile)
	}
	for t := range byte(2) { // quantization
		table := []byte{t}
		for q := range 64 {
			table = append(table, byte(8+q*2))
		}
		segment(0xdb, table)
	}
	for t := range byte(4) { // the Huffman tables that nearly everybody uses
		table := []byte{t&1<<4 | t>>1}
		for k := range 178 {
			table = append(table, byte(k*7))
		}
		segment(0xc4, table)
	}
	scan := s.bytes(max(size-b.Len(), 100))
	b.Write(bytes.ReplaceAll(scan, []byte{0xff}, []byte{0xff, 0})) // byte stuffing
	b.WriteString("\xff\xd9")
	return &file{"IMG_" + s.digits(4) + pick(s, []string{".jpg", ".jpeg", ".JPG"}), "image/jpeg", b.Bytes()}
}

// bitmap is a scanned page without compression: paper, with the noise of a scanner, and strokes on
// it.
func bitmap(s source, size int) *file {
	data := s.bytes(size)
	for i, noise := range data {
		data[i] = 0xf4 + noise&7
	}
	for at := 0; at < size; at += 30 + s.IntN(400) {
		for i := at; i < min(at+3+s.IntN(12), size); i++ {
			data[i] &= 0x3f
		}
	}
	if s.chance(50) {
		return &file{"scan" + s.digits(3) + ".tif", "image/tiff",
			append([]byte("II*\x00\x08\x00\x00\x00\x0e\x00"), data...)}
	}
	return &file{"scan" + s.digits(3) + ".bmp", "image/bmp",
		append([]byte("BM\x00\x00\x00\x00\x00\x00\x00\x006\x00\x00\x00(\x00\x00\x00"), data...)}
}

// xmp is a packet of metadata, with the padding that lets programs change it in place.
func xmp(title string) string {
	return "<?xpacket begin=\"\xef\xbb\xbf\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n<x:xmpmeta xmlns:x=\"adobe:ns:meta/\"><rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\n<rdf:Description rdf:about=\"\" xmlns:dc=\"http://purl.org/dc/elements/1.1/\"><dc:title>" + title + "</dc:title></rdf:Description>\n</rdf:RDF></x:xmpmeta>\n" + strings.Repeat(strings.Repeat(" ", 99)+"\n", 20) + "<?xpacket end=\"w\"?>"
}
