package dedupe

import (
	"bufio"
	"bytes"
	"cmp"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// A record is a reference as an audit found it.
type record struct {
	hash  Hash
	magic Magic
	// repeated says that the referrer may have been read twice: see Tally.AddMoving.
	repeated bool
	size     uint8 // of holder
	holder   [maxHolder]byte
}

// maxHolder is the greatest length of the name of a referrer.
const maxHolder = 32

func compareRecords(a, b record) int {
	if c := bytes.Compare(a.hash[:], b.hash[:]); c != 0 {
		return c
	}
	return cmp.Compare(a.magic, b.magic)
}

// A run is a temporary file of records in the order of compareRecords. Each takes the hash, the magic
// (8 octets), repeated and the length of the holder (one octet each), and the holder.
type run struct {
	path string
	size int64
}

const recordHead = HashSize + 8 + 2

// writeRun writes records, which next returns in order until io.EOF, to a new file that nobody else
// can read.
func writeRun(dir string, next func() (*record, error)) (_ run, err error) {
	f, err := os.CreateTemp(dir, "run-") // mode 0600
	if err != nil {
		return run{}, fmt.Errorf("audit: %w", err)
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(fmt.Errorf("audit: %w", err), os.Remove(f.Name()))
		}
	}()
	w := bufio.NewWriterSize(f, runBuffer)
	var head [recordHead]byte
	var size int64
	for {
		r, err := next()
		if err == io.EOF {
			return run{f.Name(), size}, w.Flush()
		}
		if err != nil {
			return run{}, err
		}
		copy(head[:], r.hash[:])
		binary.BigEndian.PutUint64(head[HashSize:], uint64(r.magic))
		head[HashSize+8] = 0
		if r.repeated {
			head[HashSize+8] = 1
		}
		head[HashSize+9] = r.size
		w.Write(head[:]) // its error stays, for Flush
		w.Write(r.holder[:r.size])
		size += r.stored()
	}
}

// stored is the size of a record in a file.
func (r *record) stored() int64 { return recordHead + int64(r.size) }

// cut removes the records of all hashes after last.
func (x *run) cut(last Hash) error {
	r, err := x.open()
	if err != nil {
		return err
	}
	var size int64
	for {
		next, err := r.next()
		if err == io.EOF || err == nil && bytes.Compare(next.hash[:], last[:]) > 0 {
			break
		}
		if err != nil {
			return errors.Join(err, r.close())
		}
		size += next.stored()
	}
	if err := r.close(); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if err := os.Truncate(x.path, size); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	x.size = size
	return nil
}

// A source gives records in order, and io.EOF at the end.
type source interface {
	next() (*record, error)
	close() error
}

// memory is the source of records in memory.
type memory struct{ rest []record }

func (m *memory) next() (*record, error) {
	if len(m.rest) == 0 {
		return nil, io.EOF
	}
	r := &m.rest[0]
	m.rest = m.rest[1:]
	return r, nil
}

func (m *memory) close() error { return nil }

// runReader is the source of a run.
type runReader struct {
	f      *os.File
	r      *bufio.Reader
	record record
}

func (x run) open() (*runReader, error) {
	f, err := os.Open(x.path)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	return &runReader{f: f, r: bufio.NewReaderSize(f, runBuffer)}, nil
}

func (x run) remove() error { return os.Remove(x.path) }

func (r *runReader) next() (*record, error) {
	var head [recordHead]byte
	if _, err := io.ReadFull(r.r, head[:]); err != nil {
		if err == io.EOF {
			return nil, err
		}
		return nil, fmt.Errorf("audit: %s: %w", r.f.Name(), err)
	}
	x := &r.record
	copy(x.hash[:], head[:])
	x.magic = Magic(binary.BigEndian.Uint64(head[HashSize:]))
	x.repeated = head[HashSize+8] != 0
	x.size = head[HashSize+9]
	if x.size > maxHolder {
		return nil, fmt.Errorf("audit: %s is damaged", r.f.Name())
	}
	if _, err := io.ReadFull(r.r, x.holder[:x.size]); err != nil {
		return nil, fmt.Errorf("audit: %s: %w", r.f.Name(), err)
	}
	return x, nil
}

func (r *runReader) close() error { return r.f.Close() }

// A merge is the source of the records of several others.
type merge struct {
	heads mergeHeap
	last  *mergeHead // whose record was returned last
}

type mergeHead struct {
	source source
	record *record
}

type mergeHeap []*mergeHead

func (h mergeHeap) Len() int           { return len(h) }
func (h mergeHeap) Less(i, j int) bool { return compareRecords(*h[i].record, *h[j].record) < 0 }
func (h mergeHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *mergeHeap) Push(x any)        { *h = append(*h, x.(*mergeHead)) }
func (h *mergeHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// mergeRuns opens the runs, and merges them with records in memory. The caller closes the merge, also
// after an error.
func mergeRuns(runs []run, rest []record) (*merge, error) {
	m := new(merge)
	sources := []source{&memory{rest}}
	for _, x := range runs {
		r, err := x.open()
		if err != nil {
			for _, s := range sources {
				s.close()
			}
			return m, err
		}
		sources = append(sources, r)
	}
	var errs []error
	for _, s := range sources {
		head := &mergeHead{source: s}
		var err error
		if head.record, err = s.next(); err == nil {
			m.heads = append(m.heads, head)
			continue
		}
		errs = append(errs, s.close())
		if err != io.EOF {
			errs = append(errs, err)
		}
	}
	heap.Init(&m.heads)
	return m, errors.Join(errs...)
}

// peek returns the next record, which is valid until the call of next after the next one.
func (m *merge) peek() (*record, error) {
	if m.last != nil {
		head := m.last
		m.last = nil
		var err error
		if head.record, err = head.source.next(); err == nil {
			heap.Fix(&m.heads, 0)
		} else {
			heap.Pop(&m.heads)
			if closed := head.source.close(); err == io.EOF {
				err = closed
			}
			if err != nil {
				return nil, err
			}
		}
	}
	if len(m.heads) == 0 {
		return nil, io.EOF
	}
	return m.heads[0].record, nil
}

func (m *merge) next() (*record, error) {
	r, err := m.peek()
	if err == nil {
		m.last = m.heads[0]
	}
	return r, err
}

func (m *merge) close() error {
	var errs []error
	for _, h := range m.heads {
		errs = append(errs, h.source.close())
	}
	m.heads = nil
	return errors.Join(errs...)
}

// A shelf keeps sorted runs: few at a time, since as many as maxRuns become one of the next level.
type shelf struct {
	dir    string // "" until the first run
	parent string // where dir is made
	levels [][]run
}

// put sorts the records and writes them to a run that does not count yet.
func (s *shelf) write(records []record) (run, error) {
	if s.dir == "" {
		dir, err := os.MkdirTemp(s.parent, "gadwall-check-") // mode 0700
		if err != nil {
			return run{}, fmt.Errorf("audit: %w", err)
		}
		s.dir = dir
	}
	slices.SortFunc(records, compareRecords)
	return writeRun(s.dir, (&memory{records}).next)
}

// add keeps a run.
func (s *shelf) add(x run) error {
	for level := 0; ; level++ {
		if level == len(s.levels) {
			s.levels = append(s.levels, nil)
		}
		s.levels[level] = append(s.levels[level], x)
		if len(s.levels[level]) < maxRuns {
			return nil
		}
		m, err := mergeRuns(s.levels[level], nil)
		if err == nil {
			x, err = writeRun(s.dir, m.next)
		}
		if err = errors.Join(err, m.close()); err != nil {
			return err
		}
		for _, old := range s.levels[level] {
			if err := old.remove(); err != nil {
				return fmt.Errorf("audit: %w", err)
			}
		}
		s.levels[level] = nil
	}
}

func (s *shelf) runs() []run { return slices.Concat(s.levels...) }

// remove removes all files.
func (s *shelf) remove() error {
	if s.dir == "" {
		return nil
	}
	return os.RemoveAll(s.dir)
}
