package frame

import (
	"fmt"
	"strings"
	"testing"
)

func BenchmarkDecompress(b *testing.B) {
	var text strings.Builder
	for i := 0; text.Len() < 64<<10; i++ {
		fmt.Fprintf(&text, "Line %d of a text that says %d different things, and %x more.\r\n", i, i*i%997, i*104729)
	}
	data := []byte(text.String()[:64<<10])
	z, err := Compress(nil, data)
	if err != nil {
		b.Fatal(err)
	}
	buf := Buffer()
	defer Release(buf)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decompress(*buf, z, len(data)); err != nil {
			b.Fatal(err)
		}
	}
}
