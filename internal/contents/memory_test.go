//go:build !race

package contents

import (
	"io"
	"runtime"
	"testing"

	"gadwall/internal/dbtest"
)

// The memory of a delivery does not depend on its size. Measured as what the writer itself keeps:
// the heap, without what the embedded database has, is that of the difference between two sizes.
func TestMemoryOfADelivery(t *testing.T) {
	s := newStore(t, dbtest.Database(t))
	kept := func(size int) uint64 {
		w := s.NewWriter(t.Context())
		defer w.Abort(t.Context())
		if _, err := io.WriteString(w,
			"Content-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		line := []byte(encode(make([]byte, 57*1000), 76, "\r\n") + "\r\n")
		for done := 0; done < size; done += len(line) {
			if _, err := w.Write(line); err != nil {
				t.Fatal(err)
			}
		}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&before)
		w.Abort(t.Context())
		runtime.KeepAlive(w)
		w = nil
		runtime.GC()
		runtime.GC() // pools are emptied by the second
		runtime.ReadMemStats(&after)
		return before.HeapAlloc - min(after.HeapAlloc, before.HeapAlloc)
	}
	kept(1 << 20)
	goroutines := runtime.NumGoroutine()
	small, large := kept(2<<20), kept(200<<20)
	t.Logf("kept after 2 MB: %d KiB, after 200 MB: %d KiB", small>>10, large>>10)
	if large > 4<<20 {
		t.Errorf("a writer that took 200 MB keeps %d KiB", large>>10)
	}
	if n := runtime.NumGoroutine(); n > goroutines+2 {
		t.Errorf("%d goroutines, %d before", n, goroutines)
	}
}
