// Package docstore is a database in the process: a single-node server of the part of MongoDB's wire
// protocol that Gadwall uses, over Pebble.
//
// What it is: find, count and counting aggregations, inserts, updates, deletes, findAndModify, secondary
// indexes, cursors, transactions and retryable writes, with MongoDB 7.0's results and errors; package conformance
// holds it to them. What it deliberately is not: a replica set of more than one member, a place for users, or a
// database for other programs. Expressions, collations, text and geo search, computing aggregations, positional updates, views,
// capped collections and change streams are left out. docs/embedded-database.md lists every command, operator and option
// there is. Whatever is not there is refused with MongoDB's own error, never ignored and never answered wrongly.
//
// # Words
//
//   - server: an open database, its connections, cursors and sessions (Server).
//   - engine: the storage under the commands: Pebble, the catalogue and the locks.
//   - catalogue: the collections and their indexes. A published version never changes.
//   - unit: writes that become visible and durable together, in one Pebble batch. A
//     transaction is a unit; so are the statements of a plain write command, in portions.
//   - view: a consistent state to read from.
//   - gate: keeps the indexes of a collection as they are while units write to it.
//   - session: what a client's transaction or retryable write hangs on.
//
// # How data flows
//
// A connection (conn.go) reads a message (package wire), parses its generic arguments (request.go) and
// runs the command of the table in command.go. Reading commands take a snapshot or their
// transaction's view, plan (plan.go), scan (scan.go) and stream (stream.go) documents as raw BSON into the reply;
// what is left waits in a cursor without pinning memory. Writing commands run statements (write.go)
// in units (unit.go).
//
// # What must hold
//
//   - A document, its index entries and the result that a retry of its write will find are in one
//     batch. There is no state in which one is there without the others.
//   - A unit locks a document, and each key of a unique index it adds or removes, before it reads
//     what it will overwrite, and until its batch is applied (locks.go).
//   - A unit that holds locks never waits for one. A plain one lets go of everything and starts again; a transaction
//     gets a write conflict.
//   - Order of waiting: gate, then locks. Who waits for a gate holds no lock. Changes of the catalogue wait for a
//     gate to empty and hold no lock.
//   - A write is acknowledged when it is in the synced log, unless its write concern asked for less. Its locks
//     are free as soon as it is applied: what builds on it comes later in the log.
//   - An index is in the published catalogue only while its entries are complete in every snapshot
//     taken since.
//   - Reads never wait for writes.
package docstore
