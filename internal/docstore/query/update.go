package query

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/bsonkey"
	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/rawdoc"
)

// Update is a parsed update: operators, or a replacement document. It is immutable and safe for
// concurrent use.
//
// Operators are held as a tree of the paths they change, walked in the order of its names: numbers
// by value, the others by bytes. New fields are therefore appended in that order, whatever the
// order in the update.
type Update struct {
	replacement []byte // nil for operators
	root        updateNode
	paths       int // how many operators there are
}

// updateNode is a step of the changed paths: an operator at the end of a path, or the steps below.
type updateNode struct {
	step
	op   updateOp
	path string // whole path, of a node with an operator
	kids []*updateNode
}

// IsReplacement reports whether the update replaces the whole document.
func (u *Update) IsReplacement() bool { return u.replacement != nil }

// insert adds an operator at path; two operators may not change the same field, or one a part of
// the other's.
func (u *Update) insert(path string, op updateOp) error {
	at := &u.root
	steps := splitPath(path)
	if len(steps) > MaxPathSteps {
		return mongoerr.New(mongoerr.Overflow, "FieldPath is too long")
	}
	for i, s := range steps {
		j, found := slices.BinarySearchFunc(at.kids, s,
			func(n *updateNode, s step) int { return compareSteps(n.step, s) })
		last := i == len(steps)-1
		if !found {
			at.kids = slices.Insert(at.kids, j, &updateNode{step: s})
		}
		kid := at.kids[j]
		if found && (last || kid.op != nil) {
			return mongoerr.New(mongoerr.ConflictingUpdateOperators,
				"Updating the path '%s' would create a conflict at '%s'",
				path, joinSteps(steps[:i+1]))
		}
		at = kid
	}
	at.op, at.path = op, path
	return nil
}

func joinSteps(steps []step) string {
	names := make([]string, len(steps))
	for i, s := range steps {
		names[i] = s.name
	}
	return strings.Join(names, ".")
}

func compareSteps(a, b step) int {
	switch {
	case a.index >= 0 && b.index >= 0:
		return cmp.Compare(a.index, b.index)
	case a.index >= 0:
		return -1
	case b.index >= 0:
		return 1
	}
	return cmp.Compare(a.name, b.name)
}

// updateRun is one application of an update to one document.
type updateRun struct {
	doc      *mutable
	id       bson.RawValue
	isInsert bool
}

// Apply returns the updated document, and whether its bytes differ from doc's. isInsert says that
// the document is about to be inserted by an upsert, which is when $setOnInsert acts.
func (u *Update) Apply(doc bson.Raw, isInsert bool) (out bson.Raw, modified bool, err error) {
	id := rawdoc.Get(doc, "_id")
	if u.replacement != nil {
		out, err = u.replace(id)
	} else {
		out, err = u.operate(doc, id, isInsert)
	}
	if err != nil {
		return nil, false, err
	}
	if len(out) > MaxDocumentSize {
		if isInsert {
			return nil, false, mongoerr.New(mongoerr.UpsertTooLarge,
				"Document to upsert is larger than %d", MaxDocumentSize)
		}
		return nil, false, mongoerr.New(mongoerr.UpdateTooLarge,
			"Resulting document after update is larger than %d", MaxDocumentSize)
	}
	if bytes.Equal(out, doc) {
		return doc, false, nil
	}
	return out, true, nil
}

func (u *Update) operate(doc []byte, id bson.RawValue, isInsert bool) (bson.Raw, error) {
	if u.flat() {
		if out, ok := u.operateFlat(doc, id, isInsert); ok {
			return out, nil
		}
	}
	return u.operateTree(doc, id, isInsert)
}

// operateTree applies any operators.
func (u *Update) operateTree(doc []byte, id bson.RawValue, isInsert bool) (bson.Raw, error) {
	run := &updateRun{doc: takeApart(rawdoc.OfDoc(doc)), id: id, isInsert: isInsert}
	if _, err := run.walk(&u.root, run.doc); err != nil {
		return nil, err
	}
	out := run.doc.append(make([]byte, 0, len(doc)+64))
	if !rawdoc.IsMissing(id) {
		if now := rawdoc.Get(out, "_id"); rawdoc.IsMissing(now) || bsonkey.Compare(now, id) != 0 {
			return nil, mongoerr.New(mongoerr.ImmutableField,
				"Performing an update on the path '_id' would modify the immutable field '_id'")
		}
	}
	return out, nil
}

// replace returns the replacement with the given _id in front.
func (u *Update) replace(id bson.RawValue) (bson.Raw, error) {
	own := rawdoc.Get(u.replacement, "_id")
	if rawdoc.IsMissing(id) {
		id = own
	}
	if !rawdoc.IsMissing(own) && bsonkey.Compare(own, id) != 0 {
		return nil, mongoerr.New(mongoerr.ImmutableField,
			"After applying the update, the (immutable) field '_id' was found to have been altered to _id: %s", own)
	}
	return withIDFirst(u.replacement, id), nil
}

// withIDFirst returns doc with id as its _id, in front; a missing id leaves doc as it is.
func withIDFirst(doc []byte, id bson.RawValue) bson.Raw {
	if rawdoc.IsMissing(id) {
		return doc
	}
	it := rawdoc.Over(doc)
	if it.Next() && string(it.Key()) == "_id" && it.Value().Equal(id) {
		return doc
	}
	dst, start := rawdoc.Begin(make([]byte, 0, len(doc)+len(id.Value)+5))
	dst = rawdoc.AppendElem(dst, "_id", id)
	for it := rawdoc.Over(doc); it.Next(); {
		if string(it.Key()) != "_id" {
			dst = append(dst, it.Elem()...)
		}
	}
	return rawdoc.End(dst, start)
}

// walk applies the operators below n to m; changed says that something was set or removed.
func (r *updateRun) walk(n *updateNode, m *mutable) (changed bool, err error) {
	for _, kid := range n.kids {
		var did bool
		if kid.op != nil {
			did, err = r.operateOn(kid, m)
		} else {
			did, err = r.descend(kid, m)
		}
		if err != nil {
			return changed, err
		}
		changed = changed || did
	}
	return changed, nil
}

func (r *updateRun) operateOn(n *updateNode, m *mutable) (bool, error) {
	if m.array && n.index < 0 && !n.creates(r) {
		return false, nil
	}
	cur := rawdoc.Missing
	if e := m.find(n.step); e != nil {
		cur = e.value()
	}
	v, what, err := n.op.apply(r, n.path, cur)
	switch {
	case err != nil:
		return false, err
	case what == opRemoves:
		m.remove(n.step)
		return true, nil
	case what == opKeeps:
		return false, nil
	}
	if err := m.put(n.step, mutElem{val: v}); err == errNotViable {
		return false, notViable(n.name, m)
	} else if err != nil {
		return false, err
	}
	return true, nil
}

// descend applies the operators below n to the element that n names, making it if one of them sets
// something there.
func (r *updateRun) descend(n *updateNode, m *mutable) (bool, error) {
	e := m.find(n.step)
	if e != nil {
		if child := e.child(); child != nil {
			return r.walk(n, child)
		}
	}
	if !n.creates(r) {
		return false, nil
	}
	if e != nil {
		return false, mongoerr.New(mongoerr.PathNotViable,
			"Cannot create field '%s' in element {%s: %s}", n.kids[0].name, n.name, e.val)
	}
	if m.array && n.index < 0 {
		return false, notViable(n.name, m)
	}
	child := &mutable{}
	changed, err := r.walk(n, child)
	if err != nil || !changed {
		return false, err
	}
	return true, m.put(n.step, mutElem{sub: child})
}

// creates reports whether an operator at or below n makes its field where that is missing.
func (n *updateNode) creates(r *updateRun) bool {
	if n.op != nil {
		return n.op.creates(r)
	}
	return slices.ContainsFunc(n.kids, func(k *updateNode) bool { return k.creates(r) })
}

// errNotViable is replaced by notViable where the names are known.
var errNotViable = mongoerr.New(mongoerr.PathNotViable, "")

func notViable(name string, in *mutable) error {
	return mongoerr.New(mongoerr.PathNotViable, "Cannot create field '%s' in element {%s}", name,
		bson.RawValue{Type: in.bsonType(), Value: in.append(nil)})
}

// UpsertDocument returns the document to insert when no document matched f: the values which f
// demands, changed by the update. newID makes an _id when none of them has one; _id comes first.
func (u *Update) UpsertDocument(f *Filter, newID func() bson.RawValue) (bson.Raw, error) {
	base := &mutable{}
	fields := f.EqualityFields()
	if u.replacement != nil {
		fields = slices.DeleteFunc(fields, func(e bson.E) bool {
			return e.Key != "_id" &&
				!strings.HasPrefix(e.Key, "_id.")
		})
	}
	if err := fillEqualities(base, fields); err != nil {
		return nil, err
	}
	if u.replacement != nil && len(fields) > 0 && fields[0].Key != "_id" {
		return nil, mongoerr.New(mongoerr.NotExactValueField,
			"field at '_id' must be exactly specified, field at sub-path '%s' found", fields[0].Key)
	}
	doc, _, err := u.Apply(base.append(nil), true)
	if err != nil {
		return nil, err
	}
	id := rawdoc.Get(doc, "_id")
	switch id.Type {
	case 0:
		id = newID()
	case bson.TypeArray, bson.TypeRegex, bson.TypeUndefined:
		return nil, mongoerr.New(mongoerr.InvalidIDField, "The '_id' value cannot be of type %s",
			rawdoc.TypeName(id.Type))
	}
	return withIDFirst(doc, id), nil
}

// fillEqualities sets fields in the order of their paths.
func fillEqualities(base *mutable, fields bson.D) error {
	fields = slices.Clone(fields)
	slices.SortStableFunc(fields, func(a, b bson.E) int { return cmp.Compare(a.Key, b.Key) })
	for i, f := range fields {
		if i > 0 && fields[i-1].Key == f.Key {
			return mongoerr.New(mongoerr.NotSingleValueField,
				"cannot infer query fields to set, path '%s' is matched twice", f.Key)
		}
		if err := checkUpdatePath(f.Key); err != nil {
			return err
		}
		if !base.setPath(f.Key, f.Value.(bson.RawValue)) {
			return mongoerr.New(mongoerr.NotSingleValueField,
				"cannot infer query fields to set, both paths '%s' and a part of it are matched", f.Key)
		}
	}
	return nil
}
