package contents

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/blobstore"
	"gadwall/dedupe"
	"gadwall/internal/database"
)

// auditBatch is the number of contents that one query of an audit returns, deepBatch the number for
// a check that reads all their bytes. Both are bounded because databases close cursors that wait
// for ten minutes.
const (
	auditBatch = 1000
	deepBatch  = 100
)

// Blobs returns the store of the large bodies.
func (s *Store) Blobs() *blobstore.Store { return s.blobs }

// Collection returns the collection of the contents.
func (s *Store) Collection() *mongo.Collection { return s.coll }

// Refs returns the counter of the references to contents.
func (s *Store) Refs() *dedupe.Counter { return s.refs }

// Collector returns the collector of contents that no message refers to. It releases the references
// of a deleted content to blobs. Blobs are collected after contents.
func (s *Store) Collector(guard func(context.Context) error) *dedupe.Collector {
	return &dedupe.Collector{
		Counter: s.refs,
		Bytes:   func(doc bson.Raw) int64 { return int64(len(doc)) },
		Holds: &dedupe.Holds{
			Counter: s.blobs.Refs(),
			Field:   "segs",
			Refs: func(doc bson.Raw) []dedupe.Ref {
				_, refs, err := blobRefsOf(doc)
				if err != nil {
					// This content does not keep the others from being collected. An audit corrects
					// the blobs' counts.
					s.log.Error("references of an unused content cannot be read, so they are not "+
						"released", "error", err)
				}
				return refs
			},
			NotHeld: func(id dedupe.Hash) {
				s.log.Error("a deleted content had references to blobs that are not counted", "content", id)
			},
		},
		Guard: guard,
	}
}

// blobRefsOf returns the references that a document holds. The error is ErrCorrupt.
func blobRefsOf(doc bson.Raw) (ID, []dedupe.Ref, error) {
	_, key, _ := doc.Lookup("_id").BinaryOK()
	hash, err := dedupe.HashFromBytes(key)
	if err != nil {
		return ID{}, nil, fmt.Errorf("%w: _id: %v", ErrCorrupt, err)
	}
	_, segs, ok := doc.Lookup("segs").BinaryOK()
	if !ok {
		return ID(hash), nil, fmt.Errorf("%w: %v: no segment table", ErrCorrupt, hash)
	}
	l, err := readTable(segs)
	if err != nil {
		return ID(hash), nil, fmt.Errorf("%w: %v: %v", ErrCorrupt, hash, err)
	}
	return ID(hash), l.blobRefs(), nil
}

// BlobReferrers gives the references to blobs of all contents to a Tally. A content never changes,
// so the moment at which it is read does not matter. progress, if not nil, gets the number of
// contents that were read now and then. It may block; its error ends the audit.
func (s *Store) BlobReferrers(progress func(ctx context.Context,
	n int64) error) func(context.Context, *dedupe.Tally) error {
	return func(ctx context.Context, t *dedupe.Tally) error {
		var n int64
		return s.scan(ctx, bson.D{{Key: "segs", Value: 1}}, auditBatch, func(doc bson.Raw) error {
			id, refs, err := blobRefsOf(doc)
			if err != nil {
				t.Unreadable()
			}
			for _, r := range refs {
				t.Add(id[:], r)
			}
			if err := t.Commit(ctx); err != nil {
				return err
			}
			if n++; progress != nil && n%auditBatch == 0 {
				return progress(ctx, n)
			}
			return nil
		}, func(database.Gap) error { t.Unreadable(); return nil })
	}
}

// BlobHolders calls f with each content and each blob that it refers to, as far as contents can be
// read.
func (s *Store) BlobHolders(ctx context.Context, f func(ID, dedupe.Hash) error) error {
	return s.scan(ctx, bson.D{{Key: "segs", Value: 1}}, auditBatch, func(doc bson.Raw) error {
		id, refs, err := blobRefsOf(doc)
		if err != nil {
			return nil // is reported as damaged by itself
		}
		for _, r := range refs {
			if err := f(ID(id), r.Hash); err != nil {
				return err
			}
		}
		return nil
	}, func(database.Gap) error { return nil })
}

// HoldsBlob reports whether the content is there and holds the reference.
func (s *Store) HoldsBlob(ctx context.Context, content []byte, ref dedupe.Ref) (bool, error) {
	doc, err := s.coll.FindOne(ctx, bson.D{{Key: "_id", Value: bson.Binary{Data: content}}},
		options.FindOne().SetProjection(bson.D{{Key: "segs", Value: 1}})).Raw()
	if errors.Is(err, mongo.ErrNoDocuments) || database.IsDamaged(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for a content: %w", err)
	}
	_, refs, err := blobRefsOf(doc)
	if err != nil {
		return false, err
	}
	for _, r := range refs {
		if r == ref {
			return true, nil
		}
	}
	return false, nil
}

// scan calls f with every content, in the order of their ids, and gap with the ids of those that the
// database cannot read. It may pass over contents that come or go meanwhile. A query reads page
// contents.
func (s *Store) scan(ctx context.Context, projection bson.D, page int, f func(bson.Raw) error,
	gap func(database.Gap) error) error {
	scan := database.Scan{Collection: s.coll, Key: database.Key{Size: dedupe.HashSize},
		Projection: projection, Page: page}
	if err := scan.Run(ctx, f, gap); err != nil {
		return fmt.Errorf("read contents: %w", err)
	}
	return nil
}
