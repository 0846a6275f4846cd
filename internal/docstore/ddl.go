package docstore

import (
	"bytes"
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"gadwall/internal/docstore/engine"
	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/rawdoc"
)

func (s *Server) create(ctx context.Context, r *request) (bson.Raw, error) {
	var name string
	clustered := false
	err := r.args(func(key string, v bson.RawValue) (bool, error) {
		var err error
		switch key {
		case "create":
			name, err = r.collectionName(v)
		case "clusteredIndex":
			clustered = true
			err = checkClustered(v)
		case "capped":
			var on bool
			if on, err = r.boolArg(key, v); err == nil && on {
				err = mongoerr.New(mongoerr.NotImplemented, "capped collections are not supported")
			}
		case "validator", "timeseries", "viewOn", "pipeline", "collation", "storageEngine", "size",
			"max", "expireAfterSeconds",
			"changeStreamPreAndPostImages", "encryptedFields", "validationLevel",
			"validationAction", "indexOptionDefaults":
			err = mongoerr.New(mongoerr.NotImplemented, "create does not support '%s'", key)
		default:
			return false, nil
		}
		return true, err
	})
	if err != nil {
		return nil, err
	}
	_, existed, err := s.eng.Create(ctx, r.db, name, clustered)
	if err == nil && existed {
		err = mongoerr.New(mongoerr.NamespaceExists, "Collection %s.%s already exists.", r.db, name)
	}
	return okReply(nil), err
}

// checkClustered accepts the one clustered index there is, which is how every collection is stored.
func checkClustered(v bson.RawValue) error {
	bad := mongoerr.New(mongoerr.InvalidOptions, "clusteredIndex must be {key: {_id: 1}, unique: true}")
	if v.Type != bson.TypeEmbeddedDocument {
		return bad
	}
	it := rawdoc.Over(v.Value)
	hasKey, unique := false, false
	for it.Next() {
		switch string(it.Key()) {
		case "key":
			k := rawdoc.Get(it.Value().Value, "_id")
			n, ok := rawdoc.Integer(k)
			hasKey = it.Type() == bson.TypeEmbeddedDocument && ok && n == 1 &&
				bytes.Count(it.Value().Value, []byte("_id")) == 1
		case "unique":
			unique = it.Type() == bson.TypeBoolean && it.Value().Value[0] == 1
		case "name", "v":
		default:
			return bad
		}
	}
	if !hasKey || !unique {
		return bad
	}
	return nil
}

func (s *Server) createIndexes(ctx context.Context, r *request) (bson.Raw, error) {
	var name string
	var specs []bson.Raw
	given := false
	err := r.args(func(key string, v bson.RawValue) (bool, error) {
		var err error
		switch key {
		case "createIndexes":
			name, err = r.collectionName(v)
		case "indexes":
			given = true
			specs, err = r.docsArg(key, v)
		default:
			return false, nil
		}
		return true, err
	})
	if err != nil {
		return nil, err
	}
	if !given {
		return nil, errMissingField(r.name, "indexes")
	}
	if len(specs) == 0 {
		return nil, mongoerr.New(mongoerr.BadValue, "Must specify at least one index to create")
	}
	if len(specs) > maxIndexSpecs {
		return nil, mongoerr.New(mongoerr.CannotCreateIndex,
			"too many indexes in one command, the most is %d", maxIndexSpecs)
	}
	var wanted []*engine.Index
	for _, spec := range specs {
		ix, err := engine.ParseIndex(bytes.Clone(spec))
		if err != nil {
			return nil, err
		}
		wanted = append(wanted, ix)
	}
	existed := s.eng.Catalog().Lookup(r.db, name) != nil
	if _, err := s.eng.CollectionFor(ctx, r.db, name); err != nil {
		return nil, err
	}
	before, after, err := s.eng.BuildIndexes(ctx, r.db, name, wanted)
	return okReply(func(dst []byte) []byte {
		dst = bsoncore.AppendInt32Element(dst, "numIndexesBefore", int32(before+1))
		dst = bsoncore.AppendInt32Element(dst, "numIndexesAfter", int32(after+1))
		dst = bsoncore.AppendBooleanElement(dst, "createdCollectionAutomatically", !existed)
		if before == after {
			dst = bsoncore.AppendStringElement(dst, "note", "all indexes already exist")
		}
		return dst
	}), err
}

func (s *Server) dropIndexes(ctx context.Context, r *request) (bson.Raw, error) {
	var name string
	var which bson.RawValue
	err := r.args(func(key string, v bson.RawValue) (bool, error) {
		var err error
		switch key {
		case "dropIndexes":
			name, err = r.collectionName(v)
		case "index":
			which = v
		default:
			return false, nil
		}
		return true, err
	})
	if err != nil {
		return nil, err
	}
	was, err := s.eng.DropIndexes(ctx, r.db, name, func(c *engine.Collection) ([]*engine.Index,
		error) {
		return chooseIndexes(c, which)
	})
	return okReply(func(dst []byte) []byte { return bsoncore.AppendInt32Element(dst, "nIndexesWas", int32(was)) }), err
}

// chooseIndexes finds the indexes to drop: by name, by names, by pattern, or all with "*".
func chooseIndexes(c *engine.Collection, which bson.RawValue) ([]*engine.Index, error) {
	byName := func(name string) ([]*engine.Index, error) {
		if name == "_id_" {
			return nil, mongoerr.New(mongoerr.InvalidOptions, "cannot drop _id index")
		}
		if ix := c.IndexNamed(name); ix != nil {
			return []*engine.Index{ix}, nil
		}
		return nil, mongoerr.New(mongoerr.IndexNotFound, "index not found with name [%s]", name)
	}
	switch which.Type {
	case bson.TypeString:
		name := string(rawdoc.String(which))
		if name == "*" {
			return c.Indexes, nil
		}
		return byName(name)
	case bson.TypeArray:
		var gone []*engine.Index
		it := rawdoc.Over(which.Value)
		for it.Next() {
			if it.Type() != bson.TypeString {
				return nil, mongoerr.New(mongoerr.TypeMismatch, "dropIndexes.index must hold names")
			}
			found, err := byName(string(rawdoc.String(it.Value())))
			if err != nil {
				return nil, err
			}
			gone = append(gone, found...)
		}
		return gone, nil
	case bson.TypeEmbeddedDocument:
		if engine.SamePattern(bson.Raw(rawdoc.Get(engine.IDIndexSpec(false), "key").Value), bson.Raw(which.Value)) {
			return byName("_id_")
		}
		for _, ix := range c.Indexes {
			if engine.SamePattern(ix.KeySpec, bson.Raw(which.Value)) {
				return []*engine.Index{ix}, nil
			}
		}
		return nil, mongoerr.New(mongoerr.IndexNotFound, "can't find index with key: %s", bson.Raw(which.Value))
	}
	if which.Type == 0 {
		return nil, errMissingField("dropIndexes", "index")
	}
	return nil, errWrongType("dropIndexes", "index", which, "[string, object, array]")
}

func (s *Server) drop(ctx context.Context, r *request) (bson.Raw, error) {
	var name string
	err := r.args(func(key string, v bson.RawValue) (bool, error) {
		if key != "drop" {
			return false, nil
		}
		var err error
		name, err = r.collectionName(v)
		return true, err
	})
	if err != nil {
		return nil, err
	}
	// As in MongoDB since 7.0, there is no error if there is no such collection.
	dropped, err := s.dropCollections(ctx, func(cat *engine.Catalog) []*engine.Collection {
		if c := cat.Lookup(r.db, name); c != nil {
			return []*engine.Collection{c}
		}
		return nil
	})
	return okReply(func(dst []byte) []byte {
		if len(dropped) > 0 {
			dst = bsoncore.AppendInt32Element(dst, "nIndexesWas", int32(len(dropped[0].Indexes)+1))
			dst = bsoncore.AppendStringElement(dst, "ns", r.db+"."+name)
		}
		return dst
	}), err
}

func (s *Server) dropDatabase(ctx context.Context, r *request) (bson.Raw, error) {
	if err := r.noArgs(); err != nil {
		return nil, err
	}
	_, err := s.dropCollections(ctx, func(cat *engine.Catalog) []*engine.Collection { return cat.InDatabase(r.db) })
	return okReply(func(dst []byte) []byte { return bsoncore.AppendStringElement(dst, "dropped", r.db) }), err
}

func (s *Server) dropCollections(ctx context.Context,
	choose func(*engine.Catalog) []*engine.Collection) ([]*engine.Collection, error) {
	dropped, err := s.eng.Drop(ctx, choose)
	gone := map[string]bool{}
	for _, c := range dropped {
		gone[c.Namespace()] = true
	}
	if len(gone) > 0 {
		s.cursors.kill(func(c *cursor) bool { return gone[c.ns] && c.unit == nil })
	}
	return dropped, err
}
