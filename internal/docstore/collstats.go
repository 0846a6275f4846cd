package docstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"go.mongodb.org/mongo-driver/v2/bson"

	"gadwall/internal/docstore/mongoerr"
	"gadwall/internal/docstore/rawdoc"
)

// collStatsStage is the stage that says what a collection takes. It can only be a pipeline's first, and here its only one.
const collStatsStage = "$collStats"

// storageStats is that part of MongoDB's document of the same name which can be told of this storage.
//
// StorageSize and the sizes of indexes are what tables and files of values have of it, compressed, without what is still
// in write buffers only, and as estimated where a table holds the end of one collection and the beginning of another.
// Documents are clustered by _id, so the index on it takes nothing of its own.
type storageStats struct {
	Size           int64  `bson:"size"`
	Count          int64  `bson:"count"`
	AvgObjSize     int64  `bson:"avgObjSize,omitempty"`
	StorageSize    int64  `bson:"storageSize"`
	Capped         bool   `bson:"capped"`
	NIndexes       int32  `bson:"nindexes"`
	IndexSizes     bson.D `bson:"indexSizes"`
	TotalIndexSize int64  `bson:"totalIndexSize"`
	TotalSize      int64  `bson:"totalSize"`
	ScaleFactor    int32  `bson:"scaleFactor"`
}

// wantsCollStats reports whether a pipeline begins with that stage.
func wantsCollStats(stages []bson.Raw) bool {
	if len(stages) == 0 {
		return false
	}
	it := rawdoc.Over(stages[0])
	return it.Next() && string(it.Key()) == collStatsStage
}

// checkCollStats takes what is supported of the stage: {storageStats: {}}, and nothing after it.
func (r *request) checkCollStats(stages []bson.Raw) error {
	if len(stages) > 1 {
		return mongoerr.New(mongoerr.NotImplemented, "stages after %s are not supported", collStatsStage)
	}
	it := rawdoc.Over(stages[0])
	it.Next()
	spec, err := r.docArg(collStatsStage, it.Value())
	if err != nil {
		return err
	}
	given := false
	for it := rawdoc.Over(spec); it.Next(); {
		if key := string(it.Key()); key != "storageStats" {
			return mongoerr.New(mongoerr.NotImplemented, "%s does not support '%s'", collStatsStage, key)
		}
		if err := notEmpty(collStatsStage, "storageStats", it.Value()); err != nil {
			return err
		}
		given = true
	}
	if !given {
		return mongoerr.New(mongoerr.NotImplemented, "%s without storageStats is not supported", collStatsStage)
	}
	return nil
}

func (s *Server) collStats(ctx context.Context, r *request, a *aggregateArgs) (bson.Raw, error) {
	if err := r.checkCollStats(a.stages); err != nil {
		return nil, err
	}
	if r.inTransaction {
		return nil, mongoerr.New(mongoerr.NotSupportedInTransaction, "Stage not supported inside of a multi-document transaction: %s", collStatsStage)
	}
	c := s.eng.catalog.Load().lookup(r.db, a.collection)
	if c == nil {
		return nil, mongoerr.New(mongoerr.NamespaceNotFound, "Collection [%s.%s] not found.", r.db, a.collection)
	}
	stats, err := s.eng.storageStats(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("statistics of %s: %w", c.ns(), err)
	}
	doc, err := bson.Marshal(bson.D{{Key: "ns", Value: c.ns()}, {Key: "storageStats", Value: stats}})
	if err != nil {
		return nil, err
	}
	return s.openList(ctx, r, c.ns(), []bson.Raw{doc}, a.batch)
}

// storageStats reads the keys of a collection, and the lengths of its documents.
func (e *engine) storageStats(ctx context.Context, c *collection) (*storageStats, error) {
	stats := &storageStats{NIndexes: int32(len(c.indexes)), ScaleFactor: 1, IndexSizes: bson.D{}}
	if !c.clustered {
		stats.NIndexes++
		stats.IndexSizes = append(stats.IndexSizes, bson.E{Key: "_id_", Value: int64(0)})
	}
	separated, err := e.documentSizes(ctx, c, stats)
	if err != nil {
		return nil, err
	}
	if stats.Count > 0 {
		stats.AvgObjSize = stats.Size / stats.Count
	}
	tables, err := e.tableBytes(ctx, prefixOf(spaceDoc, c.id))
	if err != nil {
		return nil, err
	}
	stats.StorageSize = tables + separated
	for _, ix := range c.indexes {
		size, err := e.tableBytes(ctx, prefixOf(spaceIndex, ix.id))
		if err != nil {
			return nil, err
		}
		stats.IndexSizes = append(stats.IndexSizes, bson.E{Key: ix.name, Value: size})
		stats.TotalIndexSize += size
	}
	stats.TotalSize = stats.StorageSize + stats.TotalIndexSize
	return stats, nil
}

// documentSizes counts the documents and their bytes, and returns how many of these lie in files of values.
func (e *engine) documentSizes(ctx context.Context, c *collection, stats *storageStats) (separated int64, err error) {
	lower := prefixOf(spaceDoc, c.id)
	it, err := e.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: successor(clone(lower))})
	if err != nil {
		return 0, err
	}
	for ok := it.First(); ok; ok = it.Next() {
		if stats.Count%checkEvery == 0 && ctx.Err() != nil {
			return 0, errors.Join(ctx.Err(), it.Close())
		}
		value := it.LazyValue()
		n := int64(value.Len())
		stats.Count++
		stats.Size += n
		if n >= separatedValue {
			separated += n
		}
	}
	return separated, errors.Join(it.Error(), it.Close())
}

// tableBytes is what the keys of a prefix take in tables: to a block, where it has a part of a table.
func (e *engine) tableBytes(ctx context.Context, prefix []byte) (n int64, err error) {
	lower, upper := prefix, successor(clone(prefix))
	it, err := e.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return 0, err
	}
	empty := !it.First()
	if err := errors.Join(it.Error(), it.Close()); err != nil || empty {
		return 0, err
	}
	levels, err := e.db.SSTables(pebble.WithKeyRangeFilter(lower, upper), pebble.WithApproximateSpanBytes())
	if err != nil {
		return 0, err
	}
	for _, tables := range levels {
		for i := range tables {
			n += int64(tables[i].ApproximateSpanBytes)
		}
	}
	return n, nil
}
