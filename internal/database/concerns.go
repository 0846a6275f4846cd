package database

import (
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

// Durable returns the write concern under which an acknowledged write survives the loss of a node
// and of power.
func Durable() *writeconcern.WriteConcern {
	journal := true
	return &writeconcern.WriteConcern{W: "majority", Journal: &journal}
}

// Soon returns the write concern under which an acknowledged write may be lost with the node that
// took it, or with power. A later write that is durable makes it durable, too: a server writes in
// order. It is for what can be made anew.
func Soon() *writeconcern.WriteConcern {
	journal := false
	return &writeconcern.WriteConcern{W: 1, Journal: &journal}
}

// Collection returns options under which writes are durable, and reads come from the primary: they
// see what was acknowledged to any client before, whatever the connection string prefers.
func Collection() *options.CollectionOptionsBuilder {
	return options.Collection().SetWriteConcern(Durable()).
		SetReadConcern(readconcern.Local()).SetReadPreference(readpref.Primary())
}

// Preceding returns Collection, or with ordered the options of writes that nobody waits for: what a
// commit relies on, and is written before it. Ordered says that the database makes writes durable in
// the order in which it acknowledges them, so that the commit's durability is theirs, too. The
// embedded database does so: it has one log. A MongoDB does not: a failover may take back a write
// whose successor on the new primary stays, and in a sharded cluster each shard has its own order.
func Preceding(ordered bool) *options.CollectionOptionsBuilder {
	if !ordered {
		return Collection()
	}
	return Collection().SetWriteConcern(Soon())
}

// Committed is Collection for what clients are told of, and rely on ever after: UIDs, mod-sequences,
// flags. Reads outside of transactions see only what a majority of the members has, so that no
// failover takes back what a client was told. A transaction has a read concern of its own.
func Committed() *options.CollectionOptionsBuilder {
	return Collection().SetReadConcern(readconcern.Majority())
}
