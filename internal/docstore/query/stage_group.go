package query

import (
	"io"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/bsonkey"
	"gadwall/internal/docstore/rawdoc"
)

// groupStage is $group.
type groupStage struct {
	id   expr
	accs []accSpec
}

type accSpec struct {
	field string
	expr  expr
	make  func() accumulator
}

// accumulator gathers one field of one group. The values it is given alias a document that is about to go.
type accumulator interface {
	add(v bson.RawValue, held *budget) error
	value() bson.RawValue
}

var accumulators = map[string]func() accumulator{
	"$sum":      func() accumulator { return &sumAcc{} },
	"$avg":      func() accumulator { return &avgAcc{} },
	"$min":      func() accumulator { return &extremeAcc{sign: -1} },
	"$max":      func() accumulator { return &extremeAcc{sign: 1} },
	"$first":    func() accumulator { return &firstAcc{} },
	"$last":     func() accumulator { return &lastAcc{} },
	"$push":     func() accumulator { return &pushAcc{} },
	"$addToSet": func() accumulator { return &pushAcc{seen: map[string]bool{}} },
}

func parseGroup(v bson.RawValue) (stage, error) {
	if v.Type != bson.TypeEmbeddedDocument {
		return nil, Errorf(15947, "a group's fields must be specified in an object")
	}
	g := &groupStage{}
	for it := rawdoc.Over(v.Value); it.Next(); {
		name := string(it.Key())
		if name == "_id" {
			e, err := parseExpr(it.Value(), 1)
			if err != nil {
				return nil, err
			}
			g.id = e
			continue
		}
		acc, err := parseAccumulator(name, it.Value())
		if err != nil {
			return nil, err
		}
		g.accs = append(g.accs, acc)
	}
	if g.id == nil {
		return nil, Errorf(codeGroupNoID, "a group specification must include an _id")
	}
	return g, nil
}

func parseAccumulator(field string, v bson.RawValue) (accSpec, error) {
	spec := accSpec{field: field}
	switch {
	case strings.Contains(field, "."):
		return spec, Errorf(40235, "The field name '%s' cannot contain '.'", field)
	case strings.HasPrefix(field, "$"):
		return spec, Errorf(40236, "The field name '%s' cannot be an operator name", field)
	case v.Type != bson.TypeEmbeddedDocument:
		return spec, Errorf(40234, "The field '%s' must be an accumulator object", field)
	}
	it := rawdoc.Over(v.Value)
	if !it.Next() {
		return spec, Errorf(40234, "The field '%s' must be an accumulator object", field)
	}
	name, arg := string(it.Key()), it.Value()
	if it.Next() {
		return spec, Errorf(40238, "The field '%s' must specify one accumulator", field)
	}
	if name == "$count" {
		if arg.Type != bson.TypeEmbeddedDocument || len(arg.Value) > len(rawdoc.Empty) {
			return spec, Errorf(CodeTypeMismatch, "$count takes no arguments, i.e. $count:{}")
		}
		name, arg = "$sum", rawdoc.OfInt32(1)
	}
	if !strings.HasPrefix(name, "$") {
		return spec, Errorf(40234, "The field '%s' must be an accumulator object", field)
	}
	var ok bool
	if spec.make, ok = accumulators[name]; !ok {
		return spec, Errorf(codeGroupUnknownAccumulator, "unknown group operator '%s'", name)
	}
	if arg.Type == bson.TypeArray {
		return spec, Errorf(40237, "The %s accumulator is a unary operator", name)
	}
	var err error
	spec.expr, err = parseExpr(arg, 1)
	return spec, err
}

type group struct {
	id   bson.RawValue
	accs []accumulator
}

func (s *groupStage) run(src Source) Source {
	var groups []*group
	loaded := false
	return func() (bson.Raw, error) {
		if !loaded {
			var err error
			if groups, err = s.load(src); err != nil {
				return nil, err
			}
			loaded = true
		}
		if len(groups) == 0 {
			return nil, io.EOF
		}
		g := groups[0]
		groups[0] = nil
		groups = groups[1:]
		buf, start := rawdoc.Begin(nil)
		buf = rawdoc.AppendElem(buf, "_id", g.id)
		for i, a := range g.accs {
			buf = rawdoc.AppendElem(buf, s.accs[i].field, a.value())
		}
		return checkSize(rawdoc.End(buf, start))
	}
}

// load reads everything; groups come in the order of their first document.
func (s *groupStage) load(src Source) ([]*group, error) {
	var groups []*group
	byKey := map[string]*group{}
	held := &budget{what: "$group"}
	var key []byte
	for {
		doc, err := src()
		if err == io.EOF {
			return groups, nil
		}
		if err != nil {
			return nil, err
		}
		id, err := s.id.eval(doc)
		if err != nil {
			return nil, err
		}
		key = bsonkey.Append(key[:0], id)
		g := byKey[string(key)]
		if g == nil {
			if err := held.take(2*len(key) + perItem*len(s.accs)); err != nil {
				return nil, err
			}
			g = &group{id: clone(id)}
			for _, a := range s.accs {
				g.accs = append(g.accs, a.make())
			}
			byKey[string(key)] = g
			groups = append(groups, g)
		}
		for i, a := range s.accs {
			v, err := a.expr.eval(doc)
			if err != nil {
				return nil, err
			}
			if err := g.accs[i].add(v, held); err != nil {
				return nil, err
			}
		}
	}
}

type sumAcc struct{ sum }

func (a *sumAcc) add(v bson.RawValue, _ *budget) error { return a.sum.add(v) }

// avgAcc averages the numbers among its values.
type avgAcc struct {
	sum sum
	n   int64
}

func (a *avgAcc) add(v bson.RawValue, _ *budget) error {
	if rawdoc.IsNumber(v) {
		a.n++
	}
	return a.sum.add(v)
}

func (a *avgAcc) value() bson.RawValue {
	if a.n == 0 {
		return rawdoc.Null
	}
	return rawdoc.OfDouble(asDouble(a.sum.value()) / float64(a.n))
}

// extremeAcc is $min and $max, which leave out null and missing.
type extremeAcc struct {
	sign int
	best bson.RawValue
}

func (a *extremeAcc) add(v bson.RawValue, held *budget) error {
	if isNullish(v) || !rawdoc.IsMissing(a.best) && bsonkey.Compare(v, a.best)*a.sign <= 0 {
		return nil
	}
	held.release(len(a.best.Value))
	a.best = clone(v)
	return held.take(len(v.Value))
}

func (a *extremeAcc) value() bson.RawValue {
	if rawdoc.IsMissing(a.best) {
		return rawdoc.Null
	}
	return a.best
}

type firstAcc struct {
	val bson.RawValue
	has bool
}

func (a *firstAcc) add(v bson.RawValue, held *budget) error {
	if a.has {
		return nil
	}
	a.val, a.has = clone(v), true
	return held.take(len(v.Value))
}

func (a *firstAcc) value() bson.RawValue { return a.val }

type lastAcc struct{ val bson.RawValue }

func (a *lastAcc) add(v bson.RawValue, held *budget) error {
	held.release(len(a.val.Value))
	if rawdoc.IsMissing(v) {
		v = rawdoc.Null
	}
	a.val.Type, a.val.Value = v.Type, append(a.val.Value[:0], v.Value...)
	return held.take(len(v.Value))
}

func (a *lastAcc) value() bson.RawValue { return a.val }

// pushAcc is $push and, with seen, $addToSet.
type pushAcc struct {
	vals []bson.RawValue
	seen map[string]bool
}

func (a *pushAcc) add(v bson.RawValue, held *budget) error {
	if rawdoc.IsMissing(v) {
		return nil
	}
	if a.seen != nil {
		key := string(bsonkey.Append(nil, v))
		if a.seen[key] {
			return nil
		}
		a.seen[key] = true
		if err := held.take(len(key)); err != nil {
			return err
		}
	}
	a.vals = append(a.vals, clone(v))
	return held.take(len(v.Value))
}

func (a *pushAcc) value() bson.RawValue { return arrayOf(a.vals) }
