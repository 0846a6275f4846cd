package mimestream

import (
	"bytes"
	"io"
	"testing"
)

// A decoding writer writes what a decoder reads, whatever the pieces.
func FuzzDecodingWriter(f *testing.F) {
	f.Add("base64", []byte("SGVsbG8=\r\nSGVsbG8=!x"), 3)
	f.Add("quoted-printable", []byte("a=20b  \r\n=\r\nc=3D=x \t"), 1)
	f.Add("8bit", []byte("a\x00b"), 2)
	f.Fuzz(func(t *testing.T, encoding string, data []byte, piece int) {
		want, err := io.ReadAll(NewDecoder(encoding, bytes.NewReader(data)))
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		w := NewDecodingWriter(encoding, &got)
		piece = max(1, piece)
		for rest := data; len(rest) > 0; {
			n := min(piece, len(rest))
			if m, err := w.Write(rest[:n]); err != nil || m != n {
				t.Fatal(m, err)
			}
			rest = rest[n:]
		}
		if err := w.Close(); err != nil || !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%q, want %q (%v)", got.Bytes(), want, err)
		}
	})
}
