package frame

import (
	"bytes"
	"errors"
	"math/rand"
	"sync"
	"testing"
)

func random(n int) []byte {
	b := make([]byte, n)
	rand.New(rand.NewSource(int64(n))).Read(b)
	return b
}

func TestRoundTrip(t *testing.T) {
	for _, data := range [][]byte{nil, []byte("x"), random(1000), random(MaxSize), make([]byte, MaxSize)} {
		z, err := Compress(nil, data)
		if err != nil {
			t.Fatal(err)
		}
		if len(z) > MaxStored {
			t.Errorf("%d bytes became %d, more than MaxStored", len(data), len(z))
		}
		buf := Buffer()
		got, err := Decompress(*buf, z, len(data))
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: %v", len(data), err)
		}
		Release(buf)
	}
}

func TestBounds(t *testing.T) {
	if _, err := Compress(nil, make([]byte, MaxSize+1)); err == nil {
		t.Error("compressed more than MaxSize")
	}
	z, err := Compress(nil, make([]byte, 1000))
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 0, MaxSize)
	for _, size := range []int{0, 999, 1001} {
		if _, err := Decompress(buf, z, size); !errors.Is(err, ErrCorrupt) {
			t.Errorf("1000 bytes as %d: %v", size, err)
		}
	}
	for _, bad := range [][]byte{{}, {1, 2, 3}, z[:len(z)-1], append(bytes.Clone(z), 0)} {
		if _, err := Decompress(buf, bad, 1000); !errors.Is(err, ErrCorrupt) {
			t.Errorf("damaged frame: %v", err)
		}
	}
	if _, err := Decompress(buf[:0:10], z, 1000); err == nil {
		t.Error("decompressed into too small a buffer")
	}
	Release(nil)
}

func TestConcurrentUse(t *testing.T) {
	var group sync.WaitGroup
	for i := range 16 {
		group.Go(func() {
			data := bytes.Repeat([]byte{byte(i), 1}, 20_000)
			z, err := Compress(nil, data)
			if err != nil {
				t.Error(err)
				return
			}
			got, err := Decompress(make([]byte, 0, len(data)), z, len(data))
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("frame %d: %v", i, err)
			}
		})
	}
	group.Wait()
}

func FuzzDecompress(f *testing.F) {
	z, err := Compress(nil, []byte("some bytes, some bytes"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(z, 22)
	f.Fuzz(func(t *testing.T, src []byte, size int) {
		if size < 0 || size > MaxSize {
			size = 100
		}
		buf := Buffer()
		defer Release(buf)
		if got, err := Decompress(*buf, src, size); err == nil && len(got) != size {
			t.Fatalf("%d bytes, want %d", len(got), size)
		}
	})
}
