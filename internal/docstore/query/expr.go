package query

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/rawdoc"
)

// expr is an aggregation expression. Its value may alias the document; it is missing when the expression
// names a field that is not there.
type expr interface {
	eval(doc []byte) (bson.RawValue, error)
}

// literal is a constant.
type literal struct{ val bson.RawValue }

func (l literal) eval([]byte) (bson.RawValue, error) { return l.val, nil }

// rootRef is $$ROOT.
type rootRef struct{}

func (rootRef) eval(doc []byte) (bson.RawValue, error) { return rawdoc.OfDoc(doc), nil }

// fieldRef is a field path: "$a.b". An array on the way gives the array of what its objects have there.
type fieldRef struct{ path []string }

func (f *fieldRef) eval(doc []byte) (bson.RawValue, error) { return fieldAt(doc, f.path), nil }

func fieldAt(doc []byte, path []string) bson.RawValue {
	for {
		v := rawdoc.Get(doc, path[0])
		path = path[1:]
		switch {
		case len(path) == 0:
			return v
		case v.Type == bson.TypeEmbeddedDocument:
			doc = v.Value
		case v.Type == bson.TypeArray:
			return fieldsInArray(v.Value, path)
		default:
			return rawdoc.Missing
		}
	}
}

func fieldsInArray(arr []byte, path []string) bson.RawValue {
	buf, start := rawdoc.Begin(nil)
	n := 0
	for it := rawdoc.Over(arr); it.Next(); {
		if it.Type() != bson.TypeEmbeddedDocument {
			continue
		}
		if v := fieldAt(it.Value().Value, path); !rawdoc.IsMissing(v) {
			buf = rawdoc.AppendItem(buf, n, v)
			n++
		}
	}
	return rawdoc.OfArray(rawdoc.End(buf, start))
}

// docExpr makes a document; fields whose value is missing are left out.
type docExpr struct {
	names []string
	vals  []expr
}

func (d *docExpr) eval(doc []byte) (bson.RawValue, error) {
	buf, start := rawdoc.Begin(nil)
	for i, e := range d.vals {
		v, err := e.eval(doc)
		if err != nil {
			return v, err
		}
		if !rawdoc.IsMissing(v) {
			buf = rawdoc.AppendElem(buf, d.names[i], v)
		}
	}
	return rawdoc.OfDoc(rawdoc.End(buf, start)), nil
}

// arrayExpr makes an array; missing values become null.
type arrayExpr []expr

func (a arrayExpr) eval(doc []byte) (bson.RawValue, error) {
	buf, start := rawdoc.Begin(nil)
	for i, e := range a {
		v, err := e.eval(doc)
		if err != nil {
			return v, err
		}
		if rawdoc.IsMissing(v) {
			v = rawdoc.Null
		}
		buf = rawdoc.AppendItem(buf, i, v)
	}
	return rawdoc.OfArray(rawdoc.End(buf, start)), nil
}

// call is an operator with its arguments.
type call struct {
	fn   func(args []bson.RawValue) (bson.RawValue, error)
	args []expr
}

func (c *call) eval(doc []byte) (bson.RawValue, error) {
	var few [4]bson.RawValue
	args := few[:0]
	for _, a := range c.args {
		v, err := a.eval(doc)
		if err != nil {
			return v, err
		}
		args = append(args, v)
	}
	return c.fn(args)
}

// condExpr is $cond: only the chosen side is evaluated.
type condExpr struct{ cond, then, els expr }

func (c *condExpr) eval(doc []byte) (bson.RawValue, error) {
	v, err := c.cond.eval(doc)
	if err != nil {
		return v, err
	}
	if rawdoc.Truthy(v) {
		return c.then.eval(doc)
	}
	return c.els.eval(doc)
}

// ifNullExpr is $ifNull: the first value that is not null, or the last one.
type ifNullExpr []expr

func (e ifNullExpr) eval(doc []byte) (v bson.RawValue, err error) {
	for _, a := range e {
		if v, err = a.eval(doc); err != nil || !isNullish(v) {
			break
		}
	}
	return v, err
}

// logicExpr is $and and $or, which stop at the first value that decides.
type logicExpr struct {
	or   bool
	args []expr
}

func (l *logicExpr) eval(doc []byte) (bson.RawValue, error) {
	for _, a := range l.args {
		v, err := a.eval(doc)
		if err != nil {
			return v, err
		}
		if rawdoc.Truthy(v) == l.or {
			return rawdoc.OfBool(l.or), nil
		}
	}
	return rawdoc.OfBool(!l.or), nil
}

func isNullish(v bson.RawValue) bool {
	return v.Type == 0 || v.Type == bson.TypeNull || v.Type == bson.TypeUndefined
}

// parseExpr parses an expression.
func parseExpr(v bson.RawValue, depth int) (expr, error) {
	if depth > MaxFilterDepth {
		return nil, tooDeep()
	}
	switch v.Type {
	case bson.TypeString:
		if s := string(rawdoc.String(v)); strings.HasPrefix(s, "$") {
			return parseFieldRef(s)
		}
	case bson.TypeArray:
		return parseExprList(v.Value, depth)
	case bson.TypeEmbeddedDocument:
		return parseExprDoc(v.Value, depth)
	}
	return literal{v}, nil
}

func parseExprList(arr []byte, depth int) (arrayExpr, error) {
	var out arrayExpr
	for it := rawdoc.Over(arr); it.Next(); {
		e, err := parseExpr(it.Value(), depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

func parseFieldRef(s string) (expr, error) {
	if strings.HasPrefix(s, "$$") {
		name, rest, dotted := strings.Cut(s[2:], ".")
		switch name {
		case "ROOT", "CURRENT":
			if !dotted {
				return rootRef{}, nil
			}
			return fieldRefOf(rest)
		case "REMOVE":
			return literal{rawdoc.Missing}, nil
		case "NOW", "CLUSTER_TIME", "DESCEND", "PRUNE", "KEEP", "USER_ROLES", "SEARCH_META":
			return nil, Errorf(CodeNotImplemented, "the variable $$%s is not supported", name)
		}
		return nil, Errorf(codeUndefinedVariable, "Use of undefined variable: %s", name)
	}
	return fieldRefOf(s[1:])
}

func fieldRefOf(path string) (expr, error) {
	if path == "" {
		return nil, Errorf(16872, "'$' by itself is not a valid FieldPath")
	}
	if err := checkFieldPath(path); err != nil {
		return nil, err
	}
	return &fieldRef{strings.Split(path, ".")}, nil
}

// checkFieldPath checks a path of an aggregation: no empty step, none that starts with '$'.
func checkFieldPath(path string) error {
	if strings.HasSuffix(path, ".") {
		return Errorf(40353, "FieldPath must not end with a '.'.")
	}
	steps := 0
	for step := range strings.SplitSeq(path, ".") {
		steps++
		switch {
		case step == "":
			return Errorf(15998, "FieldPath field names may not be empty strings.")
		case step[0] == '$':
			return Errorf(16410, "FieldPath field names may not start with '$'. Consider using $getField or $setField.")
		case strings.IndexByte(step, 0) >= 0:
			return Errorf(16411, "FieldPath field names may not contain '\\0'.")
		case steps > MaxPathSteps:
			return Errorf(CodeOverflow, "FieldPath is too long")
		}
	}
	return nil
}

func parseExprDoc(doc []byte, depth int) (expr, error) {
	it := rawdoc.Over(doc)
	d := &docExpr{}
	for it.Next() {
		name := string(it.Key())
		if strings.HasPrefix(name, "$") {
			arg := it.Value()
			if len(d.names) > 0 || it.Next() {
				return nil, Errorf(15983, "An object representing an expression must have exactly one field: %s",
					bson.Raw(doc))
			}
			return parseCall(name, arg, depth+1)
		}
		if strings.Contains(name, ".") {
			return nil, Errorf(16412, "FieldPath field names may not contain '.'. Consider using $getField or $setField.")
		}
		e, err := parseExpr(it.Value(), depth+1)
		if err != nil {
			return nil, err
		}
		d.names = append(d.names, name)
		d.vals = append(d.vals, e)
	}
	return d, nil
}
