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
	p := &projParser{}
	if err := p.fields("", raw, 1); err != nil {
		return nil, err
	}
	out := &Projection{root: &p.root, inclusion: p.includes()}
	if out.inclusion {
		if p.root.kid([]byte("_id")) == nil {
			p.root.kids = slices.Insert(p.root.kids, 0, &projected{name: "_id", act: actInclude})
		}
		out.top = len(p.root.kids)
	}
	return out, nil
}

// projParser builds a Projection.
type projParser struct {
	root   projected
	mode   action // actInclude or actExclude once known
	id     action // what was said of _id
	slices bool   // there is a $slice
	elems  bool   // there is an $elemMatch
}

// includes tells an inclusion from an exclusion. Where no field but _id says it, MongoDB's old rules do:
// with a $slice only an included _id makes it an inclusion, otherwise an $elemMatch does.
func (p *projParser) includes() bool {
	switch {
	case p.mode != actNested:
		return p.mode == actInclude
	case p.slices || !p.elems:
		return p.id == actInclude
	}
	return true
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
		if v.Type != bson.TypeEmbeddedDocument {
			return Errorf(31274, "elemMatch: Invalid argument, object required, but got %s", rawdoc.TypeName(v.Type))
		}
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
			return nil, Errorf(31273, "$slice only supports numbers and [skip, limit] arrays")
		}
		f.limit = n
		if n < 0 {
			f.skip, f.limit = n, -n
		}
		return f, nil
	}
	args := items(v)
	if len(args) != 2 {
		return nil, Errorf(31272, "$slice array argument should be of form [skip, limit]")
	}
	var ok bool
	if f.skip, ok = clampedInt(args[0]); !ok {
		return nil, Errorf(31257, "$slice expects the skip argument to be a number, got %s", rawdoc.TypeName(args[0].Type))
	}
	if f.limit, ok = clampedInt(args[1]); !ok {
		return nil, Errorf(31258, "$slice expects the limit argument to be a number, got %s", rawdoc.TypeName(args[1].Type))
	}
	if f.limit <= 0 {
		return nil, Errorf(31259, "$slice limit must be positive, got %d", f.limit)
	}
	return f, nil
}

func clampedInt(v bson.RawValue) (int, bool) {
	n, ok := truncated(v)
	return int(min(max(n, math.MinInt32+1), math.MaxInt32)), ok
}

// add puts a field into the tree and settles whether this is an inclusion or an exclusion.
func (p *projParser) add(path string, f *projected) error {
	mode := actInclude
	switch f.act {
	case actSlice:
		p.slices, mode = true, actNested
	case actElem:
		p.elems, mode = true, actNested
	case actExclude:
		mode = actExclude
	}
	if path == "_id" {
		p.id, mode = f.act, actNested
	}
	if mode != actNested {
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
			return Errorf(codeProjectionCollisionPrefix, "Path collision at %s remaining portion %s", path,
				path[strings.IndexByte(path, '.')+1:])
		}
		at, rest = kid, tail
	}
}

func (p *projParser) settle(path string, mode action) error {
	if p.mode == actNested {
		p.mode = mode
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
