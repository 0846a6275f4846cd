package query

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/rawdoc"
)

// unwindStage is $unwind: a document for each element of an array.
type unwindStage struct {
	path    []string
	keep    bool   // also documents without elements
	indexIn string // field for the position, "" for none
}

func parseUnwind(v bson.RawValue) (stage, error) {
	u := unwindStage{}
	path := v
	if v.Type == bson.TypeEmbeddedDocument {
		path = rawdoc.Missing
		for it := rawdoc.Over(v.Value); it.Next(); {
			opt := it.Value()
			switch string(it.Key()) {
			case "path":
				path = opt
			case "preserveNullAndEmptyArrays":
				if opt.Type != bson.TypeBoolean {
					return nil, Errorf(28809, "expected a boolean for the preserveNullAndEmptyArrays option to $unwind stage")
				}
				u.keep = rawdoc.Truthy(opt)
			case "includeArrayIndex":
				if opt.Type != bson.TypeString || len(rawdoc.String(opt)) == 0 {
					return nil, Errorf(28810, "expected a non-empty string for the includeArrayIndex option to $unwind stage")
				}
				u.indexIn = string(rawdoc.String(opt))
				if strings.HasPrefix(u.indexIn, "$") {
					return nil, Errorf(28822, "includeArrayIndex option to $unwind stage should not be prefixed with a '$'")
				}
				if err := checkFieldPath(u.indexIn); err != nil {
					return nil, err
				}
			default:
				return nil, Errorf(28811, "unrecognized option to $unwind stage: %s", it.Key())
			}
		}
		if rawdoc.IsMissing(path) {
			return nil, Errorf(28812, "no path specified to $unwind stage")
		}
	}
	if path.Type != bson.TypeString {
		return nil, Errorf(28808, "expected a string as the path for $unwind stage, got %s", rawdoc.TypeName(path.Type))
	}
	s := string(rawdoc.String(path))
	if !strings.HasPrefix(s, "$") {
		return nil, Errorf(codeUnwindPathDollar, "path option to $unwind stage should be prefixed with a '$': %s", s)
	}
	if s == "$" {
		return nil, Errorf(40352, "FieldPath cannot be constructed with empty string")
	}
	if err := checkFieldPath(s[1:]); err != nil {
		return nil, err
	}
	u.path = strings.Split(s[1:], ".")
	return &u, nil
}

func (s *unwindStage) run(src Source) Source {
	var doc bson.Raw
	var it rawdoc.Iter
	var position int64
	inArray := false
	var buf []byte
	return func() (bson.Raw, error) {
		for {
			if inArray && it.Next() {
				v := it.Value()
				buf = replaceAt(buf[:0], doc, s.path, v)
				position++
				return s.withIndex(buf, rawdoc.OfInt64(position-1))
			}
			inArray = false
			var err error
			if doc, err = src(); err != nil {
				return nil, err
			}
			v := objectField(doc, s.path)
			switch {
			case v.Type == bson.TypeArray:
				it, position, inArray = rawdoc.Over(v.Value), 0, len(v.Value) > len(rawdoc.Empty)
				if !inArray && s.keep {
					buf = replaceAt(buf[:0], doc, s.path, rawdoc.Missing)
					return s.withIndex(buf, rawdoc.Null)
				}
			case isNullish(v):
				if s.keep {
					return s.withIndex(doc, rawdoc.Null)
				}
			default:
				return s.withIndex(doc, rawdoc.Null)
			}
		}
	}
}

// withIndex puts the position into doc, if that is asked for.
func (s *unwindStage) withIndex(doc []byte, index bson.RawValue) (bson.Raw, error) {
	if s.indexIn == "" {
		return checkSize(doc)
	}
	tree := &setTree{}
	if err := tree.set(s.indexIn, literal{index}); err != nil {
		return nil, err
	}
	out, err := tree.appendDoc(nil, doc, doc)
	if err != nil {
		return nil, err
	}
	return checkSize(out)
}

// objectField follows a path through documents only.
func objectField(doc []byte, path []string) bson.RawValue {
	for {
		v := rawdoc.Get(doc, path[0])
		path = path[1:]
		switch {
		case len(path) == 0:
			return v
		case v.Type != bson.TypeEmbeddedDocument:
			return rawdoc.Missing
		}
		doc = v.Value
	}
}

// replaceAt appends doc with the existing field at path set to v, or removed when v is missing.
func replaceAt(dst, doc []byte, path []string, v bson.RawValue) []byte {
	dst, start := rawdoc.Begin(dst)
	for it := rawdoc.Over(doc); it.Next(); {
		switch {
		case string(it.Key()) != path[0]:
			dst = append(dst, it.Elem()...)
		case len(path) > 1:
			dst = replaceAt(rawdoc.AppendHead(dst, it.Type(), it.Key()), it.Value().Value, path[1:], v)
		case !rawdoc.IsMissing(v):
			dst = rawdoc.AppendElem(dst, path[0], v)
		}
	}
	return rawdoc.End(dst, start)
}
