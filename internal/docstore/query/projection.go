package query

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/rawdoc"
)

// Projection is a parsed projection; immutable and safe for concurrent use.
type Projection struct {
	root      *projected // nil: documents stay as they are
	inclusion bool
	// top is how many different top-level fields can be in the output of an inclusion.
	top int
}

// action is what a projection does with a field.
type action uint8

const (
	actNested  action = iota // go into the field with kids
	actInclude               // keep it
	actExclude               // drop it
)

// projected is a field named in a projection.
type projected struct {
	name string
	act  action
	kids []*projected
	// byName finds the kids when they are many.
	byName map[string]*projected
}

// manyKids is from how many fields on a map finds one faster than looking at all.
const manyKids = 16

func (p *projected) add(kid *projected) {
	p.kids = append(p.kids, kid)
	switch {
	case p.byName != nil:
		p.byName[kid.name] = kid
	case len(p.kids) > manyKids:
		p.byName = map[string]*projected{}
		for _, k := range p.kids {
			p.byName[k.name] = k
		}
	}
}

func (p *projected) kid(name []byte) *projected {
	if p.byName != nil {
		return p.byName[string(name)]
	}
	for _, k := range p.kids {
		if string(name) == k.name {
			return k
		}
	}
	return nil
}

// Identity reports whether the projection keeps documents as they are.
func (p *Projection) Identity() bool { return p.root == nil }

// Apply returns the projected document: doc itself when the projection is the identity.
func (p *Projection) Apply(doc bson.Raw) bson.Raw {
	if p.root == nil {
		return doc
	}
	return p.AppendTo(nil, doc)
}

// AppendTo appends the projected document to dst, which doc must not be part of.
func (p *Projection) AppendTo(dst []byte, doc bson.Raw) []byte {
	if p.root == nil {
		return append(dst, doc...)
	}
	return p.appendDoc(dst, doc, p.root, p.top)
}

// appendDoc appends what field leaves of doc. It may stop after top fields (0: never).
func (p *Projection) appendDoc(dst, doc []byte, field *projected, top int) []byte {
	dst, start := rawdoc.Begin(dst)
	for it := rawdoc.Over(doc); it.Next(); {
		kid := field.kid(it.Key())
		if kid == nil {
			if !p.inclusion {
				dst = append(dst, it.Elem()...)
			}
			continue
		}
		dst = p.appendField(dst, &it, kid)
		if top--; top == 0 {
			break
		}
	}
	return rawdoc.End(dst, start)
}

func (p *Projection) appendField(dst []byte, it *rawdoc.Iter, field *projected) []byte {
	v := it.Value()
	switch field.act {
	case actInclude:
		return append(dst, it.Elem()...)
	case actExclude:
		return dst
	}
	switch v.Type {
	case bson.TypeEmbeddedDocument:
		return p.appendDoc(rawdoc.AppendHead(dst, v.Type, it.Key()), v.Value, field, 0)
	case bson.TypeArray:
		return p.appendArray(rawdoc.AppendHead(dst, v.Type, it.Key()), v.Value, field)
	}
	if p.inclusion {
		return dst // nothing below a scalar
	}
	return append(dst, it.Elem()...)
}

// appendArray projects the objects in an array, also in arrays within it. An inclusion drops the
// rest.
func (p *Projection) appendArray(dst, arr []byte, field *projected) []byte {
	dst, start := rawdoc.Begin(dst)
	n := 0
	for it := rawdoc.Over(arr); it.Next(); {
		v := it.Value()
		switch {
		case v.Type == bson.TypeEmbeddedDocument:
			dst = p.appendDoc(appendItemHead(dst, v.Type, n), v.Value, field, 0)
		case v.Type == bson.TypeArray:
			dst = p.appendArray(appendItemHead(dst, v.Type, n), v.Value, field)
		case p.inclusion:
			continue
		default:
			dst = rawdoc.AppendItem(dst, n, v)
		}
		n++
	}
	return rawdoc.End(dst, start)
}

func appendItemHead(dst []byte, t bson.Type, n int) []byte {
	return rawdoc.AppendItem(dst, n, bson.RawValue{Type: t})
}
