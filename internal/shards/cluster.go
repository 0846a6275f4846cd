package shards

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"

	"gadwall/internal/database"
)

// ErrNotSharded: the database is no sharded cluster.
var ErrNotSharded = errors.New("this database is no sharded cluster, or the connection string " +
	"names a shard of one instead of a mongos")

// Read reads from the config database of a cluster what it has. It changes nothing.
func Read(ctx context.Context, db *mongo.Database) (*State, error) {
	s := &State{Database: db.Name(), Keys: make(map[string]bson.Raw)}
	config := db.Client().Database("config", options.Database().SetReadConcern(readconcern.Majority()))
	if err := all(ctx, config.Collection("shards"), bson.D{}, &s.Shards); err != nil {
		return nil, err
	}
	if len(s.Shards) == 0 {
		return nil, ErrNotSharded
	}
	var keys []struct {
		NS      string `bson:"_id"`
		Key     bson.Raw
		Dropped bool
	}
	if err := all(ctx, config.Collection("collections"), bson.D{}, &keys); err != nil {
		return nil, err
	}
	for _, k := range keys {
		if !k.Dropped {
			s.Keys[k.NS] = k.Key
		}
	}
	if err := all(ctx, config.Collection("tags"), bson.D{}, &s.Ranges); err != nil {
		return nil, err
	}
	specs, err := db.Collection("users").Indexes().ListSpecifications(ctx)
	if err != nil && !database.HasCode(err, database.NamespaceNotFound) {
		return nil, fmt.Errorf("list indexes of users: %w", err)
	}
	for _, spec := range specs {
		s.UniqueNames = s.UniqueNames || spec.Name == "name" && spec.Unique != nil && *spec.Unique
	}
	return s, nil
}

func all(ctx context.Context, c *mongo.Collection, filter bson.D, into any) error {
	cursor, err := c.Find(ctx, filter)
	if err == nil {
		err = cursor.All(ctx, into)
	}
	if err != nil {
		return fmt.Errorf("read config.%s: %w", c.Name(), err)
	}
	return nil
}

// Runner runs a command; Apply needs nothing else of a cluster.
type Runner func(ctx context.Context, step Step) error

// Run is the Runner of a client.
func Run(client *mongo.Client) Runner {
	return func(ctx context.Context, step Step) error {
		ctx, cancel := database.Unbounded(ctx)
		defer cancel()
		return client.Database(step.Database).RunCommand(ctx, step.Command).Err()
	}
}

// Apply runs the steps in their order, and calls done after each. Interrupted, it is begun again
// with another plan.
func Apply(ctx context.Context, steps []Step, run Runner, done func(Step)) error {
	for _, step := range steps {
		err := run(ctx, step)
		if step.Command[0].Key == "enableSharding" && database.HasCode(err, database.AlreadyInitialized) {
			err = nil // before MongoDB 4.4 that was an error
		}
		if err != nil {
			return fmt.Errorf("%s: %w", step, err)
		}
		done(step)
	}
	return nil
}
