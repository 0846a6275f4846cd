package query

import (
	"bytes"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/bsonkey"
	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/rawdoc"
)

// SortField is one field of a sort or of an index pattern.
type SortField struct {
	Path string
	Desc bool
}

// Sort is a parsed sort pattern; immutable and safe for concurrent use.
type Sort struct {
	Fields []SortField
}

// MaxSortFields is how many fields a sort pattern may have.
const MaxSortFields = 32

// ParseSort parses a sort pattern, {path: 1 or -1, ...}; an empty one sorts nothing.
func ParseSort(raw bson.Raw) (*Sort, error) {
	s := &Sort{}
	it := rawdoc.Over(raw)
	for it.Next() {
		path, v := string(it.Key()), it.Value()
		if path == "" {
			return nil, mongoerr.New(mongoerr.FieldPathEmpty, "FieldPath cannot be constructed with empty string")
		}
		if err := checkFieldPath(path); err != nil {
			return nil, err
		}
		if !rawdoc.IsNumber(v) {
			return nil, mongoerr.New(mongoerr.SortOrderNotNumber, "Illegal key in $sort specification: %s: %s", path, v)
		}
		n, _ := truncated(v)
		if n != 1 && n != -1 {
			return nil, mongoerr.New(mongoerr.SortOrder,
				"$sort key ordering must be 1 (for ascending) or -1 (for descending)")
		}
		if slices.ContainsFunc(s.Fields, func(f SortField) bool { return f.Path == path }) {
			return nil, mongoerr.New(mongoerr.SortDuplicateKey,
				"$sort key must not contain duplicate keys (duplicate: '%s')", path)
		}
		if len(s.Fields) == MaxSortFields {
			return nil, mongoerr.New(mongoerr.SortTooManyKeys, "too many compound keys")
		}
		s.Fields = append(s.Fields, SortField{path, n < 0})
	}
	if len(raw) > 0 && it.Bad() {
		return nil, mongoerr.New(mongoerr.InvalidBSON, "invalid BSON in a sort pattern")
	}
	return s, nil
}

// Key returns bytes that order documents as the sort does. Of a document with arrays it is the
// smallest of the keys that an index on the same fields has: the smallest element where the sort
// ascends, the largest where it descends. It fails for arrays in two fields.
func (s *Sort) Key(doc bson.Raw) ([]byte, error) { return s.AppendKey(nil, doc) }

// AppendKey appends the key of doc to dst.
func (s *Sort) AppendKey(dst []byte, doc bson.Raw) ([]byte, error) {
	n := len(dst)
	out, plain := appendPlainKey(dst, doc, s.Fields)
	if plain {
		return out, nil
	}
	keys, _, err := IndexKeys(doc, s.Fields, false)
	if err != nil {
		if e, ok := err.(*mongoerr.Error); ok && e.Code == mongoerr.CannotIndexParallelArrays {
			return nil, mongoerr.New(mongoerr.BadValue, "cannot sort with keys that are parallel arrays")
		}
		return nil, err
	}
	return append(dst[:n], keys[0]...), nil
}

// appendPlainKey appends the key of a document without arrays on the paths; plain is false if there
// are any.
func appendPlainKey(dst, doc []byte, fields []SortField) (key []byte, plain bool) {
	for _, f := range fields {
		v, _ := untilArray(doc, f.Path)
		if v.Type == bson.TypeArray {
			return dst, false
		}
		dst = appendComponent(dst, v, f.Desc)
	}
	return dst, true
}

func appendComponent(dst []byte, v bson.RawValue, desc bool) []byte {
	if desc {
		return bsonkey.AppendDesc(dst, v)
	}
	return bsonkey.Append(dst, v)
}

// untilArray follows path to its end or to the first array on it; rest is what is left of the path
// there.
func untilArray(doc []byte, path string) (v bson.RawValue, rest string) {
	for {
		name, tail, more := strings.Cut(path, ".")
		v = rawdoc.Get(doc, name)
		switch {
		case !more || v.Type == bson.TypeArray:
			return v, tail
		case v.Type != bson.TypeEmbeddedDocument:
			return rawdoc.Missing, ""
		}
		doc, path = v.Value, tail
	}
}

// IndexKeys returns the entries of doc in an index on fields: compound keys of package bsonkey,
// sorted and distinct. An array on the path of a field gives one entry per element (multikey is
// set, however many these are), an empty one an entry with undefined; a missing field counts as
// null. A sparse index has no entry for a document with none of the fields. Arrays in two fields
// that are not the same array are an error (mongoerr.CannotIndexParallelArrays).
func IndexKeys(doc bson.Raw, fields []SortField, sparse bool) (keys [][]byte, multikey bool, err error) {
	g := keyGen{fields: fields, sparse: sparse}
	if err := g.start(doc); err != nil {
		return nil, false, err
	}
	if len(g.keys) > 1 {
		slices.SortFunc(g.keys, bytes.Compare)
		g.keys = slices.CompactFunc(g.keys, bytes.Equal)
	}
	return g.keys, g.multikey, nil
}

// IndexKeyValues returns the values of which key is made, one of the entries that doc has in an
// index on fields; those of missing fields are null.
func IndexKeyValues(doc bson.Raw, fields []SortField, key []byte) []bson.RawValue {
	g := keyGen{fields: fields, wanted: key}
	if err := g.start(doc); err != nil || g.values == nil {
		return make([]bson.RawValue, len(fields))
	}
	return g.values
}

type keyGen struct {
	fields   []SortField
	sparse   bool
	multikey bool
	keys     [][]byte
	// wanted is the key of which values takes the values.
	wanted []byte
	values []bson.RawValue
}

func (g *keyGen) start(doc []byte) error {
	slots := make([]slot, len(g.fields))
	for i, f := range g.fields {
		slots[i] = slot{rest: f.Path, open: true}
	}
	return g.expand(doc, slots)
}

// slot is one field of a key in the making: its value, or while it is open the path that is left to
// follow.
type slot struct {
	val  bson.RawValue
	rest string
	open bool
}

// expand follows the open slots into doc and adds the keys that result.
func (g *keyGen) expand(doc []byte, slots []slot) error {
	array, first := bson.RawValue{}, -1
	for i := range slots {
		s := &slots[i]
		if !s.open {
			continue
		}
		v, rest := untilArray(doc, s.rest)
		if v.Type != bson.TypeArray {
			s.val, s.open = v, false
			continue
		}
		s.rest = rest
		switch {
		case first < 0:
			array, first = v, i
		case &array.Value[0] != &v.Value[0]:
			return mongoerr.New(mongoerr.CannotIndexParallelArrays, "cannot index parallel arrays [%s] [%s]",
				g.fields[i].Path, g.fields[first].Path)
		}
	}
	if first < 0 {
		g.emit(slots)
		return nil
	}
	g.multikey = true
	return g.expandArray(array.Value, slots)
}

func (g *keyGen) expandArray(arr []byte, slots []slot) error {
	scratch := make([]slot, len(slots))
	it := rawdoc.Over(arr)
	some := false
	for it.Next() {
		some = true
		copy(scratch, slots)
		for i := range scratch {
			s := &scratch[i]
			if !s.open {
				continue
			}
			if err := g.enter(s, it.Value()); err != nil {
				return err
			}
		}
		if err := g.expand(it.Value().Value, scratch); err != nil {
			return err
		}
	}
	if some {
		return nil
	}
	copy(scratch, slots)
	for i := range scratch {
		if s := &scratch[i]; s.open {
			s.open = false
			if s.rest == "" {
				s.val = bson.RawValue{Type: bson.TypeUndefined}
			}
		}
	}
	g.emit(scratch)
	return nil
}

// enter moves an open slot into an array element: the element is the value at the end of the path,
// and an object is searched for the rest of it.
func (g *keyGen) enter(s *slot, elem bson.RawValue) error {
	if s.rest == "" {
		s.val, s.open = elem, false
		return nil
	}
	step, _, _ := strings.Cut(s.rest, ".")
	if arrayIndex(step) >= 0 {
		return mongoerr.New(mongoerr.NotImplemented,
			"an array position (%s) in the path of an index or a sort is not supported", step)
	}
	if elem.Type != bson.TypeEmbeddedDocument {
		s.val, s.open = rawdoc.Missing, false
	}
	return nil
}

func (g *keyGen) emit(slots []slot) {
	if g.sparse && !slices.ContainsFunc(slots, func(s slot) bool { return !rawdoc.IsMissing(s.val) }) {
		return
	}
	var key []byte
	for i, s := range slots {
		key = appendComponent(key, s.val, g.fields[i].Desc)
	}
	g.keys = append(g.keys, key)
	if g.wanted != nil && bytes.Equal(key, g.wanted) {
		g.values = make([]bson.RawValue, len(slots))
		for i, s := range slots {
			g.values[i] = s.val
		}
	}
}
