package engine

import (
	"bytes"

	"github.com/RaduBerinde/btreemap"
)

// overlay holds the writes of a unit until it commits, in key order. Its zero value is empty.
type overlay struct {
	tree  *btreemap.BTreeMap[string, overlayWrite]
	bytes int
}

type overlayWrite struct {
	value   []byte
	deleted bool
	// replaced is the size of the stored value that the write replaces or deletes, in bytes.
	replaced int
}

// overlayDegree makes a node of 15 writes: most units have fewer.
const overlayDegree = 8

// noNodes is the free list of every tree: the default would be one for each, far larger than most
// overlays.
var noNodes = btreemap.NewFreeList[string, overlayWrite](0)

func compareStrings(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}

func compareBytes(a, b []byte) int { return bytes.Compare(a, b) }

func (o *overlay) len() int {
	if o.tree == nil {
		return 0
	}
	return o.tree.Len()
}

func (o *overlay) get(key []byte) (overlayWrite, bool) {
	if o.tree == nil {
		return overlayWrite{}, false
	}
	_, w, ok := o.tree.Get(string(key))
	return w, ok
}

func (o *overlay) put(key string, w overlayWrite) {
	if o.tree == nil {
		o.tree = btreemap.NewWithFreeList(overlayDegree, compareStrings, noNodes)
	}
	_, old, replaced := o.tree.ReplaceOrInsert(key, w)
	if replaced && old.replaced != w.replaced {
		w.replaced = old.replaced // what is stored is still what was there before the first write
		o.tree.ReplaceOrInsert(key, w)
	}
	o.bytes += len(w.value)
	if replaced {
		o.bytes -= len(old.value)
	} else {
		o.bytes += len(key)
	}
}

// each calls f for every write in key order.
func (o *overlay) each(f func(key string, w overlayWrite) error) error {
	if o.tree == nil {
		return nil
	}
	var err error
	o.tree.AscendFunc(btreemap.Min[string](), btreemap.Max[string](), func(key string, w overlayWrite) bool {
		err = f(key, w)
		return err == nil
	})
	return err
}

// scan walks the writes in [lower, upper), deletions included. Each step looks for the next key
// anew, so that writes made during the walk do not disturb it.
func (o *overlay) scan(lower, upper []byte, reverse bool) *overlayScanner {
	return &overlayScanner{o: o, lower: string(lower), upper: string(upper), reverse: reverse}
}

type overlayScanner struct {
	o            *overlay
	lower, upper string
	reverse      bool
	started      bool
	k            string
	w            overlayWrite
}

func (s *overlayScanner) next() bool {
	if s.o.tree == nil {
		return false
	}
	found := false
	take := func(key string, w overlayWrite) bool {
		s.k, s.w, found = key, w, true
		return false
	}
	if s.reverse {
		from := btreemap.LT(s.upper)
		if s.started {
			from = btreemap.LT(s.k)
		}
		s.o.tree.DescendFunc(from, btreemap.GE(s.lower), take)
	} else {
		from := btreemap.GE(s.lower)
		if s.started {
			from = btreemap.GT(s.k)
		}
		s.o.tree.AscendFunc(from, btreemap.LT(s.upper), take)
	}
	s.started = true
	return found
}

func (s *overlayScanner) key() []byte            { return []byte(s.k) }
func (s *overlayScanner) value() ([]byte, error) { return s.w.value, nil }
func (s *overlayScanner) deleted() bool          { return s.w.deleted }
func (s *overlayScanner) close() error           { return nil }
func (s *overlayScanner) reset(_, _ []byte) bool { return false }
