package docstore

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"
	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/bsonkey"
	"gadwall/internal/docstore/rawdoc"
)

// DamageEntry removes or adds the entries that an index would have for doc.
func (s *Server) DamageEntry(ns, index string, doc bson.Raw, remove bool) error {
	ix := s.eng.catalog.Load().byName[ns].indexNamed(index)
	keys, _, err := ix.keys(doc)
	if err != nil {
		return err
	}
	idKey := bsonkey.Append(nil, rawdoc.Get(doc, "_id"))
	for _, k := range keys {
		key := append(joined(ix.prefix, k), idKey...)
		if remove {
			err = errors.Join(err, s.eng.db.Delete(key, pebble.Sync))
		} else {
			err = errors.Join(err, s.eng.db.Set(key, nil, pebble.Sync))
		}
	}
	return err
}

// DamageDocument puts value where the document with that _id belongs; nil removes what is there.
func (s *Server) DamageDocument(ns string, id bson.RawValue, value []byte) error {
	key := s.eng.catalog.Load().byName[ns].docKey(bsonkey.Append(nil, id))
	if value == nil {
		return s.eng.db.Delete(key, pebble.Sync)
	}
	return s.eng.db.Set(key, value, pebble.Sync)
}

// DamageMultikey makes the disk forget that an index is multikey.
func (s *Server) DamageMultikey(ns, index string) error {
	ix := s.eng.catalog.Load().byName[ns].indexNamed(index)
	return s.eng.db.Delete(prefixOf(spaceMulti, ix.id), pebble.Sync)
}

// DamageKey gives a key a value that is no good anywhere.
func (s *Server) DamageKey(key []byte) error {
	return s.eng.db.Set(key, []byte("rubbish"), pebble.Sync)
}

// IndexPrefix begins the keys of an index.
func (s *Server) IndexPrefix(ns, index string) []byte {
	return clone(s.eng.catalog.Load().byName[ns].indexNamed(index).prefix)
}

// Flush moves everything from the log to tables.
func (s *Server) Flush() error { return s.eng.db.Flush() }
