package query

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/bsonkey"
	"gadwall/internal/docstore/mongoerr"
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

type incOp struct {
	creating
	val bson.RawValue
}

func (o *incOp) apply(r *updateRun, path string, cur bson.RawValue) (bson.RawValue, outcome, error) {
	if rawdoc.IsMissing(cur) {
		return o.val, opSets, nil
	}
	if !rawdoc.IsNumber(cur) {
		return cur, opKeeps, mongoerr.New(mongoerr.TypeMismatch,
			"Cannot apply $inc to a value of non-numeric type. {_id: %s} has the field '%s' of non-numeric type %s",
			r.id, path, rawdoc.TypeName(cur.Type))
	}
	switch {
	case cur.Type == bson.TypeDecimal128 || o.val.Type == bson.TypeDecimal128:
		return cur, opKeeps, mongoerr.New(mongoerr.NotImplemented, "arithmetic on decimal128 is not supported")
	case cur.Type == bson.TypeDouble || o.val.Type == bson.TypeDouble:
		return rawdoc.OfDouble(asDouble(cur) + asDouble(o.val)), opSets, nil
	}
	// Whole numbers stay whole: int32 widens to int64, and int64 does not overflow.
	a, _ := rawdoc.Integer(cur)
	b, _ := rawdoc.Integer(o.val)
	n := a + b
	switch {
	case a > 0 && b > 0 && n < 0, a < 0 && b < 0 && n >= 0:
		return cur, opKeeps, mongoerr.New(mongoerr.BadValue,
			"Failed to apply $inc operations to current value (%s) for document {_id: %s}",
			cur, r.id)
	case cur.Type == bson.TypeInt32 && o.val.Type == bson.TypeInt32 && n == int64(int32(n)):
		return rawdoc.OfInt32(int32(n)), opSets, nil
	}
	return rawdoc.OfInt64(n), opSets, nil
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
		return cur, opKeeps, mongoerr.New(mongoerr.BadValue,
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
