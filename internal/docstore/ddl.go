package docstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

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
		case "validator", "timeseries", "viewOn", "pipeline", "collation", "storageEngine", "size", "max", "expireAfterSeconds",
			"changeStreamPreAndPostImages", "encryptedFields", "validationLevel", "validationAction", "indexOptionDefaults":
			err = mongoerr.New(mongoerr.NotImplemented, "create does not support '%s'", key)
		default:
			return false, nil
		}
		return true, err
	})
	if err != nil {
		return nil, err
	}
	_, existed, err := s.eng.create(ctx, r.db, name, clustered)
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
			hasKey = it.Type() == bson.TypeEmbeddedDocument && ok && n == 1 && bytes.Count(it.Value().Value, []byte("_id")) == 1
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
	var wanted []*index
	for _, spec := range specs {
		ix, err := parseIndex(clone(spec))
		if err != nil {
			return nil, err
		}
		wanted = append(wanted, ix)
	}
	existed := s.eng.catalog.Load().lookup(r.db, name) != nil
	if _, err := s.eng.collectionFor(ctx, r.db, name); err != nil {
		return nil, err
	}
	before, after, err := s.eng.buildIndexes(ctx, r.db, name, wanted)
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

// buildIndexes builds those indexes that the collection lacks. It keeps writers out meanwhile.
func (e *engine) buildIndexes(ctx context.Context, db, name string, wanted []*index) (before, after int, err error) {
	err = e.change(ctx, func(cat *catalog) error {
		c := cat.lookup(db, name)
		if c == nil {
			return mongoerr.New(mongoerr.NamespaceNotFound, "ns does not exist: %s.%s", db, name)
		}
		before = len(c.indexes)
		after = before
		missing, err := missingIndexes(c, wanted)
		if err != nil || len(missing) == 0 {
			return err
		}
		if before+len(missing) >= maxIndexes {
			return mongoerr.New(mongoerr.CannotCreateIndex, "add index fails, too many indexes for %s", c.ns())
		}
		if err := e.space.check(); err != nil {
			return err
		}
		if err := c.gate.shut(ctx); err != nil {
			return err
		}
		defer c.gate.open()
		for _, ix := range missing {
			ix.setID(e.numbers.next())
			if err = e.fillIndex(ctx, c, ix); err != nil {
				break
			}
		}
		next := *c
		next.indexes = append(slices.Clone(c.indexes), missing...)
		if err == nil {
			err = e.store(cat, &next)
		}
		if err != nil {
			for _, ix := range missing {
				if ix.id != 0 {
					err = errors.Join(err, e.eraseIndex(ix.id))
				}
			}
			return err
		}
		after = len(next.indexes)
		return nil
	})
	return before, after, err
}

// missingIndexes returns those of wanted that c does not have, or the conflict with one that it has.
func missingIndexes(c *collection, wanted []*index) ([]*index, error) {
	var missing []*index
	for _, ix := range wanted {
		if ix.isID() && !ix.sparse && ix.partial == nil && !ix.ttl {
			continue // the order of the documents
		}
		known := false
		for _, old := range append(slices.Clone(c.indexes), missing...) {
			// What tells indexes apart, beside the name, is all but the expiry.
			equivalent := bytes.Equal(old.keySpec, ix.keySpec) && bytes.Equal(partialOf(old), partialOf(ix)) &&
				old.unique == ix.unique && old.sparse == ix.sparse
			switch {
			case old.name == ix.name && bytes.Equal(old.spec, ix.spec):
				known = true
			case old.name == ix.name && !equivalent:
				return nil, mongoerr.New(mongoerr.IndexKeySpecsConflict, "An existing index has the same name as the requested index. Requested index: %s, existing index: %s", ix.spec, old.spec)
			case old.name == ix.name:
				return nil, mongoerr.New(mongoerr.IndexOptionsConflict, "An equivalent index already exists with the same name but different options. Requested index: %s, existing index: %s", ix.spec, old.spec)
			case equivalent:
				return nil, mongoerr.New(mongoerr.IndexOptionsConflict, "Index already exists with a different name: %s", old.name)
			}
		}
		if !known {
			missing = append(missing, ix)
		}
	}
	return missing, nil
}

func partialOf(ix *index) []byte { return rawdoc.Get(ix.spec, "partialFilterExpression").Value }

// fillIndex writes the entries of all documents. Nobody writes to the collection meanwhile, and nobody
// reads the index before the catalogue has it.
func (e *engine) fillIndex(ctx context.Context, c *collection, ix *index) (err error) {
	lower := prefixOf(spaceDoc, c.id)
	s, err := pebbleView{e.db}.scan(lower, successor(clone(lower)), false)
	if err != nil {
		return fmt.Errorf("build index %s: %w", ix.name, err)
	}
	b := e.db.NewBatch()
	defer func() { err = errors.Join(err, s.close(), b.Close()) }()
	for n := 0; s.next(); n++ {
		if n%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		doc, err := s.value()
		if err != nil {
			return fmt.Errorf("build index %s: %w", ix.name, err)
		}
		keys, multi, err := ix.keys(doc)
		if err != nil {
			return err
		}
		if multi {
			ix.multikey.Store(true)
		}
		idKey := s.key()[prefixLen:]
		for _, k := range keys {
			if err := b.Set(append(joined(ix.prefix, k), idKey...), nil, nil); err != nil {
				return fmt.Errorf("build index %s: %w", ix.name, err)
			}
		}
		if b.Len() > writeChunk {
			if err := e.space.check(); err != nil {
				return err
			}
			if err := b.Commit(pebble.NoSync); err != nil {
				return fmt.Errorf("build index %s: %w", ix.name, err)
			}
			b.Reset()
		}
	}
	if ix.multikey.Load() {
		ix.multikeyStored.Store(true)
		if err := b.Set(prefixOf(spaceMulti, ix.id), nil, nil); err != nil {
			return fmt.Errorf("build index %s: %w", ix.name, err)
		}
	}
	if err := b.Commit(pebble.NoSync); err != nil { // the catalogue record is synced after it
		return fmt.Errorf("build index %s: %w", ix.name, err)
	}
	b.Reset()
	if ix.unique {
		return e.checkUnique(ctx, c, ix)
	}
	return nil
}

// checkUnique looks for two documents with the same key in a new index.
func (e *engine) checkUnique(ctx context.Context, c *collection, ix *index) (err error) {
	s, err := pebbleView{e.db}.scan(ix.prefix, successor(clone(ix.prefix)), false)
	if err != nil {
		return fmt.Errorf("check index %s: %w", ix.name, err)
	}
	defer func() { err = errors.Join(err, s.close()) }()
	var last []byte
	for n := 0; s.next(); n++ {
		if n%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		k, idKey, err := splitEntry(s.key(), len(ix.fields))
		if err != nil {
			return fmt.Errorf("check index %s: %w", ix.name, err)
		}
		if bytes.Equal(k, last) {
			doc, release, err := pebbleView{e.db}.get(c.docKey(idKey))
			if err != nil {
				return fmt.Errorf("check index %s: %w", ix.name, err)
			}
			defer release.Close()
			return ix.duplicate(c, clone(k), doc)
		}
		last = append(last[:0], k...)
	}
	return nil
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
	was := 0
	err = s.eng.change(ctx, func(cat *catalog) error {
		c := cat.lookup(r.db, name)
		if c == nil {
			return mongoerr.New(mongoerr.NamespaceNotFound, "ns not found %s.%s", r.db, name)
		}
		was = len(c.indexes) + 1
		gone, err := chooseIndexes(c, which)
		if err != nil || len(gone) == 0 {
			return err
		}
		if err := s.eng.space.checkFloor(); err != nil {
			return err
		}
		if err := c.gate.shut(ctx); err != nil {
			return err
		}
		defer c.gate.open()
		next := *c
		next.indexes = nil
		for _, ix := range c.indexes {
			if !slices.Contains(gone, ix) {
				next.indexes = append(next.indexes, ix)
			}
		}
		if err := s.eng.store(cat, &next); err != nil {
			return err
		}
		for _, ix := range gone {
			if err := s.eng.eraseIndex(ix.id); err != nil {
				return err
			}
		}
		return nil
	})
	return okReply(func(dst []byte) []byte { return bsoncore.AppendInt32Element(dst, "nIndexesWas", int32(was)) }), err
}

// chooseIndexes finds the indexes to drop: by name, by names, by pattern, or all with "*".
func chooseIndexes(c *collection, which bson.RawValue) ([]*index, error) {
	byName := func(name string) ([]*index, error) {
		if name == "_id_" {
			return nil, mongoerr.New(mongoerr.InvalidOptions, "cannot drop _id index")
		}
		if ix := c.indexNamed(name); ix != nil {
			return []*index{ix}, nil
		}
		return nil, mongoerr.New(mongoerr.IndexNotFound, "index not found with name [%s]", name)
	}
	switch which.Type {
	case bson.TypeString:
		name := string(rawdoc.String(which))
		if name == "*" {
			return c.indexes, nil
		}
		return byName(name)
	case bson.TypeArray:
		var gone []*index
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
		if samePattern(bson.Raw(rawdoc.Get(idIndexSpec(false), "key").Value), bson.Raw(which.Value)) {
			return byName("_id_")
		}
		for _, ix := range c.indexes {
			if samePattern(ix.keySpec, bson.Raw(which.Value)) {
				return []*index{ix}, nil
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
	dropped, err := s.dropCollections(ctx, func(cat *catalog) []*collection {
		if c := cat.lookup(r.db, name); c != nil {
			return []*collection{c}
		}
		return nil
	})
	return okReply(func(dst []byte) []byte {
		if len(dropped) > 0 {
			dst = bsoncore.AppendInt32Element(dst, "nIndexesWas", int32(len(dropped[0].indexes)+1))
			dst = bsoncore.AppendStringElement(dst, "ns", r.db+"."+name)
		}
		return dst
	}), err
}

func (s *Server) dropDatabase(ctx context.Context, r *request) (bson.Raw, error) {
	if err := r.noArgs(); err != nil {
		return nil, err
	}
	_, err := s.dropCollections(ctx, func(cat *catalog) []*collection { return cat.inDatabase(r.db) })
	return okReply(func(dst []byte) []byte { return bsoncore.AppendStringElement(dst, "dropped", r.db) }), err
}

func (s *Server) dropCollections(ctx context.Context, choose func(*catalog) []*collection) ([]*collection, error) {
	dropped, err := s.eng.drop(ctx, choose)
	gone := map[string]bool{}
	for _, c := range dropped {
		gone[c.ns()] = true
	}
	if len(gone) > 0 {
		s.cursors.kill(func(c *cursor) bool { return gone[c.ns] && c.unit == nil })
	}
	return dropped, err
}
