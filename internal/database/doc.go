// Package database holds what every package that talks to MongoDB needs: the concerns under which
// Gadwall reads and writes, the indexes that it relies on, and the classes of the server's errors.
//
// # Concerns
//
// Every collection of Gadwall's is opened with Collection, and every transaction that writes
// commits with Durable. The connection string has no say in either: a write concern of w=0 in it
// would acknowledge mail that no disk has.
//
// # Indexes
//
// A package lists the indexes of its collections as Indexes. CreateIndexes creates those that do
// not exist, CompareIndexes reports how the server's differ. An index that has the right name and
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
