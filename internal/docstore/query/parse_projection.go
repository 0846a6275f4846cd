package query

import (
	"math"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/rawdoc"
)

// ParseProjection parses the projection of a find; an empty one keeps documents as they are. Fields are
// included (1, true) or excluded (0, false), $slice and $elemMatch are known; computed fields are not.
func ParseProjection(raw bson.Raw) (*Projection, error) {
	if len(raw) <= len(rawdoc.Empty) {
		return &Projection{}, nil
	}
	return parseProjection(raw, false)
}

// projParser builds a Projection. computing allows expressions, as the stage $project does.
type projParser struct {
	root      projected
	computing bool
	computed  setTree
	mode      action // actInclude or actExclude once known
	modePath  string
	id        action // what was said of _id
}

func parseProjection(raw bson.Raw, computing bool) (*Projection, error) {
	p := &projParser{computing: computing}
	if err := p.fields("", raw, 1); err != nil {
		return nil, err
	}
	out := &Projection{root: &p.root}
	switch {
	case p.mode == actInclude, p.mode == actNested && p.id == actInclude:
		out.inclusion = true
		if p.root.kid([]byte("_id")) == nil {
			p.root.kids = slices.Insert(p.root.kids, 0, &projected{name: "_id", act: actInclude})
		}
		out.top = len(p.root.kids)
	}
	if len(p.computed.kids) > 0 {
		out.computed = &p.computed
	}
	return out, nil
}

func (p *projParser) fields(prefix string, doc []byte, depth int) error {
	if depth > MaxFilterDepth {
		return tooDeep()
	}
	it := rawdoc.Over(doc)
	for it.Next() {
		if err := p.field(prefix+string(it.Key()), it.Value(), depth); err != nil {
			return err
		}
	}
	if it.Bad() {
		return Errorf(CodeInvalidBSON, "invalid BSON in a projection")
	}
	return nil
}

func (p *projParser) field(path string, v bson.RawValue, depth int) error {
	if strings.HasSuffix(path, ".$") || strings.Contains(path, ".$.") {
		return Errorf(CodeNotImplemented, "the positional projection is not supported: %s", path)
	}
	if path == "" {
		return Errorf(40352, "FieldPath cannot be constructed with empty string")
	}
	if err := checkFieldPath(path); err != nil {
		return err
	}
	switch {
	case v.Type == bson.TypeBoolean || rawdoc.IsNumber(v):
		act := actExclude
		if rawdoc.Truthy(v) {
			act = actInclude
		}
		return p.add(path, &projected{act: act})
	case v.Type == bson.TypeEmbeddedDocument && !startsWithDollar(v.Value):
		if len(v.Value) <= len(rawdoc.Empty) {
			return Errorf(51270, "An empty sub-projection is not a valid value. Found empty object at path %s", path)
		}
		return p.fields(path+".", v.Value, depth+1)
	case p.computing:
		e, err := parseExpr(v, depth+1)
		if err != nil {
			return err
		}
		if err := p.add(path, &projected{act: actCompute}); err != nil {
			return err
		}
		return p.computed.set(path, e)
	case v.Type == bson.TypeEmbeddedDocument:
		return p.operator(path, v.Value)
	}
	return Errorf(CodeNotImplemented, "computed fields are not supported in a projection: %s", path)
}

func startsWithDollar(doc []byte) bool {
	it := rawdoc.Over(doc)
	return it.Next() && len(it.Key()) > 0 && it.Key()[0] == '$'
}

func (p *projParser) operator(path string, doc []byte) error {
	it := rawdoc.Over(doc)
	it.Next()
	name, v := string(it.Key()), it.Value()
	if it.Next() {
		return Errorf(CodeBadValue, "a projection operator must be the only field: %s", bson.Raw(doc))
	}
	switch name {
	case "$slice":
		f, err := parseSlice(v)
		if err != nil {
			return err
		}
		return p.add(path, f)
	case "$elemMatch":
		if strings.Contains(path, ".") {
			return Errorf(31275, "Cannot use $elemMatch projection on a nested field")
		}
		o, err := parseElemMatch(path, v, 1)
		if err != nil {
			return err
		}
		return p.add(path, &projected{act: actElem, elem: o.pred})
	}
	return Errorf(CodeNotImplemented, "the projection operator %s is not supported", name)
}

// parseSlice parses a count, negative from the end, or [skip, count].
func parseSlice(v bson.RawValue) (*projected, error) {
	f := &projected{act: actSlice}
	if v.Type != bson.TypeArray {
		n, ok := clampedInt(v)
		if !ok {
			return nil, Errorf(28724, "First argument to $slice must be a number or an array")
		}
		f.limit = n
		if n < 0 {
			f.skip, f.limit = n, -n
		}
		return f, nil
	}
	var args []int
	for it := rawdoc.Over(v.Value); it.Next(); {
		n, ok := clampedInt(it.Value())
		if !ok {
			return nil, Errorf(28724, "$slice arguments must be numbers")
		}
		args = append(args, n)
	}
	if len(args) != 2 {
		return nil, Errorf(28667, "Expression $slice takes at least 2 arguments, and at most 3, but %d were passed in.",
			len(args))
	}
	if args[1] <= 0 {
		return nil, Errorf(28724, "$slice limit must be positive")
	}
	f.skip, f.limit = args[0], args[1]
	return f, nil
}

func clampedInt(v bson.RawValue) (int, bool) {
	n, ok := truncated(v)
	return int(min(max(n, math.MinInt32+1), math.MaxInt32)), ok
}

// add puts a field into the tree and settles whether this is an inclusion or an exclusion.
func (p *projParser) add(path string, f *projected) error {
	if path == "_id" {
		p.id = f.act
		if f.act == actCompute || f.act == actElem {
			if err := p.settle(path, actInclude); err != nil {
				return err
			}
		}
	} else if f.act != actSlice {
		mode := f.act
		if mode != actExclude {
			mode = actInclude
		}
		if err := p.settle(path, mode); err != nil {
			return err
		}
	}
	at := &p.root
	rest := path
	for {
		name, tail, more := strings.Cut(rest, ".")
		kid := at.kid([]byte(name))
		switch {
		case !more && kid != nil:
			return Errorf(codeProjectionCollision, "Path collision at %s", path)
		case !more:
			f.name = name
			at.kids = append(at.kids, f)
			return nil
		case kid == nil:
			kid = &projected{name: name}
			at.kids = append(at.kids, kid)
		case kid.act != actNested:
			return Errorf(codeProjectionCollisionPrefix, "Path collision at %s remaining portion %s", path, tail)
		}
		at, rest = kid, tail
	}
}

func (p *projParser) settle(path string, mode action) error {
	if p.mode == actNested {
		p.mode, p.modePath = mode, path
		return nil
	}
	switch {
	case p.mode == mode:
		return nil
	case mode == actInclude:
		return Errorf(codeProjectionInclusionExclusion, "Cannot do inclusion on field %s in exclusion projection", path)
	}
	return Errorf(codeProjectionExclusionInclusion, "Cannot do exclusion on field %s in inclusion projection", path)
}
