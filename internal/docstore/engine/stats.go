package engine

import (
	"context"
	"errors"

	"github.com/cockroachdb/pebble/v2"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// StorageStats is the part of MongoDB's document of the same name that this storage knows.
//
// StorageSize and the sizes of indexes are the compressed bytes in tables and files of values. They
// lack what is only in write buffers, and are estimates where a table holds the end of one
// collection and the beginning of another. The index on _id takes nothing: it is the order of the
// documents.
type StorageStats struct {
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

// StorageStats reads the keys of a collection, and the lengths of its documents.
func (e *Engine) StorageStats(ctx context.Context, c *Collection) (*StorageStats, error) {
	stats := &StorageStats{NIndexes: int32(len(c.Indexes)), ScaleFactor: 1, IndexSizes: bson.D{}}
	if !c.Clustered {
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
	for _, ix := range c.Indexes {
		size, err := e.tableBytes(ctx, prefixOf(spaceIndex, ix.id))
		if err != nil {
			return nil, err
		}
		stats.IndexSizes = append(stats.IndexSizes, bson.E{Key: ix.Name, Value: size})
		stats.TotalIndexSize += size
	}
	stats.TotalSize = stats.StorageSize + stats.TotalIndexSize
	return stats, nil
}

// documentSizes counts the documents and their bytes, and returns how many of these lie in files of
// values.
func (e *Engine) documentSizes(ctx context.Context, c *Collection, stats *StorageStats) (separated int64, err error) {
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

// tableBytes is what the keys of a prefix take in tables: to a block, where it has a part of a
// table.
func (e *Engine) tableBytes(ctx context.Context, prefix []byte) (n int64, err error) {
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

// DatabaseSize estimates the bytes on disk of a database's documents and indexes.
func (e *Engine) DatabaseSize(cat *Catalog, db string) (int64, error) {
	var total uint64
	add := func(space byte, number uint32) error {
		lower := prefixOf(space, number)
		n, err := e.db.EstimateDiskUsage(lower, successor(clone(lower)))
		total += n
		return err
	}
	for _, c := range cat.InDatabase(db) {
		if err := add(spaceDoc, c.id); err != nil {
			return 0, err
		}
		for _, ix := range c.Indexes {
			if err := add(spaceIndex, ix.id); err != nil {
				return 0, err
			}
		}
	}
	return int64(total), nil
}
