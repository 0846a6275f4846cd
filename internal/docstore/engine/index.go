package engine

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/query"
	"gadwall/internal/docstore/rawdoc"
)

// An index is a secondary index. Beyond its two flags it never changes.
type Index struct {
	id   uint32
	Name string
	// spec is the index as listIndexes shows it.
	Spec    bson.Raw
	KeySpec bson.Raw
	Fields  []query.SortField
	Unique  bool
	Sparse  bool
	Partial *query.Filter
	// roots are the fields of a document itself that decide its entries.
	roots       []string
	ttl         bool
	expireAfter time.Duration
	// prefix begins all of the index's keys.
	Prefix []byte
	// multikey is set before the first document shows that has several entries.
	Multikey atomic.Bool
	// multikeyStored is set when that is on disk.
	multikeyStored atomic.Bool
}

func (ix *Index) setID(id uint32) {
	ix.id = id
	ix.Prefix = prefixOf(spaceIndex, id)
}

// keys returns the entries of doc, without the index's prefix and the document's id.
func (ix *Index) Keys(doc bson.Raw) (keys [][]byte, multikey bool, err error) {
	if doc == nil || ix.Partial != nil && !ix.Partial.Match(doc) {
		return nil, false, nil
	}
	return query.IndexKeys(doc, ix.Fields, ix.Sparse)
}

// duplicate is the error about key, which doc has in common with another document.
func (ix *Index) duplicate(c *Collection, key []byte, doc bson.Raw) error {
	return duplicateKey(c, ix.Name, ix.KeySpec, query.IndexKeyValues(doc, ix.Fields, key))
}

// maxExpireAfter is MongoDB's bound of expireAfterSeconds.
const maxExpireAfter = 1<<31 - 1

// ParseIndex parses an index as createIndexes has it.
func ParseIndex(raw bson.Raw) (*Index, error) {
	ix := &Index{}
	var partial bson.Raw
	hasName, hasTTL := false, false
	var ttl int64
	it := rawdoc.Over(raw)
	for it.Next() {
		key, v := string(it.Key()), it.Value()
		switch key {
		case "v":
			if n, ok := rawdoc.Integer(v); !ok || n != 2 {
				return nil, mongoerr.New(mongoerr.CannotCreateIndex,
					"Invalid index specification: only version 2 is supported")
			}
		case "key":
			if v.Type != bson.TypeEmbeddedDocument {
				return nil, mongoerr.New(mongoerr.TypeMismatch,
					"The field 'key' must be an object, but got %s", rawdoc.TypeName(v.Type))
			}
			ix.KeySpec = bson.Raw(v.Value)
		case "name":
			if v.Type != bson.TypeString {
				return nil, mongoerr.New(mongoerr.TypeMismatch,
					"The field 'name' must be a string, but got %s", rawdoc.TypeName(v.Type))
			}
			ix.Name, hasName = string(rawdoc.String(v)), true
		case "unique", "sparse":
			on, err := truth("createIndexes", key, v)
			if err != nil {
				return nil, err
			}
			ix.Unique = ix.Unique || key == "unique" && on
			ix.Sparse = ix.Sparse || key == "sparse" && on
		case "partialFilterExpression":
			if v.Type != bson.TypeEmbeddedDocument {
				return nil, mongoerr.New(mongoerr.TypeMismatch, "'partialFilterExpression' must be an object")
			}
			partial = bson.Raw(v.Value)
		case "expireAfterSeconds":
			n, ok := rawdoc.Integer(v)
			if !rawdoc.IsNumber(v) {
				return nil, mongoerr.New(mongoerr.TypeMismatch,
					"The field 'expireAfterSeconds' must be a number, but got %s", rawdoc.TypeName(v.Type))
			}
			if !ok || n < 0 || n > maxExpireAfter {
				return nil, mongoerr.New(mongoerr.CannotCreateIndex,
					"TTL index 'expireAfterSeconds' option must be within an acceptable range")
			}
			hasTTL, ttl = true, n
		default:
			return nil, mongoerr.New(mongoerr.InvalidIndexSpecOption,
				"The field '%s' is not valid for an index specification", key)
		}
	}
	if ix.KeySpec == nil {
		return nil, mongoerr.New(mongoerr.FailedToParse,
			"The 'key' field is a required property of an index specification")
	}
	if err := ix.parseKey(); err != nil {
		return nil, err
	}
	if err := ix.checkName(hasName); err != nil {
		return nil, err
	}
	if ix.isID() && (ix.Unique || ix.Sparse || partial != nil || hasTTL) {
		return nil, mongoerr.New(mongoerr.InvalidIndexSpecOption, "An index on _id takes no options: %s", raw)
	}
	if partial != nil {
		if ix.Sparse {
			return nil, mongoerr.New(mongoerr.CannotCreateIndex,
				"cannot mix \"partialFilterExpression\" and \"sparse\" options")
		}
		f, err := query.ParseFilter(clone(partial))
		if err != nil {
			return nil, err
		}
		if !f.FitsPartialIndex() {
			return nil, mongoerr.New(mongoerr.CannotCreateIndex,
				"Expression not supported in partial index: %s", partial)
		}
		ix.Partial = f
	}
	if hasTTL {
		if len(ix.Fields) != 1 {
			return nil, mongoerr.New(mongoerr.CannotCreateIndex,
				"TTL indexes are single-field indexes, compound indexes do not support TTL")
		}
		ix.ttl, ix.expireAfter = true, time.Duration(ttl)*time.Second
	}
	for _, f := range ix.Fields {
		name, _, _ := strings.Cut(f.Path, ".")
		ix.roots = append(ix.roots, name)
	}
	if ix.Partial != nil {
		ix.roots = append(ix.roots, ix.Partial.PartialFields()...)
	}
	ix.normalise(partial, ttl)
	return ix, nil
}

func (ix *Index) parseKey() error {
	it := rawdoc.Over(ix.KeySpec)
	seen := map[string]bool{}
	for it.Next() {
		if len(ix.Fields) == maxIndexFields {
			return mongoerr.New(mongoerr.CannotCreateIndex, "Index key pattern has more than %d fields", maxIndexFields)
		}
		path, v := string(it.Key()), it.Value()
		if v.Type == bson.TypeString {
			return mongoerr.New(mongoerr.CannotCreateIndex, "Unknown index plugin '%s'", rawdoc.String(v))
		}
		n, ok := rawdoc.Integer(v)
		if !ok || n == 0 {
			return mongoerr.New(mongoerr.CannotCreateIndex,
				"Values in the index key pattern must be whole numbers other than 0")
		}
		if path == "" || seen[path] {
			return mongoerr.New(mongoerr.CannotCreateIndex, "Index keys must be distinct and not empty: '%s'", path)
		}
		for _, part := range strings.Split(path, ".") {
			if part == "" || part[0] == '$' {
				return mongoerr.New(mongoerr.CannotCreateIndex, "Index key contains an illegal field name: '%s'", path)
			}
		}
		seen[path] = true
		ix.Fields = append(ix.Fields, query.SortField{Path: path, Desc: n < 0})
	}
	if len(ix.Fields) == 0 {
		return mongoerr.New(mongoerr.CannotCreateIndex, "Index keys cannot be empty")
	}
	return nil
}

func (ix *Index) checkName(given bool) error {
	switch {
	case !given:
		return mongoerr.New(mongoerr.FailedToParse, "The 'name' field is a required property of an index specification")
	case ix.Name == "":
		return mongoerr.New(mongoerr.CannotCreateIndex, "index name cannot be empty")
	case ix.Name == "*":
		return mongoerr.New(mongoerr.BadValue, "The index name '*' is not valid.")
	case ix.Name == "_id_" && !ix.isID():
		return mongoerr.New(mongoerr.BadValue,
			"The index name '_id_' is reserved for the _id index, which must have key pattern "+
				"{_id: 1}, found key: %s", ix.KeySpec)
	}
	return nil
}

// isID reports the pattern {_id: 1}: the order of the documents themselves.
func (ix *Index) isID() bool {
	return len(ix.Fields) == 1 && ix.Fields[0] == query.SortField{Path: "_id"}
}

// normalise builds the specification that is stored and shown.
func (ix *Index) normalise(partial bson.Raw, ttl int64) {
	i, dst := bsoncore.AppendDocumentStart(nil)
	dst = bsoncore.AppendInt32Element(dst, "v", 2)
	dst = bsoncore.AppendDocumentElement(dst, "key", bsoncore.Document(ix.KeySpec))
	dst = bsoncore.AppendStringElement(dst, "name", ix.Name)
	if ix.Unique {
		dst = bsoncore.AppendBooleanElement(dst, "unique", true)
	}
	if ix.Sparse {
		dst = bsoncore.AppendBooleanElement(dst, "sparse", true)
	}
	if partial != nil {
		dst = bsoncore.AppendDocumentElement(dst, "partialFilterExpression", bsoncore.Document(partial))
	}
	if ix.ttl {
		dst = bsoncore.AppendInt32Element(dst, "expireAfterSeconds", int32(ttl))
	}
	dst, _ = bsoncore.AppendDocumentEnd(dst, i)
	ix.Spec = dst
	ix.KeySpec = bson.Raw(rawdoc.Get(dst, "key").Value)
}

// IDIndexSpec is what listIndexes shows for the order of the documents.
func IDIndexSpec(clustered bool) bson.Raw {
	i, dst := bsoncore.AppendDocumentStart(nil)
	dst = bsoncore.AppendInt32Element(dst, "v", 2)
	k, dst := bsoncore.AppendDocumentElementStart(dst, "key")
	dst = bsoncore.AppendInt32Element(dst, "_id", 1)
	dst, _ = bsoncore.AppendDocumentEnd(dst, k)
	dst = bsoncore.AppendStringElement(dst, "name", "_id_")
	if clustered {
		dst = bsoncore.AppendBooleanElement(dst, "unique", true)
		dst = bsoncore.AppendBooleanElement(dst, "clustered", true)
	}
	dst, _ = bsoncore.AppendDocumentEnd(dst, i)
	return dst
}

func truth(command, field string, v bson.RawValue) (bool, error) {
	if v.Type == bson.TypeBoolean {
		return v.Value[0] != 0, nil
	}
	if n, ok := rawdoc.Integer(v); ok {
		return n != 0, nil
	}
	return false, mongoerr.New(mongoerr.TypeMismatch, "%s",
		fmt.Sprintf("BSON field '%s.%s' is the wrong type '%s', expected type 'bool'", command,
			field, rawdoc.TypeName(v.Type)))
}

// multikeyKey is the key whose presence says that the index is multikey.
func (ix *Index) MultikeyKey() []byte { return prefixOf(spaceMulti, ix.id) }
