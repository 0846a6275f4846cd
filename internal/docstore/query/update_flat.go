package query

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/rawdoc"
)

// maxFlat is the greatest number of operators of an update that is applied in one pass.
const maxFlat = 64

// flat reports whether all operators change fields of the document itself, not of what is in them,
// and not _id. Then one pass over the document applies them.
func (u *Update) flat() bool {
	if len(u.root.kids) > maxFlat {
		return false
	}
	for _, kid := range u.root.kids {
		if kid.op == nil || kid.name == "_id" {
			return false
		}
	}
	return true
}

// operateFlat is operate for a flat update: it copies what lies between the changed fields as it
// is. ok is false if an operator fails, or the document is malformed: then operate decides.
func (u *Update) operateFlat(doc []byte, id bson.RawValue, isInsert bool) (out bson.Raw, ok bool) {
	run := &updateRun{id: id, isInsert: isInsert}
	dst, start := rawdoc.Begin(make([]byte, 0, len(doc)+64))
	var applied uint64 // bits of kids
	from, at := len(dst), len(dst)
	it := rawdoc.Over(doc)
	for it.Next() {
		elem := it.Elem()
		i := u.kidOf(it.Key(), applied)
		if i < 0 {
			at += len(elem)
			continue
		}
		applied |= 1 << i
		kid := u.root.kids[i]
		v, what, err := kid.op.apply(run, kid.path, it.Value())
		switch {
		case err != nil:
			return nil, false
		case what == opKeeps:
			at += len(elem)
			continue
		}
		dst = append(dst, doc[from:at]...)
		if what == opSets {
			dst = rawdoc.AppendElem(dst, it.Key(), v)
		}
		at += len(elem)
		from = at
	}
	if it.Bad() {
		return nil, false
	}
	dst = append(dst, doc[from:at]...)
	for i, kid := range u.root.kids {
		if applied&(1<<i) != 0 {
			continue
		}
		v, what, err := kid.op.apply(run, kid.path, rawdoc.Missing)
		if err != nil {
			return nil, false
		}
		if what == opSets {
			dst = rawdoc.AppendElem(dst, kid.name, v)
		}
	}
	return rawdoc.End(dst, start), true
}

// kidOf returns the index of the operator of a field that none was applied to yet, or -1.
func (u *Update) kidOf(key []byte, applied uint64) int {
	for i, kid := range u.root.kids {
		if string(key) == kid.name && applied&(1<<i) == 0 {
			return i
		}
	}
	return -1
}

// Leaves reports that the update changes none of these fields of the document itself, nor what is in
// them.
func (u *Update) Leaves(fields []string) bool {
	if u.replacement != nil {
		return false
	}
	for _, kid := range u.root.kids {
		if slices.Contains(fields, kid.name) {
			return false
		}
	}
	return true
}
