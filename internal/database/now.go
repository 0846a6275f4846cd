package database

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// Hello asks the server that takes writes, or a mongos, what it says of itself, and decodes that.
func Hello(ctx context.Context, client *mongo.Client, into any) error {
	admin := client.Database("admin")
	err := admin.RunCommand(ctx, bson.D{{Key: "hello", Value: 1}}).Decode(into)
	if HasCode(err, CommandNotFound) {
		err = admin.RunCommand(ctx, bson.D{{Key: "isMaster", Value: 1}}).Decode(into) // before MongoDB 5.0
	}
	return err
}

// Now returns the time by the clock of the server that takes writes, or of a mongos.
func Now(ctx context.Context, client *mongo.Client) (time.Time, error) {
	var hello struct {
		LocalTime time.Time `bson:"localTime"`
	}
	if err := Hello(ctx, client, &hello); err != nil {
		return time.Time{}, fmt.Errorf("ask for the time: %w", err)
	}
	return hello.LocalTime, nil
}
