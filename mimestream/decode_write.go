package mimestream

import "io"

// NewDecodingWriter returns a writer that undoes a transfer encoding, as it is in Part.Encoding, and
// writes the decoded octets to w. Close writes what is left. It decodes as NewDecoder does.
func NewDecodingWriter(encoding string, w io.Writer) io.WriteCloser {
	switch encoding {
	case "base64":
		return &decodingWriter{w: w, codec: &base64Decoder{}}
	case "quoted-printable":
		return &decodingWriter{w: w, codec: &qpDecoder{}}
	}
	return plainWriter{w}
}

type decodingWriter struct {
	w     io.Writer
	codec codec
	out   [decodeStep + slack]byte
}

// decodeStep is how many octets are decoded at a time.
const decodeStep = 4096

// Write implements io.Writer.
func (d *decodingWriter) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		src := p[written:min(written+decodeStep, len(p))]
		if n := d.codec.decode(d.out[:], src); n > 0 {
			if _, err := d.w.Write(d.out[:n]); err != nil {
				return written, err
			}
		}
		written += len(src)
	}
	return written, nil
}

// Close implements io.Closer.
func (d *decodingWriter) Close() error {
	n := d.codec.finish(d.out[:])
	if n == 0 {
		return nil
	}
	_, err := d.w.Write(d.out[:n])
	return err
}

// plainWriter passes through what is not encoded.
type plainWriter struct{ io.Writer }

// Close implements io.Closer.
func (plainWriter) Close() error { return nil }

// KnownEncoding reports whether the transfer encoding of a part is one that can be undone, or none
// at all (RFC 2045 section 6.1).
func KnownEncoding(encoding string) bool {
	switch encoding {
	case "", "7bit", "8bit", "binary", "base64", "quoted-printable":
		return true
	}
	return false
}
