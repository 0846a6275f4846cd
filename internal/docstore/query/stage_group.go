package query

import (
	"io"
	"math"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/rawdoc"
)

// groupStage is the $group with which drivers count: one constant as the _id of the only group, and
// fields that add 1 for each document.
type groupStage struct {
	id     bson.RawValue
	fields []string
}

func parseGroup(v bson.RawValue) (stage, error) {
	if v.Type != bson.TypeEmbeddedDocument {
		return nil, mongoerr.New(mongoerr.GroupNotObject, "a group's fields must be specified in an object")
	}
	g := &groupStage{}
	for it := rawdoc.Over(v.Value); it.Next(); {
		name, v := string(it.Key()), it.Value()
		if name != "_id" {
			if err := checkAccumulator(name, v); err != nil {
				return nil, err
			}
			g.fields = append(g.fields, name)
			continue
		}
		if !isConstant(v) {
			return nil, mongoerr.New(mongoerr.NotImplemented, "$group by anything but a constant is not supported")
		}
		g.id = v
	}
	if rawdoc.IsMissing(g.id) {
		return nil, mongoerr.New(mongoerr.GroupNoID, "a group specification must include an _id")
	}
	return g, nil
}

// isConstant reports whether an expression is a constant that is written without $literal.
func isConstant(v bson.RawValue) bool {
	switch v.Type {
	case bson.TypeString:
		return !strings.HasPrefix(string(rawdoc.String(v)), "$")
	case bson.TypeEmbeddedDocument, bson.TypeArray:
		return false
	}
	return true
}

func checkAccumulator(field string, v bson.RawValue) error {
	switch {
	case strings.Contains(field, "."):
		return mongoerr.New(mongoerr.GroupDottedField, "The field name '%s' cannot contain '.'", field)
	case strings.HasPrefix(field, "$"):
		return mongoerr.New(mongoerr.GroupOperatorField, "The field name '%s' cannot be an operator name", field)
	case v.Type != bson.TypeEmbeddedDocument:
		return mongoerr.New(mongoerr.GroupFieldNotAccumulator, "The field '%s' must be an accumulator object", field)
	}
	it := rawdoc.Over(v.Value)
	if !it.Next() || len(it.Key()) == 0 || it.Key()[0] != '$' {
		return mongoerr.New(mongoerr.GroupFieldNotAccumulator, "The field '%s' must be an accumulator object", field)
	}
	name, arg := string(it.Key()), it.Value()
	n, whole := rawdoc.Integer(arg)
	switch {
	case it.Next():
		return mongoerr.New(mongoerr.GroupFieldNotSingle, "The field '%s' must specify one accumulator", field)
	case name != "$sum":
		return mongoerr.New(mongoerr.GroupUnknownAccumulator, "unknown group operator '%s'", name)
	case arg.Type != bson.TypeInt32 || !whole || n != 1:
		return mongoerr.New(mongoerr.NotImplemented, "$sum of anything but 1 is not supported")
	}
	return nil
}

func (s *groupStage) run(src Source) Source {
	return counted(src, func(n int64) bson.Raw {
		buf, start := rawdoc.Begin(nil)
		buf = rawdoc.AppendElem(buf, "_id", s.id)
		for _, f := range s.fields {
			buf = rawdoc.AppendElem(buf, f, wholeNumber(n))
		}
		return rawdoc.End(buf, start)
	})
}

// counted gives one document, made of the number of documents of src; none for none.
func counted(src Source, result func(n int64) bson.Raw) Source {
	done := false
	return func() (bson.Raw, error) {
		n := int64(0)
		for !done {
			switch _, err := src(); err {
			case nil:
				n++
			case io.EOF:
				done = true
			default:
				return nil, err
			}
		}
		if n == 0 {
			return nil, io.EOF
		}
		return result(n), nil
	}
}

// wholeNumber is an int32 where that is enough.
func wholeNumber(n int64) bson.RawValue {
	if n <= math.MaxInt32 {
		return rawdoc.OfInt32(int32(n))
	}
	return rawdoc.OfInt64(n)
}
