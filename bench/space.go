package bench

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"text/tabwriter"
	"time"

	"gadwall/internal/contents"
)

// A Space has the space that mail takes, by class.
type Space struct {
	Logical map[Class]int64   // bytes in messages
	Decoded map[Class]int64   // without transfer encodings; this and the next two as contents.Usage has them
	Unique  map[Class]float64 // each attachment, and each content, once
	Stored  map[Class]float64 // compressed
}

func newSpace() *Space {
	return &Space{Logical: make(map[Class]int64), Decoded: make(map[Class]int64),
		Unique: make(map[Class]float64), Stored: make(map[Class]float64)}
}

// MeasureSpace reads all contents of a store. It works beside live traffic, but decompresses
// everything inline.
func MeasureSpace(ctx context.Context, store *contents.Store) (*Space, error) {
	s := newSpace()
	err := store.Usage(ctx, func(u contents.Usage) error {
		class := ClassOf(u.Type)
		s.Logical[class] += u.Logical
		s.Decoded[class] += u.Decoded
		s.Unique[class] += u.Unique
		s.Stored[class] += u.Stored
		return nil
	})
	return s, err
}

// WriteTable writes a line per class: what decoding, keeping once, and compression leave. received is
// the size of all messages as they came, directory that of the data directory, 0 if unknown.
func (s *Space) WriteTable(w io.Writer, received, directory int64) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "class\tlogical bytes\tdecoded\teach once\tcompressed\tratio\t")
	line := func(name string, logical int64, middle string, stored float64) {
		if logical > 0 {
			fmt.Fprintf(t, "%s\t%d\t%s\t%.0f\t%.3f\t\n", name, logical, middle, stored, stored/float64(logical))
		}
	}
	var logical, decoded int64
	var unique, stored float64
	for _, class := range Classes {
		line(string(class), s.Logical[class], fmt.Sprintf("%d\t%.0f", s.Decoded[class], s.Unique[class]),
			s.Stored[class])
		logical += s.Logical[class]
		decoded += s.Decoded[class]
		unique += s.Unique[class]
		stored += s.Stored[class]
	}
	line("all classes", logical, fmt.Sprintf("%d\t%.0f", decoded, unique), stored)
	if directory > 0 {
		line("documents, indexes, logs", received, "\t", float64(directory)-stored)
		line("whole directory", received, "\t", float64(directory))
	}
	return t.Flush()
}

// DiskUsage returns the bytes that the files below a directory occupy; those of several names once.
func DiskUsage(dir string) (int64, error) {
	var sum int64
	type file struct{ device, inode uint64 }
	seen := make(map[file]bool)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil // the database removed a file while we looked
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && info.Mode().IsRegular() {
			if f := (file{uint64(st.Dev), st.Ino}); !seen[f] {
				seen[f] = true
				sum += st.Blocks * 512
			}
		}
		return nil
	})
	return sum, err
}

// SettleTime is how long the size of a database directory stays the same before it is taken to have
// settled: the embedded database gives back its logs after 5 to 10 seconds.
const SettleTime = 12 * time.Second

// settleSteady is how many looks in succession see nearly the same size.
const settleSteady = 12

// Settled waits until the size of a database directory no longer changes, because the database has
// finished its work on what was written, and returns that size. steady is SettleTime, or less for a
// test.
func Settled(ctx context.Context, dir string, steady time.Duration) (int64, error) {
	ticker := time.NewTicker(max(1, steady/settleSteady))
	defer ticker.Stop()
	looks, last := 0, int64(0)
	for {
		size, err := DiskUsage(dir)
		if err != nil {
			return 0, err
		}
		if d := size - last; d <= size/1000 && d >= -size/1000 {
			looks++
		} else {
			looks = 0
		}
		if last = size; looks == settleSteady {
			return size, nil
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-ticker.C:
		}
	}
}
