package mailgen

import (
	"bufio"
	"encoding/base64"
	"io"
)

// Large writes a message of at least size octets whose second part (section 2) is one base64 file
// that does not compress. It needs little memory, whatever the size. It returns the number of
// octets written and the error of w.
func Large(w io.Writer, seed uint64, size int64) (int64, error) {
	out := &countingWriter{w: bufio.NewWriterSize(w, 1<<16)}
	b := newBuilder(seed, 6)
	b.head("A large message")
	b.line("Content-Type: multipart/mixed; boundary=large\r\n\r\n--large\r\n\r\nSee the file.\r\n\r\n--large")
	b.line("Content-Type: application/octet-stream; name=large.bin")
	b.line("Content-Disposition: attachment; filename=large.bin")
	b.line("Content-Transfer-Encoding: base64")
	b.line()
	out.write(b.Bytes())
	const block = 57 * 1024 // whole lines
	text := make([]byte, 0, block*2)
	for n := uint64(0); out.n < size && out.err == nil; n++ {
		data := Random(seed+n<<20, block)
		text = text[:0]
		for ; len(data) > 0; data = data[57:] {
			text = base64.StdEncoding.AppendEncode(text, data[:57])
			text = append(text, "\r\n"...)
		}
		out.write(text)
	}
	out.write([]byte("\r\n--large--\r\n"))
	if out.err == nil {
		out.err = out.w.Flush()
	}
	return out.n, out.err
}

type countingWriter struct {
	w   *bufio.Writer
	n   int64
	err error
}

func (c *countingWriter) write(b []byte) {
	if c.err == nil {
		var n int
		n, c.err = c.w.Write(b)
		c.n += int64(n)
	}
}
