// Package database holds what every package that talks to MongoDB needs: the concerns under which
// Gadwall reads and writes, the indexes that it relies on, and the classes of the server's errors.
//
// # Concerns
//
// Every collection of Gadwall's is opened with Collection, and every transaction that writes
// commits with Durable. The connection string has no say in either: a write concern of w=0 in it
// would acknowledge mail that no disk has.
//
// Collections of which clients are told (mailboxes, messages, journal, users) are opened with
// Committed: reads outside of transactions have the concern majority.
//
// # Causal consistency
//
// On a sharded cluster a read of one shard does not wait for what another shard has committed. Reads
// that rely on each other, or on an own write, are a chain: they follow a Clock, which a context
// carries (WithClock, Causal). Each read of a chain (Link) and each transaction (StartSession) waits
// until the server has everything up to the clock's time, and advances the clock.
//
// # Bounds
//
// Bound gives each call a time limit and makes the driver notice servers that hang, unless the
// connection string has other values. Calls that may take long have a context of Unbounded.
//
// # Indexes
//
// A package lists the indexes of its collections as Indexes. CreateWhereEmpty creates those of
// collections without documents, which the start of an instance may do; CreateIndexes creates all
// that do not exist; CompareIndexes reports how the server's differ. An index that has the right name and
// other keys stays as it is: to build it again may take hours, and an operator decides on that.
// Without an index queries read more than they return; without a unique index, duplicates can
// appear.
//
// # Errors
//
// The server names an error by a Code, and says by a label what a client may do after it. Callers
// ask for a class (IsStorageFull, IsUnavailable, IsTransient, ...) rather than for a number. The
// codes have MongoDB's own names. The embedded database answers with the same ones.
package database
