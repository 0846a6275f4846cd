package engine

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Pebble does not say which files a database needs until it reads them. Its manifest does: a log of
// edits, each of which adds and removes tables and files of values. Reading it here lets the engine
// notice missing files when it opens.

// liveFiles are the files that the manifest names, with their sizes, by their numbers.
type liveFiles struct {
	tables, values map[uint64]uint64
}

// Names of what is in an edit. See version_edit.go in Pebble's internal/manifest.
const (
	editComparator     = 1
	editLogNumber      = 2
	editNextFile       = 3
	editLastSequence   = 4
	editCompactPointer = 5
	editDeletedTable   = 6
	editPrevLog        = 9
	editNewTable       = 103
	editNewTableRanges = 104
	editNewBacking     = 105
	editRemovedBacking = 106
	editNewValues      = 107
	editDeletedValues  = 108

	tableEnd             = 1
	tableVirtual         = 66
	tableSyntheticPrefix = 67
	tableSyntheticSuffix = 68
	tableValues          = 69
	tableUnsafe          = 64 // fields from here on must be known

	hasPointKeys = 1
)

// levelTable names a table in a level: an edit may move it to another one.
type levelTable struct{ level, number uint64 }

// A manifestReader adds up the edits of a manifest.
type manifestReader struct {
	tables   map[levelTable]uint64 // the number of the file behind each
	backings map[uint64]uint64     // sizes of table files
	values   map[uint64]uint64
}

// readManifest reads the manifest of the database in dir. There is none in an empty directory, and
// then there are no files.
func readManifest(fs vfs.FS, dir string) (*liveFiles, error) {
	desc, err := pebble.Peek(dir, fs)
	if err != nil || !desc.Exists {
		return &liveFiles{}, err
	}
	f, err := fs.Open(desc.ManifestFilename)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m := &manifestReader{tables: map[levelTable]uint64{}, backings: map[uint64]uint64{}, values: map[uint64]uint64{}}
	edits := record.NewReader(bufio.NewReader(f), 0)
	for {
		edit, err := edits.Next()
		if err == io.EOF || record.IsInvalidRecord(err) { // the last one may have been cut short
			break
		}
		if err != nil {
			return nil, err
		}
		raw, err := io.ReadAll(edit)
		if err != nil {
			break
		}
		if err := m.add(raw); err != nil {
			return nil, fmt.Errorf("manifest %s: %w", desc.ManifestFilename, err)
		}
	}
	live := &liveFiles{tables: map[uint64]uint64{}, values: m.values}
	for _, file := range m.tables {
		live.tables[file] = m.backings[file]
	}
	return live, nil
}

var errShortEdit = errors.New("an edit ends early")

// editFields reads the fields of an edit. The first error sticks.
type editFields struct {
	r   *bytes.Reader
	err error
}

func (e *editFields) number() uint64 {
	n, err := binary.ReadUvarint(e.r)
	if err != nil && e.err == nil {
		e.err = errShortEdit
	}
	return n
}

func (e *editFields) skip(n int) {
	for range n {
		e.number()
	}
}

func (e *editFields) skipBytes(n int) {
	for range n {
		length := e.number()
		if length > uint64(e.r.Len()) {
			e.err = errShortEdit
			return
		}
		if _, err := e.r.Seek(int64(length), io.SeekCurrent); err != nil {
			e.err = err
		}
	}
}

func (m *manifestReader) add(raw []byte) error {
	e := &editFields{r: bytes.NewReader(raw)}
	for e.r.Len() > 0 && e.err == nil {
		switch tag := e.number(); tag {
		case editComparator:
			e.skipBytes(1)
		case editLogNumber, editNextFile, editLastSequence, editPrevLog:
			e.skip(1)
		case editCompactPointer:
			e.skip(1)
			e.skipBytes(1)
		case editDeletedTable:
			level, number := e.number(), e.number()
			delete(m.tables, levelTable{level, number})
		case editNewTable, editNewTableRanges:
			m.addTable(e, tag == editNewTableRanges)
		case editNewBacking:
			number, size := e.number(), e.number()
			m.backings[number] = size
		case editRemovedBacking:
			delete(m.backings, e.number())
		case editNewValues:
			e.skip(1) // its id, which stays when the values are written to another file
			number, size := e.number(), e.number()
			m.values[number] = size
			e.skip(2)
		case editDeletedValues:
			e.skip(1)
			delete(m.values, e.number())
		default:
			return fmt.Errorf("an edit has the unknown field %d", tag)
		}
	}
	return e.err
}

func (m *manifestReader) addTable(e *editFields, ranges bool) {
	level, number, size := e.number(), e.number(), e.number()
	bounds := 2
	if ranges {
		marker, err := e.r.ReadByte()
		if err != nil {
			e.err = errShortEdit
		}
		if marker&hasPointKeys != 0 {
			bounds = 4
		}
	}
	e.skipBytes(bounds)
	e.skip(2) // sequence numbers
	file := number
	for e.err == nil {
		tag := e.number()
		switch {
		case tag == tableEnd:
			m.tables[levelTable{level, number}] = file
			if file == number {
				m.backings[file] = size
			}
			return
		case tag == tableVirtual:
			file = e.number()
		case tag == tableValues:
			e.skip(1)
			e.skip(2 * int(min(e.number(), uint64(e.r.Len()))))
		case tag == tableSyntheticPrefix || tag == tableSyntheticSuffix || tag < tableUnsafe:
			e.skipBytes(1)
		default:
			e.err = fmt.Errorf("a table has the unknown field %d", tag)
		}
	}
}
