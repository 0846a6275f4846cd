package engine

import (
	"errors"
	"io"

	"github.com/cockroachdb/pebble/v2"
)

// A view is a consistent state of the database to read from: the newest one, a snapshot, or
// a snapshot under the writes of an open transaction.
type view interface {
	// get returns the value of key, or errNotFound. The value is valid until release is called.
	get(key []byte) (value []byte, release io.Closer, err error)
	// scan walks the keys in [lower, upper), backwards when reverse is set.
	scan(lower, upper []byte, reverse bool) (scanner, error)
}

var errNotFound = pebble.ErrNotFound

// A scanner is a walk over keys. Key and value are valid until the next call of next or close.
type scanner interface {
	next() bool
	key() []byte
	value() ([]byte, error)
	// reset begins a new walk, over other keys in the same direction, or reports that it cannot.
	reset(lower, upper []byte) bool
	// close ends the walk and returns the error that ended it early, if one did.
	close() error
}

// pebbleView reads from Pebble: the database itself or a snapshot of it.
type pebbleView struct{ r pebble.Reader }

func (v pebbleView) get(key []byte) ([]byte, io.Closer, error) {
	value, release, err := v.r.Get(key)
	if err != nil {
		return nil, nil, err
	}
	// Get does not tell of a value that cannot be read, but what it returns knows.
	if read, ok := release.(interface{ Error() error }); ok && read.Error() != nil {
		return nil, nil, release.Close()
	}
	return value, release, nil
}

func (v pebbleView) scan(lower, upper []byte, reverse bool) (scanner, error) {
	it, err := v.r.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, err
	}
	return &pebbleScanner{it: it, reverse: reverse}, nil
}

type pebbleScanner struct {
	it      *pebble.Iterator
	reverse bool
	started bool
}

func (s *pebbleScanner) next() bool {
	switch {
	case !s.started && s.reverse:
		s.started = true
		return s.it.Last()
	case !s.started:
		s.started = true
		return s.it.First()
	case s.reverse:
		return s.it.Prev()
	default:
		return s.it.Next()
	}
}

func (s *pebbleScanner) key() []byte            { return s.it.Key() }
func (s *pebbleScanner) value() ([]byte, error) { return s.it.ValueAndErr() }
func (s *pebbleScanner) close() error           { return s.it.Close() }

func (s *pebbleScanner) reset(lower, upper []byte) bool {
	if s.it.Error() != nil {
		return false
	}
	s.it.SetBounds(lower, upper)
	s.started = false
	return true
}

// pointScanner reads the one key it is given, which spares the files without it.
type pointScanner struct {
	view    view
	k       []byte
	v       []byte
	release io.Closer
	err     error
	done    bool
}

func (s *pointScanner) next() bool {
	if s.done {
		return false
	}
	s.done = true
	var err error
	s.v, s.release, err = s.view.get(s.k)
	if err != nil && !errors.Is(err, errNotFound) {
		s.err = err
	}
	return err == nil
}

func (s *pointScanner) key() []byte            { return s.k }
func (s *pointScanner) value() ([]byte, error) { return s.v, nil }
func (s *pointScanner) reset(_, _ []byte) bool { return false }

func (s *pointScanner) close() error {
	if s.release != nil {
		s.err = errors.Join(s.err, s.release.Close())
		s.release = nil
	}
	return s.err
}

type noRelease struct{}

func (noRelease) Close() error { return nil }

// overlayView reads a unit's own writes, and under them what base holds.
type overlayView struct {
	base   view
	writes *overlay
}

func (v overlayView) get(key []byte) ([]byte, io.Closer, error) {
	if w, ok := v.writes.get(key); ok {
		if w.deleted {
			return nil, nil, errNotFound
		}
		return w.value, noRelease{}, nil
	}
	return v.base.get(key)
}

func (v overlayView) scan(lower, upper []byte, reverse bool) (scanner, error) {
	base, err := v.base.scan(lower, upper, reverse)
	if err != nil || v.writes.len() == 0 {
		return base, err
	}
	return &mergeScanner{base: base, over: v.writes.scan(lower, upper, reverse), reverse: reverse}, nil
}

// mergeScanner walks base and the overlay side by side; the overlay wins where both have a key.
type mergeScanner struct {
	base    scanner
	over    *overlayScanner
	reverse bool

	started        bool
	baseOK, overOK bool // base, over stand on a key not yet returned or passed
	fromOver       bool // the current key is over's
	onBoth         bool // base stands on the same key
}

func (s *mergeScanner) next() bool {
	if !s.started {
		s.started = true
		s.baseOK, s.overOK = s.base.next(), s.over.next()
	} else {
		s.advance()
	}
	for {
		switch {
		case !s.baseOK && !s.overOK:
			return false
		case !s.overOK:
			s.fromOver, s.onBoth = false, false
			return true
		case !s.baseOK:
			s.fromOver, s.onBoth = true, false
		default:
			order := compareBytes(s.base.key(), s.over.key())
			if s.reverse {
				order = -order
			}
			s.fromOver, s.onBoth = order >= 0, order == 0
		}
		if !s.fromOver || !s.over.deleted() {
			return true
		}
		s.advance()
	}
}

// advance moves past the current key.
func (s *mergeScanner) advance() {
	if s.onBoth || !s.fromOver {
		s.baseOK = s.base.next()
	}
	if s.fromOver {
		s.overOK = s.over.next()
	}
}

func (s *mergeScanner) current() scanner {
	if s.fromOver {
		return s.over
	}
	return s.base
}

func (s *mergeScanner) key() []byte            { return s.current().key() }
func (s *mergeScanner) value() ([]byte, error) { return s.current().value() }
func (s *mergeScanner) close() error           { return s.base.close() }
func (s *mergeScanner) reset(_, _ []byte) bool { return false }
