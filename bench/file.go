package bench

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"strings"
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

// fileWeights and packedWeights are the shares of images, PDF, office documents, archives, and text
// of all sorts among attachments, in per cent.
var (
	fileWeights   = []int{29, 28, 19, 4, 20}
	packedWeights = []int{41, 34, 20, 5, 0}
)

// newFile makes the file of a number: always the same.
func (w *world) newFile(n int, o *CorpusOptions) *file {
	s := newSource(w.seed, "file", n)
	l := w.language(s)
	weights := fileWeights
	if o.Packed {
		weights = packedWeights
	}
	size := func(median, most int) int {
		return s.around(scaled(median, o.FileBytes), 1.1, scaled(most, o.FileBytes))
	}
	switch s.weighted(weightsOf(o.FileKinds, weights, func(i int) string { return FileKindNames[i] })) {
	case 0:
		return w.image(s, l, size(70_000, 1_500_000), o.Packed)
	case 1:
		return w.pdf(s, l, size, o.Packed)
	case 2:
		return w.office(s, l, size(52_000, 1_500_000), o.Packed)
	case 3:
		return w.archive(s, l, size(72_000, 1_500_000))
	}
	return w.textFile(s, l, size)
}

// scaled is a usual size of a kind of files, if those of most kinds have another median.
func scaled(usual, median int) int { return max(1, int(int64(usual)*int64(median)/UsualFileBytes)) }

func deflated(data []byte) []byte {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, err := z.Write(data)
	must(err)
	must(z.Close())
	return b.Bytes()
}

// archive packs text and bytes that do not compress.
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
