package bench

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"io"

	"gadwall/mimestream"
)

// A Floor estimates the least space that mails can take in a mail store that undoes transfer
// encodings, stores every body that is no text once, deflates everything, and has no documents,
// indexes or logs. The text of a mail is deflated together with its headers, everything else by
// itself.
type Floor struct {
	Size int64 // so far

	seen map[[sha256.Size]byte]bool
	z    *flate.Writer
	text bytes.Buffer // of the mail: structure and text
	body bytes.Buffer
}

// NewFloor returns a Floor of no mail.
func NewFloor() (*Floor, error) {
	f := &Floor{seen: make(map[[sha256.Size]byte]bool)}
	var err error
	f.z, err = flate.NewWriter(sizeWriter{&f.Size}, flate.DefaultCompression)
	return f, err
}

// Add adds one mail.
func (f *Floor) Add(raw []byte) error {
	f.text.Reset()
	p := mimestream.NewParser((*floorHandler)(f))
	if _, err := p.Write(raw); err != nil {
		return err
	}
	if _, err := p.Close(); err != nil {
		return err
	}
	return f.deflate(f.text.Bytes())
}

func (f *Floor) deflate(data []byte) error {
	f.z.Reset(sizeWriter{&f.Size})
	if _, err := f.z.Write(data); err != nil {
		return err
	}
	return f.z.Close()
}

// sizeWriter counts the bytes written to it.
type sizeWriter struct{ n *int64 }

func (w sizeWriter) Write(p []byte) (int, error) { *w.n += int64(len(p)); return len(p), nil }

// floorHandler is the mimestream.Handler of a Floor. It is a type of its own so that Floor does not
// export these methods.
type floorHandler Floor

var _ mimestream.Handler = (*floorHandler)(nil)

func (f *floorHandler) PartBegin(*mimestream.Part) error { return nil }
func (f *floorHandler) Structure(p []byte) error         { f.text.Write(p); return nil }
func (f *floorHandler) PartEnd(*mimestream.Part) error   { return nil }
func (f *floorHandler) BodyBegin(*mimestream.Part) error { f.body.Reset(); return nil }
func (f *floorHandler) Body(_ *mimestream.Part, p []byte) error {
	f.body.Write(p)
	return nil
}

func (f *floorHandler) BodyEnd(p *mimestream.Part) error {
	decoded, err := io.ReadAll(mimestream.NewDecoder(p.Encoding, &f.body))
	if err != nil {
		return err
	}
	if p.Type == "text" && p.Disposition != "attachment" {
		f.text.Write(decoded)
		return nil
	}
	sum := sha256.Sum256(decoded)
	if f.seen[sum] {
		return nil
	}
	f.seen[sum] = true
	return (*Floor)(f).deflate(decoded)
}
