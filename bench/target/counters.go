package target

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"gadwall/bench/result"
)

// counterTimeout bounds each look at the counters.
const counterTimeout = time.Minute

// ownCommands are those that reading the counters takes, and those by which drivers look whether a
// server is there. They are not counted.
var ownCommands = map[string]bool{"serverStatus": true, "hello": true, "isMaster": true, "ismaster": true,
	"ping": true, "replSetHeartbeat": true, "replSetUpdatePosition": true}

// Counters are those of a database at one moment, as serverStatus tells them.
type Counters struct {
	Commands map[string]int64
	// Keys and Documents are what queries have examined, Octets what came and went, of all commands.
	Keys, Documents, Octets int64
	// answer is the size of the answer that told this, which the next one counts.
	answer int64
}

// Database reads the counters of a database.
type Database struct{ client *mongo.Client }

// OpenDatabase connects to the database of a server: the MongoDB that it uses, or the socket of the
// embedded one.
func OpenDatabase(uri string) (*Database, error) {
	client, err := mongo.Connect(options.Client().ApplyURI(uri).SetAppName("gadwall-bench"))
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	return &Database{client}, nil
}

// Counters reads the counters.
func (d *Database) Counters(ctx context.Context) (c Counters, err error) {
	ctx, cancel := context.WithTimeout(ctx, counterTimeout)
	defer cancel()
	raw, err := d.client.Database("admin").RunCommand(ctx, bson.D{{Key: "serverStatus", Value: 1}}).Raw()
	if err != nil {
		return c, fmt.Errorf("counters of the database: %w", err)
	}
	number := func(path ...string) (n int64) {
		v, lookupErr := raw.LookupErr(path...)
		var ok bool
		if lookupErr == nil {
			n, ok = v.AsInt64OK()
		}
		if !ok && err == nil {
			err = fmt.Errorf("the database has no counter %v", path)
		}
		return n
	}
	c = Counters{Commands: make(map[string]int64), answer: int64(len(raw)),
		Keys:      number("metrics", "queryExecutor", "scanned"),
		Documents: number("metrics", "queryExecutor", "scannedObjects"),
		Octets:    number("network", "bytesIn") + number("network", "bytesOut")}
	if err != nil {
		return c, err
	}
	commands, err := raw.LookupErr("metrics", "commands")
	if err != nil {
		return c, fmt.Errorf("the database does not count commands: %w", err)
	}
	elements, err := commands.Document().Elements()
	if err != nil {
		return c, fmt.Errorf("counters of commands: %w", err)
	}
	for _, e := range elements {
		name := e.Key()
		doc, ok := e.Value().DocumentOK() // MongoDB has also a number beside them
		if !ok || ownCommands[name] {
			continue
		}
		if total, ok := doc.Lookup("total").AsInt64OK(); ok && total > 0 {
			c.Commands[name] = total
		}
	}
	return c, nil
}

// Drop removes the database; the embedded one it leaves.
func (m MongoDB) Drop() error {
	if m.URI == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), counterTimeout)
	defer cancel()
	d, err := OpenDatabase(m.URI)
	if err != nil {
		return err
	}
	return errors.Join(d.client.Database(m.Database).Drop(ctx), d.Close(ctx))
}

// Close ends the connection.
func (d *Database) Close(ctx context.Context) error { return d.client.Disconnect(ctx) }

// Between is what a database did between two looks, for each of so many calls: commands by name, and
// under result.AllCommands their sum with what it counts for all together.
func Between(before, after Counters, calls int64) map[string]result.Commands {
	each := func(n int64) float64 { return float64(n) / float64(max(calls, 1)) }
	list := make(map[string]result.Commands)
	sum := int64(0)
	for name, total := range after.Commands {
		if n := total - before.Commands[name]; n > 0 {
			list[name] = result.Commands{Count: each(n)}
			sum += n
		}
	}
	list[result.AllCommands] = result.Commands{Count: each(sum), Documents: each(after.Documents - before.Documents),
		Keys: each(after.Keys - before.Keys), Octets: each(max(0, after.Octets-before.Octets-before.answer))}
	return list
}
