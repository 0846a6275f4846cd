package query

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/rawdoc"
)

// setTree is a set of fields to compute and put into a document: $addFields, and what $project computes.
// The zero setTree is an empty root.
type setTree struct {
	name string
	expr expr // nil: kids are set within the field
	kids []*setTree
}

// set adds a path; a path may not be the beginning of another.
func (t *setTree) set(path string, e expr) error {
	name, rest, more := strings.Cut(path, ".")
	kid := t.kid(name)
	switch {
	case kid != nil && (!more || kid.expr != nil):
		return Errorf(40176, "specification contains two conflicting paths: cannot specify both %s and a part of it", path)
	case kid == nil:
		kid = &setTree{name: name}
		t.kids = append(t.kids, kid)
	}
	if more {
		return kid.set(rest, e)
	}
	kid.expr = e
	return nil
}

func (t *setTree) kid(name string) *setTree {
	for _, k := range t.kids {
		if k.name == name {
			return k
		}
	}
	return nil
}

// appendDoc appends doc with the fields set: those that doc has in place, the others at the end. Expressions
// are evaluated on root. A field whose value is missing is removed.
func (t *setTree) appendDoc(dst, doc, root []byte) ([]byte, error) {
	dst, start := rawdoc.Begin(dst)
	var seen uint64 // which of the first 64 kids doc has; others are looked up again
	var err error
	for it := rawdoc.Over(doc); it.Next(); {
		kid := -1
		for i, k := range t.kids {
			if string(it.Key()) == k.name {
				kid = i
				break
			}
		}
		if kid < 0 {
			dst = append(dst, it.Elem()...)
			continue
		}
		if kid < 64 {
			seen |= 1 << kid
		}
		if dst, err = t.kids[kid].appendField(dst, it.Value(), root); err != nil {
			return dst, err
		}
	}
	for i, k := range t.kids {
		if i < 64 && seen&(1<<i) != 0 || i >= 64 && !rawdoc.IsMissing(rawdoc.Get(doc, k.name)) {
			continue
		}
		if dst, err = k.appendField(dst, rawdoc.Missing, root); err != nil {
			return dst, err
		}
	}
	return rawdoc.End(dst, start), nil
}

// appendField appends the field t in place of the value old.
func (t *setTree) appendField(dst []byte, old bson.RawValue, root []byte) ([]byte, error) {
	if t.expr == nil {
		switch old.Type {
		case bson.TypeArray:
			return t.appendArray(rawdoc.AppendHead(dst, bson.TypeArray, t.name), old.Value, root)
		case bson.TypeEmbeddedDocument:
			return t.appendDoc(rawdoc.AppendHead(dst, bson.TypeEmbeddedDocument, t.name), old.Value, root)
		}
		return t.appendDoc(rawdoc.AppendHead(dst, bson.TypeEmbeddedDocument, t.name), rawdoc.Empty, root)
	}
	v, err := t.expr.eval(root)
	if err != nil || rawdoc.IsMissing(v) {
		return dst, err
	}
	return rawdoc.AppendElem(dst, t.name, v), nil
}

// appendArray sets the fields in every element; what is no object becomes one.
func (t *setTree) appendArray(dst, arr, root []byte) ([]byte, error) {
	dst, start := rawdoc.Begin(dst)
	n := 0
	var err error
	for it := rawdoc.Over(arr); it.Next(); n++ {
		v := it.Value()
		switch v.Type {
		case bson.TypeArray:
			dst, err = t.appendArray(appendItemHead(dst, v.Type, n), v.Value, root)
		case bson.TypeEmbeddedDocument:
			dst, err = t.appendDoc(appendItemHead(dst, v.Type, n), v.Value, root)
		default:
			dst, err = t.appendDoc(appendItemHead(dst, bson.TypeEmbeddedDocument, n), rawdoc.Empty, root)
		}
		if err != nil {
			return dst, err
		}
	}
	return rawdoc.End(dst, start), nil
}
