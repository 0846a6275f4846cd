package query

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/rawdoc"
)

// ParseProjection parses the projection of a find; an empty one keeps documents as they are. Fields
// are included (1, true) or excluded (0, false), nothing else.
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
			p.root.add(&projected{name: "_id", act: actInclude})
		}
		out.top = len(p.root.kids)
	}
	return out, nil
}

// projParser builds a Projection.
type projParser struct {
	root projected
	mode action // actInclude or actExclude once known
	id   action // what was said of _id
	n    int    // fields so far
}

// includes tells an inclusion from an exclusion. Where no other field says it, _id does.
func (p *projParser) includes() bool {
	return p.mode == actInclude || p.mode == actNested && p.id == actInclude
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
		return mongoerr.New(mongoerr.InvalidBSON, "invalid BSON in a projection")
	}
	return nil
}

func (p *projParser) field(path string, v bson.RawValue, depth int) error {
	if p.n++; p.n > MaxProjectionFields {
		return mongoerr.New(mongoerr.BadValue, "too many fields in a projection, the most is %d", MaxProjectionFields)
	}
	if strings.HasSuffix(path, ".$") || strings.Contains(path, ".$.") {
		return mongoerr.New(mongoerr.NotImplemented, "the positional projection is not supported: %s", path)
	}
	if path == "" {
		return mongoerr.New(mongoerr.FieldPathEmpty, "FieldPath cannot be constructed with empty string")
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
			return mongoerr.New(mongoerr.ProjectionEmptyObject,
				"An empty sub-projection is not a valid value. Found empty object at path %s", path)
		}
		return p.fields(path+".", v.Value, depth+1)
	}
	return mongoerr.New(mongoerr.NotImplemented, "a projection can only include and exclude fields: %s", path)
}

func startsWithDollar(doc []byte) bool {
	it := rawdoc.Over(doc)
	return it.Next() && len(it.Key()) > 0 && it.Key()[0] == '$'
}

// add puts a field into the tree and settles whether this is an inclusion or an exclusion.
func (p *projParser) add(path string, f *projected) error {
	if path == "_id" {
		p.id = f.act
	} else if err := p.settle(path, f.act); err != nil {
		return err
	}
	at := &p.root
	rest := path
	for {
		name, tail, more := strings.Cut(rest, ".")
		kid := at.kid([]byte(name))
		switch {
		case !more && kid != nil:
			return mongoerr.New(mongoerr.ProjectionCollision, "Path collision at %s", path)
		case !more:
			f.name = name
			at.add(f)
			return nil
		case kid == nil:
			kid = &projected{name: name}
			at.add(kid)
		case kid.act != actNested:
			return mongoerr.New(mongoerr.ProjectionCollisionPrefix, "Path collision at %s remaining portion %s", path,
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
		return mongoerr.New(mongoerr.ProjectionInclusionExclusion,
			"Cannot do inclusion on field %s in exclusion projection", path)
	}
	return mongoerr.New(mongoerr.ProjectionExclusionInclusion,
		"Cannot do exclusion on field %s in inclusion projection", path)
}
