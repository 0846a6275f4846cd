package query

import (
	"encoding/binary"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/bsonkey"
	"gadwall/internal/docstore/rawdoc"
)

// outcome says what becomes of a field.
type outcome uint8

const (
	opKeeps outcome = iota
	opSets
	opRemoves
)

// updateOp is an operator with its operand.
type updateOp interface {
	// apply returns the new value of the field at path, whose value is cur (perhaps missing).
	apply(r *updateRun, path string, cur bson.RawValue) (bson.RawValue, outcome, error)
	// creates reports whether the operator sets a field that is missing.
	creates(r *updateRun) bool
}

// creating is embedded by operators that set a missing field, passive by those that leave it.
type (
	creating struct{}
	passive  struct{}
)

func (creating) creates(*updateRun) bool { return true }
func (passive) creates(*updateRun) bool  { return false }

type setOp struct {
	creating
	val bson.RawValue
}

func (o *setOp) apply(*updateRun, string, bson.RawValue) (bson.RawValue, outcome, error) {
	return o.val, opSets, nil
}

type setOnInsertOp struct{ val bson.RawValue }

func (o *setOnInsertOp) creates(r *updateRun) bool { return r.isInsert }

func (o *setOnInsertOp) apply(r *updateRun, _ string, cur bson.RawValue) (bson.RawValue, outcome, error) {
	if !r.isInsert {
		return cur, opKeeps, nil
	}
	return o.val, opSets, nil
}

type unsetOp struct{ passive }

func (unsetOp) apply(_ *updateRun, _ string, cur bson.RawValue) (bson.RawValue, outcome, error) {
	if rawdoc.IsMissing(cur) {
		return cur, opKeeps, nil
	}
	return cur, opRemoves, nil
}

// arithmeticOp is $inc and $mul.
type arithmeticOp struct {
	creating
	mul bool
	val bson.RawValue
}

func (o *arithmeticOp) name() string {
	if o.mul {
		return "$mul"
	}
	return "$inc"
}

func (o *arithmeticOp) apply(r *updateRun, path string, cur bson.RawValue) (bson.RawValue, outcome, error) {
	if rawdoc.IsMissing(cur) {
		if !o.mul {
			return o.val, opSets, nil
		}
		cur = rawdoc.OfInt32(0)
	}
	if !rawdoc.IsNumber(cur) {
		return cur, opKeeps, Errorf(CodeTypeMismatch,
			"Cannot apply %s to a value of non-numeric type. {_id: %s} has the field '%s' of non-numeric type %s",
			o.name(), r.id, path, rawdoc.TypeName(cur.Type))
	}
	v, ok, err := o.compute(cur)
	if err != nil {
		return cur, opKeeps, err
	}
	if !ok {
		return cur, opKeeps, Errorf(CodeBadValue, "Failed to apply %s operations to current value (%s) for document {_id: %s}",
			o.name(), cur, r.id)
	}
	return v, opSets, nil
}

// compute keeps whole numbers whole: int32 widens to int64, and int64 does not overflow (ok is false).
func (o *arithmeticOp) compute(cur bson.RawValue) (v bson.RawValue, ok bool, err error) {
	switch {
	case cur.Type == bson.TypeDecimal128 || o.val.Type == bson.TypeDecimal128:
		return v, false, errDecimal
	case cur.Type == bson.TypeDouble || o.val.Type == bson.TypeDouble:
		a, b := asDouble(cur), asDouble(o.val)
		if o.mul {
			return rawdoc.OfDouble(a * b), true, nil
		}
		return rawdoc.OfDouble(a + b), true, nil
	}
	a, _ := rawdoc.Integer(cur)
	b, _ := rawdoc.Integer(o.val)
	n, overflow := addInt64(a, b)
	if o.mul {
		n, overflow = mulInt64(a, b)
	}
	if overflow {
		return v, false, nil
	}
	if cur.Type == bson.TypeInt32 && o.val.Type == bson.TypeInt32 && n == int64(int32(n)) {
		return rawdoc.OfInt32(int32(n)), true, nil
	}
	return rawdoc.OfInt64(n), true, nil
}

func asDouble(v bson.RawValue) float64 {
	if v.Type == bson.TypeDouble {
		return rawdoc.Double(v)
	}
	n, _ := rawdoc.Integer(v)
	return float64(n)
}

// extremeOp is $min (sign -1) and $max (sign 1).
type extremeOp struct {
	creating
	sign int
	val  bson.RawValue
}

func (o *extremeOp) apply(_ *updateRun, _ string, cur bson.RawValue) (bson.RawValue, outcome, error) {
	if rawdoc.IsMissing(cur) || bsonkey.Compare(o.val, cur)*o.sign > 0 {
		return o.val, opSets, nil
	}
	return cur, opKeeps, nil
}

type currentDateOp struct {
	creating
	timestamp bool
}

func (o *currentDateOp) apply(r *updateRun, _ string, _ bson.RawValue) (bson.RawValue, outcome, error) {
	if o.timestamp {
		return timestampValue(r.now), opSets, nil
	}
	return dateValue(r.now.UnixMilli()), opSets, nil
}

func timestampValue(t time.Time) bson.RawValue {
	return bson.RawValue{Type: bson.TypeTimestamp, Value: binary.LittleEndian.AppendUint64(nil, uint64(t.Unix())<<32|1)}
}

// bitOp is $bit: operations applied one after the other.
type bitOp struct {
	creating
	ops []bitStep
}

type bitStep struct {
	kind string // and, or, xor
	val  bson.RawValue
}

func (o *bitOp) apply(r *updateRun, path string, cur bson.RawValue) (bson.RawValue, outcome, error) {
	if rawdoc.IsMissing(cur) {
		cur = rawdoc.OfInt32(0)
	}
	if cur.Type != bson.TypeInt32 && cur.Type != bson.TypeInt64 {
		return cur, opKeeps, Errorf(CodeBadValue,
			"Cannot apply $bit to a value of non-integral type.{_id: %s} has the field %s of non-integer type %s",
			r.id, path, rawdoc.TypeName(cur.Type))
	}
	n, _ := rawdoc.Integer(cur)
	long := cur.Type == bson.TypeInt64
	for _, s := range o.ops {
		b, _ := rawdoc.Integer(s.val)
		long = long || s.val.Type == bson.TypeInt64
		switch s.kind {
		case "and":
			n &= b
		case "or":
			n |= b
		default:
			n ^= b
		}
	}
	if long {
		return rawdoc.OfInt64(n), opSets, nil
	}
	return rawdoc.OfInt32(int32(n)), opSets, nil
}

// renameOp stands at the new name of a field; reservedOp stands at the old one, so that nothing else
// changes it.
type renameOp struct {
	creating
	from  string
	steps []step
	to    []step
}

func (o *renameOp) apply(r *updateRun, path string, cur bson.RawValue) (bson.RawValue, outcome, error) {
	parent, e, array := r.doc.lookup(o.steps)
	if array != "" {
		return cur, opKeeps, Errorf(CodeBadValue,
			"The source field cannot be an array element, '%s' in doc with _id: %s has an array field called '%s'",
			o.from, r.id, array)
	}
	if parent == nil {
		return cur, opKeeps, nil
	}
	if _, _, array := r.doc.lookup(o.to); array != "" {
		return cur, opKeeps, Errorf(CodeBadValue,
			"The destination field cannot be an array element, '%s' in doc with _id: %s has an array field called '%s'",
			path, r.id, array)
	}
	v := e.value()
	parent.remove(o.steps[len(o.steps)-1])
	return v, opSets, nil
}

type reservedOp struct{ passive }

func (reservedOp) apply(_ *updateRun, _ string, cur bson.RawValue) (bson.RawValue, outcome, error) {
	return cur, opKeeps, nil
}
