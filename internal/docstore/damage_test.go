package docstore

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/bsonkey"
	"gadwall/internal/docstore/engine"
	"gadwall/internal/docstore/rawdoc"
)

// DamageEntry removes or adds the entries that an index would have for doc.
func (s *Server) DamageEntry(ns, index string, doc bson.Raw, remove bool) error {
	ix := collectionOf(s, ns).IndexNamed(index)
	keys, _, err := ix.Keys(doc)
	if err != nil {
		return err
	}
	idKey := bsonkey.Append(nil, rawdoc.Get(doc, "_id"))
	for _, k := range keys {
		key := slices.Concat(ix.Prefix, k, idKey)
		if remove {
			err = errors.Join(err, s.eng.Pebble().Delete(key, pebble.Sync))
		} else {
			err = errors.Join(err, s.eng.Pebble().Set(key, nil, pebble.Sync))
		}
	}
	return err
}

// DamageDocument puts value where the document with that _id belongs; nil removes what is there.
func (s *Server) DamageDocument(ns string, id bson.RawValue, value []byte) error {
	key := collectionOf(s, ns).DocKey(bsonkey.Append(nil, id))
	if value == nil {
		return s.eng.Pebble().Delete(key, pebble.Sync)
	}
	return s.eng.Pebble().Set(key, value, pebble.Sync)
}

// DamageMultikey makes the disk forget that an index is multikey.
func (s *Server) DamageMultikey(ns, index string) error {
	ix := collectionOf(s, ns).IndexNamed(index)
	return s.eng.Pebble().Delete(ix.MultikeyKey(), pebble.Sync)
}

// DamageKey gives a key a value that is no good anywhere.
func (s *Server) DamageKey(key []byte) error {
	return s.eng.Pebble().Set(key, []byte("rubbish"), pebble.Sync)
}

// IndexPrefix begins the keys of an index.
func (s *Server) IndexPrefix(ns, index string) []byte {
	return bytes.Clone(collectionOf(s, ns).IndexNamed(index).Prefix)
}

// Flush moves everything from the log to tables.
func (s *Server) Flush() error { return s.eng.Pebble().Flush() }

func collectionOf(s *Server, ns string) *engine.Collection {
	db, name, _ := strings.Cut(ns, ".")
	return s.eng.Catalog().Lookup(db, name)
}

// Compact moves everything to the last level of tables.
func (s *Server) Compact() error {
	return errors.Join(s.Flush(), s.eng.Pebble().Compact(context.Background(), []byte{0}, []byte{0xff}, false))
}
