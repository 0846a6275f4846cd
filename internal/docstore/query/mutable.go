package query

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/rawdoc"
)

// mutable is a document or array that is being changed. Only the levels on the way to a change are
// taken apart; everything else stays raw.
type mutable struct {
	array bool
	elems []mutElem
}

// mutElem is a field or array element. A removed field stays in the list as gone, so that positions
// hold.
type mutElem struct {
	key  []byte // unused in arrays; may alias the document
	val  bson.RawValue
	sub  *mutable // in place of val, once taken apart
	gone bool
}

func takeApart(v bson.RawValue) *mutable {
	m := &mutable{array: v.Type == bson.TypeArray, elems: make([]mutElem, 0, 16)}
	for it := rawdoc.Over(v.Value); it.Next(); {
		e := mutElem{val: it.Value()}
		if !m.array {
			e.key = it.Key()
		}
		m.elems = append(m.elems, e)
	}
	return m
}

// find returns the element that a step of a path names, or nil.
func (m *mutable) find(s step) *mutElem {
	if m.array {
		if s.index >= 0 && s.index < len(m.elems) {
			return &m.elems[s.index]
		}
		return nil
	}
	for i := range m.elems {
		if e := &m.elems[i]; string(e.key) == s.name && !e.gone {
			return e
		}
	}
	return nil
}

// put sets the element that s names; in an array beyond the end it fills up with nulls. It fails
// where s is no position in an array.
func (m *mutable) put(s step, e mutElem) error {
	if old := m.find(s); old != nil {
		e.key = old.key
		*old = e
		return nil
	}
	if !m.array {
		e.key = []byte(s.name)
		m.elems = append(m.elems, e)
		return nil
	}
	if s.index < 0 {
		return errNotViable
	}
	if s.index-len(m.elems) > MaxArrayPadding {
		return mongoerr.New(mongoerr.CannotBackfillArray,
			"cannot backfill array by more than %d elements", MaxArrayPadding)
	}
	for len(m.elems) < s.index {
		m.elems = append(m.elems, mutElem{val: rawdoc.Null})
	}
	m.elems = append(m.elems, e)
	return nil
}

// remove removes a field; an array element becomes null.
func (m *mutable) remove(s step) {
	e := m.find(s)
	switch {
	case e == nil:
	case m.array:
		*e = mutElem{val: rawdoc.Null}
	default:
		e.gone = true
	}
}

// child takes the element e apart if it is a document or array; nil if it is neither.
func (e *mutElem) child() *mutable {
	if e.sub == nil {
		switch e.val.Type {
		case bson.TypeEmbeddedDocument, bson.TypeArray:
			e.sub = takeApart(e.val)
		}
	}
	return e.sub
}

// value returns the element's current value.
func (e *mutElem) value() bson.RawValue {
	if e.sub == nil {
		return e.val
	}
	return bson.RawValue{Type: e.sub.bsonType(), Value: e.sub.append(nil)}
}

func (m *mutable) bsonType() bson.Type {
	if m.array {
		return bson.TypeArray
	}
	return bson.TypeEmbeddedDocument
}

// append appends the bytes of m to dst.
func (m *mutable) append(dst []byte) []byte {
	dst, start := rawdoc.Begin(dst)
	for i := range m.elems {
		e := &m.elems[i]
		if e.gone {
			continue
		}
		t := e.val.Type
		if e.sub != nil {
			t = e.sub.bsonType()
		}
		if m.array {
			dst = appendItemHead(dst, t, i)
		} else {
			dst = rawdoc.AppendHead(dst, t, e.key)
		}
		if e.sub != nil {
			dst = e.sub.append(dst)
		} else {
			dst = append(dst, e.val.Value...)
		}
	}
	return rawdoc.End(dst, start)
}

// setPath puts a value at a path, making documents on the way, as an upsert does with the
// equalities of its filter.
func (m *mutable) setPath(path string, v bson.RawValue) bool {
	name, rest, more := strings.Cut(path, ".")
	s := step{name: name, index: -1}
	e := m.find(s)
	if !more {
		if e != nil {
			return false
		}
		m.elems = append(m.elems, mutElem{key: []byte(name), val: v})
		return true
	}
	if e == nil {
		m.elems = append(m.elems, mutElem{key: []byte(name), sub: &mutable{}})
		e = &m.elems[len(m.elems)-1]
	}
	return e.sub != nil && e.sub.setPath(rest, v)
}
