package engine

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/rawdoc"
)

// A hint names the index to use.
type hint struct {
	set   bool
	id    bool // the order of the documents
	scan  bool // {$natural: 1}
	index *Index
}

// ParseHint finds the index that a hint names by its name or its pattern.
func ParseHint(v bson.RawValue, c *Collection) (hint, error) {
	h := hint{set: true}
	bad := mongoerr.New(mongoerr.BadValue,
		"error processing query: planner returned error: hint provided does not correspond to an existing index")
	switch v.Type {
	case bson.TypeString:
		name := string(rawdoc.String(v))
		if h.id = name == "_id_"; h.id || c == nil {
			return h, nil
		}
		h.index = c.IndexNamed(name)
	case bson.TypeEmbeddedDocument:
		doc := bson.Raw(v.Value)
		it := rawdoc.Over(doc)
		if !it.Next() {
			return hint{}, nil
		}
		first := string(it.Key())
		n, _ := rawdoc.Integer(it.Value())
		if single := !it.Next(); single && first == "$natural" {
			if n != 1 {
				return hint{}, mongoerr.New(mongoerr.BadValue, "$natural hint must be 1")
			}
			h.scan = true
			return h, nil
		} else if single && first == "_id" && n == 1 || c == nil {
			h.id = true
			return h, nil
		}
		for _, ix := range c.Indexes {
			if SamePattern(ix.KeySpec, doc) {
				h.index = ix
			}
		}
	}
	if h.index == nil {
		return hint{}, bad
	}
	return h, nil
}

// samePattern compares index patterns; directions count by their sign.
func SamePattern(a, b bson.Raw) bool {
	x, y := rawdoc.Over(a), rawdoc.Over(b)
	for {
		more, also := x.Next(), y.Next()
		if !more || !also {
			return more == also
		}
		n, ok := rawdoc.Integer(x.Value())
		m, also := rawdoc.Integer(y.Value())
		if string(x.Key()) != string(y.Key()) || !ok || !also || (n < 0) != (m < 0) {
			return false
		}
	}
}

// hintOf finds the index that a statement's hint names; no hint is given when its type is 0.
func hintOf(v bson.RawValue, c *Collection) (hint, error) {
	if v.Type == 0 {
		return hint{}, nil
	}
	return ParseHint(v, c)
}
