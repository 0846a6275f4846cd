package query

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/rawdoc"
)

// ParseUpdate parses an update: a document whose fields are operators, or a replacement document.
// Updates by aggregation pipeline and by array filters are refused.
func ParseUpdate(u bson.RawValue, arrayFilters []bson.Raw) (*Update, error) {
	switch {
	case u.Type == bson.TypeArray:
		return nil, mongoerr.New(mongoerr.NotImplemented, "updates with an aggregation pipeline are not supported")
	case u.Type != bson.TypeEmbeddedDocument:
		return nil, mongoerr.New(mongoerr.FailedToParse, "Update argument must be either an object or an array")
	case len(arrayFilters) > 0:
		return nil, mongoerr.New(mongoerr.NotImplemented, "arrayFilters are not supported")
	}
	out := &Update{}
	if !startsWithDollar(u.Value) {
		for it := rawdoc.Over(u.Value); it.Next(); {
			if k := it.Key(); len(k) > 0 && k[0] == '$' {
				return nil, mongoerr.New(mongoerr.DollarPrefixedFieldName,
					"The dollar ($) prefixed field '%s' in '%s' is not allowed in "+
						"the context of an update's replacement document. Consider using an "+
						"aggregation pipeline with $replaceWith.", k, k)
			}
		}
		out.replacement = u.Value
		return out, nil
	}
	it := rawdoc.Over(u.Value)
	for it.Next() {
		name, v := string(it.Key()), it.Value()
		parse, ok := updateOps[name]
		if !ok {
			return nil, mongoerr.New(mongoerr.FailedToParse,
				"Unknown modifier: %s. Expected a valid update modifier or "+
					"pipeline-style update specified as an array", name)
		}
		if v.Type != bson.TypeEmbeddedDocument {
			return nil, mongoerr.New(mongoerr.FailedToParse,
				"Modifiers operate on fields but we found type %s instead. For example: "+
					"{$mod: {<field>: ...}} not {%s: %s}", rawdoc.TypeName(v.Type), name, v)
		}
		if err := out.operator(v.Value, parse); err != nil {
			return nil, err
		}
	}
	if it.Bad() {
		return nil, mongoerr.New(mongoerr.InvalidBSON, "invalid BSON in an update")
	}
	return out, nil
}

func (u *Update) operator(fields []byte, parse opParser) error {
	it := rawdoc.Over(fields)
	for it.Next() {
		path, v := string(it.Key()), it.Value()
		if u.paths++; u.paths > MaxUpdatePaths {
			return mongoerr.New(mongoerr.BadValue, "too many fields in an update, the most is %d", MaxUpdatePaths)
		}
		if err := checkUpdatePath(path); err != nil {
			return err
		}
		op, err := parse(path, v)
		if err != nil {
			return err
		}
		if err := u.insert(path, op); err != nil {
			return err
		}
	}
	if it.Bad() {
		return mongoerr.New(mongoerr.InvalidBSON, "invalid BSON in an update")
	}
	return nil
}

func checkUpdatePath(path string) error {
	if path == "" {
		return mongoerr.New(mongoerr.EmptyFieldName, "An empty update path is not valid.")
	}
	for name := range strings.SplitSeq(path, ".") {
		switch {
		case name == "":
			return mongoerr.New(mongoerr.EmptyFieldName,
				"The update path '%s' contains an empty field name, which is not allowed.", path)
		case name == "$" || strings.HasPrefix(name, "$["):
			return mongoerr.New(mongoerr.NotImplemented,
				"positional operators in update paths are not supported: '%s'", path)
		case name[0] == '$':
			return mongoerr.New(mongoerr.DollarPrefixedFieldName,
				"The dollar ($) prefixed field '%s' in '%s' is not valid for storage.", name, path)
		}
	}
	return nil
}

type opParser func(path string, v bson.RawValue) (updateOp, error)

var updateOps = map[string]opParser{
	"$set":         func(_ string, v bson.RawValue) (updateOp, error) { return &setOp{val: v}, nil },
	"$setOnInsert": func(_ string, v bson.RawValue) (updateOp, error) { return &setOnInsertOp{v}, nil },
	"$unset":       func(string, bson.RawValue) (updateOp, error) { return unsetOp{}, nil },
	"$inc":         parseInc,
	"$min":         func(_ string, v bson.RawValue) (updateOp, error) { return &extremeOp{sign: -1, val: v}, nil },
	"$max":         func(_ string, v bson.RawValue) (updateOp, error) { return &extremeOp{sign: 1, val: v}, nil },
	"$bit":         parseBit,
	"$push":        parsePush,
	"$addToSet":    parseAddToSet,
	"$pull":        parsePull,
}

func parseInc(path string, v bson.RawValue) (updateOp, error) {
	if !rawdoc.IsNumber(v) {
		return nil, mongoerr.New(mongoerr.TypeMismatch, "Cannot increment with non-numeric argument: {%s: %s}", path, v)
	}
	return &incOp{val: v}, nil
}

func parseBit(path string, v bson.RawValue) (updateOp, error) {
	if v.Type != bson.TypeEmbeddedDocument {
		return nil, mongoerr.New(mongoerr.BadValue,
			"The $bit modifier is not compatible with a %s. You must pass in an embedded "+
				"document: {$bit: {field: {and/or/xor: #}}", rawdoc.TypeName(v.Type))
	}
	o := &bitOp{}
	for it := rawdoc.Over(v.Value); it.Next(); {
		kind, b := string(it.Key()), it.Value()
		if kind != "and" && kind != "or" && kind != "xor" {
			return nil, mongoerr.New(mongoerr.BadValue,
				"The $bit modifier only supports 'and', 'or', and 'xor', not '%s' which is an "+
					"unknown operator: {%s: %s}", kind, path, v)
		}
		if b.Type != bson.TypeInt32 && b.Type != bson.TypeInt64 {
			return nil, mongoerr.New(mongoerr.BadValue,
				"The $bit modifier field must be an Integer(32/64 bit); a '%s' is not supported "+
					"here: {%s: %s}", rawdoc.TypeName(b.Type), path, v)
		}
		o.ops = append(o.ops, bitStep{kind, b})
	}
	if len(o.ops) == 0 {
		return nil, mongoerr.New(mongoerr.BadValue, "You must pass in at least one bitwise operation. The format is: "+
			"{$bit: {field: {and/or/xor: #}}")
	}
	return o, nil
}

func parsePull(path string, v bson.RawValue) (updateOp, error) {
	drop, err := pullCondition(path, v)
	return &pullOp{name: "$pull", drop: drop}, err
}
