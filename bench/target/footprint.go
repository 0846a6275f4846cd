package target

import (
	"context"
	"errors"
	"log/slog"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"gadwall/bench"
	"gadwall/internal/config"
	"gadwall/internal/database"
	"gadwall/internal/node"
)

// measure reads what a Gadwall has stored, but for its directory.
func measure(ctx context.Context, storage config.Storage) (f *bench.Footprint, err error) {
	store, err := node.Open(ctx, node.Options{Storage: storage, Access: node.Sharing,
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	f = new(bench.Footprint)
	if f.Space, err = bench.MeasureSpace(ctx, store.Contents); err != nil {
		return nil, err
	}
	if !storage.Embedded() {
		// The statistics of a MongoDB are those of its last checkpoint. Who may not ask for one sees
		// those of the last minute.
		_ = store.Client.Database("admin").RunCommand(ctx, bson.D{{Key: "fsync", Value: 1}}).Err()
		f.Oplog = oplog(ctx, store.Client)
	}
	f.Collections, err = database.MeasureCollections(ctx, store.Client.Database(storage.MongoDBDatabase))
	return f, err
}

// oplog is the size of the oplog's entries. It is 0 if the caller may not see it, or if there is none,
// as behind a mongos. It stops growing once the oplog is full, so a new MongoDB tells most.
func oplog(ctx context.Context, client *mongo.Client) int64 {
	size, err := database.CollectionSize(ctx, client.Database("local").Collection("oplog.rs"))
	if err != nil {
		return 0
	}
	return size
}
