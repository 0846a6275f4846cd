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
	Stored  map[Class]float64 // compressed bytes; see contents.Usage
}

// MeasureSpace reads all contents of a store. It works beside live traffic, but decompresses
// everything inline.
func MeasureSpace(ctx context.Context, store *contents.Store) (*Space, error) {
	s := &Space{Logical: make(map[Class]int64), Stored: make(map[Class]float64)}
	err := store.Usage(ctx, func(u contents.Usage) error {
		class := ClassOf(u.Type)
		s.Logical[class] += u.Logical
		s.Stored[class] += u.Stored
		return nil
	})
	return s, err
}

// WriteTable writes a line per class. received is the size of all messages as they came, directory
// the size of the data directory, 0 if unknown.
func (s *Space) WriteTable(w io.Writer, received, directory int64) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "class\tlogical bytes\tstored bytes\tratio\t")
	line := func(name string, logical int64, stored float64) {
		if logical > 0 {
			fmt.Fprintf(t, "%s\t%d\t%.0f\t%.3f\t\n", name, logical, stored, stored/float64(logical))
		}
	}
	var logical int64
	var stored float64
	for _, class := range Classes {
		line(string(class), s.Logical[class], s.Stored[class])
		logical += s.Logical[class]
		stored += s.Stored[class]
	}
	line("all classes", logical, stored)
	if directory > 0 {
		line("documents, indexes, logs", received, float64(directory)-stored)
		line("whole directory", received, float64(directory))
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

const (
	settlePeriod = 1 * time.Second
	// looks in succession with nearly the same size: the database gives back its logs after 5 to 10
	// seconds
	settleSteady = 12
)

// Settled waits until the size of a database directory no longer changes, because the database has
// finished its work on what was written, and returns that size.
func Settled(ctx context.Context, dir string) (int64, error) {
	steady, last := 0, int64(0)
	for {
		size, err := DiskUsage(dir)
		if err != nil {
			return 0, err
		}
		if d := size - last; d < size/1000 && d > -size/1000 {
			steady++
		} else {
			steady = 0
		}
		if last = size; steady == settleSteady {
			return size, nil
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(settlePeriod):
		}
	}
}
