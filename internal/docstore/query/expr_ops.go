package query

import (
	"encoding/binary"
	"math"
	"math/bits"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/bsonkey"
	"gadwall/internal/docstore/rawdoc"
)

// exprOp is an operator whose arguments are all evaluated first. arity -1 is any number.
type exprOp struct {
	arity int
	fn    func(args []bson.RawValue) (bson.RawValue, error)
}

var exprOps = map[string]exprOp{
	"$add":        {-1, addValues},
	"$subtract":   {2, subtractValues},
	"$multiply":   {-1, multiplyValues},
	"$eq":         {2, comparing(func(c int) bool { return c == 0 })},
	"$ne":         {2, comparing(func(c int) bool { return c != 0 })},
	"$gt":         {2, comparing(func(c int) bool { return c > 0 })},
	"$gte":        {2, comparing(func(c int) bool { return c >= 0 })},
	"$lt":         {2, comparing(func(c int) bool { return c < 0 })},
	"$lte":        {2, comparing(func(c int) bool { return c <= 0 })},
	"$not":        {1, func(a []bson.RawValue) (bson.RawValue, error) { return rawdoc.OfBool(!rawdoc.Truthy(a[0])), nil }},
	"$size":       {1, arraySize},
	"$binarySize": {1, binarySize},
}

// parseCall parses {$name: arg}.
func parseCall(name string, arg bson.RawValue, depth int) (expr, error) {
	if depth > MaxFilterDepth {
		return nil, tooDeep()
	}
	if name == "$literal" {
		return literal{arg}, nil
	}
	if name == "$cond" && arg.Type == bson.TypeEmbeddedDocument {
		return parseCondDoc(arg.Value, depth)
	}
	op, known := exprOps[name]
	switch name {
	case "$cond", "$ifNull", "$and", "$or":
		known = true
	}
	if !known {
		return nil, Errorf(CodeInvalidPipelineOperator, "Unrecognized expression '%s'", name)
	}
	var args arrayExpr
	var err error
	if arg.Type == bson.TypeArray {
		args, err = parseExprList(arg.Value, depth)
	} else {
		args = make(arrayExpr, 1)
		args[0], err = parseExpr(arg, depth)
	}
	if err != nil {
		return nil, err
	}
	switch name {
	case "$and", "$or":
		return &logicExpr{name == "$or", args}, nil
	case "$ifNull":
		if len(args) < 2 {
			return nil, Errorf(1257300, "$ifNull needs at least two arguments, had: %d", len(args))
		}
		return ifNullExpr(args), nil
	case "$cond":
		if len(args) != 3 {
			return nil, wrongArity(name, 3, len(args))
		}
		return &condExpr{args[0], args[1], args[2]}, nil
	}
	if op.arity >= 0 && len(args) != op.arity {
		return nil, wrongArity(name, op.arity, len(args))
	}
	return &call{op.fn, args}, nil
}

func wrongArity(name string, want, got int) error {
	return Errorf(16020, "Expression %s takes exactly %d arguments. %d were passed in.", name, want, got)
}

func parseCondDoc(doc []byte, depth int) (expr, error) {
	c := &condExpr{}
	for it := rawdoc.Over(doc); it.Next(); {
		e, err := parseExpr(it.Value(), depth)
		if err != nil {
			return nil, err
		}
		switch string(it.Key()) {
		case "if":
			c.cond = e
		case "then":
			c.then = e
		case "else":
			c.els = e
		default:
			return nil, Errorf(17083, "Unrecognized parameter to $cond: %s", it.Key())
		}
	}
	switch {
	case c.cond == nil:
		return nil, Errorf(17080, "Missing 'if' parameter to $cond")
	case c.then == nil:
		return nil, Errorf(17081, "Missing 'then' parameter to $cond")
	case c.els == nil:
		return nil, Errorf(17082, "Missing 'else' parameter to $cond")
	}
	return c, nil
}

// comparing compares in the full order of values, where a missing value sorts before null.
func comparing(holds func(int) bool) func([]bson.RawValue) (bson.RawValue, error) {
	return func(a []bson.RawValue) (bson.RawValue, error) {
		return rawdoc.OfBool(holds(compareWithMissing(a[0], a[1]))), nil
	}
}

// compareWithMissing is bsonkey.Compare, except that a missing value is its own, smallest, kind but for MinKey.
func compareWithMissing(a, b bson.RawValue) int {
	if am, bm := rawdoc.IsMissing(a), rawdoc.IsMissing(b); am || bm {
		// MongoDB gives missing and undefined the same place, before null.
		if am {
			a = bson.RawValue{Type: bson.TypeUndefined}
		}
		if bm {
			b = bson.RawValue{Type: bson.TypeUndefined}
		}
	}
	return bsonkey.Compare(a, b)
}

// sum adds numbers as MongoDB does: whole numbers stay whole until they leave the range of int64, int32
// becomes int64 when it must, and one double makes the sum a double.
type sum struct {
	whole    int64
	overflow bool
	float    float64 // sum of the doubles
	lost     float64 // what rounding took from float (Neumaier's summation)
	long     bool
	double   bool
}

var errDecimal = Errorf(CodeNotImplemented, "arithmetic on decimal128 is not supported")

func (s *sum) add(v bson.RawValue) error {
	switch v.Type {
	case bson.TypeInt32:
		s.addWhole(int64(rawdoc.Int32(v)))
	case bson.TypeInt64:
		s.long = true
		s.addWhole(rawdoc.Int64(v))
	case bson.TypeDouble:
		s.double = true
		s.addFloat(rawdoc.Double(v))
	case bson.TypeDecimal128:
		return errDecimal
	}
	return nil
}

func (s *sum) addWhole(n int64) {
	r, carry := addInt64(s.whole, n)
	if carry {
		s.overflow = true
		s.addFloat(float64(s.whole))
		s.whole = n
		return
	}
	s.whole = r
}

func (s *sum) addFloat(f float64) {
	t := s.float + f
	if math.Abs(s.float) >= math.Abs(f) {
		s.lost += s.float - t + f
	} else {
		s.lost += f - t + s.float
	}
	s.float = t
}

// total is the whole sum as a double.
func (s *sum) total() float64 {
	t := *s
	t.addFloat(float64(s.whole))
	if math.IsInf(t.float, 0) || math.IsNaN(t.float) {
		return t.float // lost is not a number then
	}
	return t.float + t.lost
}

func addInt64(a, b int64) (r int64, overflow bool) {
	r = a + b
	return r, (a > 0 && b > 0 && r < 0) || (a < 0 && b < 0 && r >= 0)
}

func mulInt64(a, b int64) (r int64, overflow bool) {
	hi, lo := bits.Mul64(absUint(a), absUint(b))
	if hi != 0 {
		return 0, true
	}
	if (a < 0) != (b < 0) {
		return -int64(lo), lo > 1<<63
	}
	return int64(lo), lo >= 1<<63
}

func absUint(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}

func (s *sum) value() bson.RawValue {
	switch {
	case s.double || s.overflow:
		return rawdoc.OfDouble(s.total())
	case s.long || s.whole != int64(int32(s.whole)):
		return rawdoc.OfInt64(s.whole)
	}
	return rawdoc.OfInt32(int32(s.whole))
}

func dateValue(ms int64) bson.RawValue {
	return bson.RawValue{Type: bson.TypeDateTime, Value: binary.LittleEndian.AppendUint64(nil, uint64(ms))}
}

func addValues(args []bson.RawValue) (bson.RawValue, error) {
	var s sum
	var date bool
	for _, a := range args {
		switch {
		case a.Type == bson.TypeDateTime:
			if date {
				return a, Errorf(16612, "only one date allowed in an $add expression")
			}
			date = true
			s.addWhole(rawdoc.Int64(a))
		case rawdoc.IsNumber(a):
			if err := s.add(a); err != nil {
				return a, err
			}
		case isNullish(a):
			return rawdoc.Null, nil
		default:
			return a, Errorf(CodeTypeMismatch, "$add only supports numeric or date types, not %s", rawdoc.TypeName(a.Type))
		}
	}
	if !date {
		return s.value(), nil
	}
	ms, ok := truncated(s.value())
	if s.double {
		ms, ok = truncated(rawdoc.OfDouble(math.Round(s.total())))
	}
	if !ok {
		return rawdoc.Missing, Errorf(CodeOverflow, "date overflow")
	}
	return dateValue(ms), nil
}

func subtractValues(a []bson.RawValue) (bson.RawValue, error) {
	x, y := a[0], a[1]
	switch {
	case isNullish(x) || isNullish(y):
		return rawdoc.Null, nil
	case x.Type == bson.TypeDateTime && y.Type == bson.TypeDateTime:
		return rawdoc.OfInt64(rawdoc.Int64(x) - rawdoc.Int64(y)), nil
	case x.Type == bson.TypeDateTime && rawdoc.IsNumber(y):
		ms, ok := truncated(y)
		if !ok {
			return x, Errorf(CodeOverflow, "date overflow")
		}
		return dateValue(rawdoc.Int64(x) - ms), nil
	case !rawdoc.IsNumber(x) || !rawdoc.IsNumber(y):
		return x, Errorf(CodeTypeMismatch, "can't $subtract %s from %s", rawdoc.TypeName(y.Type), rawdoc.TypeName(x.Type))
	}
	var s sum
	if err := s.add(x); err != nil {
		return x, err
	}
	neg, err := multiplyValues([]bson.RawValue{y, rawdoc.OfInt32(-1)})
	if err != nil {
		return x, err
	}
	s.long = s.long || y.Type == bson.TypeInt64
	err = s.add(neg)
	return s.value(), err
}

func multiplyValues(args []bson.RawValue) (bson.RawValue, error) {
	whole, float := int64(1), 1.0
	var long, double bool
	for _, a := range args {
		switch {
		case isNullish(a):
			return rawdoc.Null, nil
		case !rawdoc.IsNumber(a):
			return a, Errorf(CodeTypeMismatch, "$multiply only supports numeric types, not %s", rawdoc.TypeName(a.Type))
		case a.Type == bson.TypeDecimal128:
			return a, errDecimal
		case a.Type == bson.TypeDouble:
			double = true
			float *= rawdoc.Double(a)
			continue
		}
		long = long || a.Type == bson.TypeInt64
		n, _ := rawdoc.Integer(a)
		float *= float64(n)
		var overflow bool
		if whole, overflow = mulInt64(whole, n); overflow {
			double = true
		}
	}
	switch {
	case double:
		return rawdoc.OfDouble(float), nil
	case long || whole != int64(int32(whole)):
		return rawdoc.OfInt64(whole), nil
	}
	return rawdoc.OfInt32(int32(whole)), nil
}

func arraySize(a []bson.RawValue) (bson.RawValue, error) {
	if a[0].Type != bson.TypeArray {
		return a[0], Errorf(17124, "The argument to $size must be an array, but was of type: %s", rawdoc.TypeName(a[0].Type))
	}
	return rawdoc.OfInt32(int32(arrayLen(a[0].Value))), nil
}

func arrayLen(arr []byte) int {
	n := 0
	for it := rawdoc.Over(arr); it.Next(); {
		n++
	}
	return n
}

func binarySize(a []bson.RawValue) (bson.RawValue, error) {
	switch {
	case isNullish(a[0]):
		return rawdoc.Null, nil
	case a[0].Type == bson.TypeString:
		return rawdoc.OfInt32(int32(len(rawdoc.String(a[0])))), nil
	case a[0].Type == bson.TypeBinary:
		_, data := rawdoc.Binary(a[0])
		return rawdoc.OfInt32(int32(len(data))), nil
	}
	return a[0], Errorf(51276, "$binarySize requires a string or BinData argument, found: %s", rawdoc.TypeName(a[0].Type))
}
