// Package engine stores collections of BSON documents and their indexes over Pebble, runs queries
// and writes on them, and keeps them safe. It knows no wire protocol, no connections and no
// sessions: package docstore above it has those.
//
// # Words
//
//   - engine: an open database: Pebble, the catalogue, the locks (Engine).
//   - catalogue: the collections and their indexes (Catalog). A published version never changes.
//   - view: a consistent state to read from.
//   - reading: a view and the catalogue that belongs to it, for queries (Reading).
//   - plan: which keys a query reads, in which order (Plan).
//   - unit: writes that become visible and durable together, in one Pebble batch (Unit). A transaction
//     is a unit; so are the statements of a plain write command, in portions.
//   - writer: runs the statements of one write command in units (Writer).
//   - statement: one insert, Update or Delete.
//   - retry record: the results of a client's last numbered write, stored in the same batch.
//   - gate: keeps the indexes of a collection as they are while units write to it.
//   - reserve: the part of the disk that new writes leave free.
//
// # How data flows
//
// A query: Engine.Read takes a snapshot, or Unit.Read the transaction's view. Reading.Find plans
// (plan.go), scans (scan.go) and streams (stream.go) documents as raw BSON. A stream that is paused
// pins no memory.
//
// A write: Engine.NewWriter starts a writer. Its statements (statement_*.go) find their documents
// (find_one.go, many.go), lock them, and put the new state into the unit (unit.go). The writer
// commits the unit when enough has gathered (writer.go), by one batch (apply.go).
//
// Beside them: changes of the catalogue (engine.go, build.go), deletion of expired documents
// (expire.go), a full disk (space.go, spacefs.go), space given back (reclaim.go, logs.go), check
// and backup.
//
// # What must hold
//
//   - A document, its index entries and the retry record of its write are in one batch. There is no
//     state in which one is there without the others.
//   - A unit locks a document, and each key of a unique index it adds or removes, before it reads
//     what it will overwrite, and until its batch is applied (locks.go).
//   - A unit that holds locks never waits for one. A plain one lets go of everything and starts again;
//     a transaction gets a write conflict.
//   - Order of waiting: gate, then locks. A unit that waits for a gate holds no lock. A change of the
//     catalogue waits for a gate to empty and holds no lock.
//   - A write is acknowledged when it is in the synced log, unless its caller asked for less. Its locks
//     are free as soon as it is applied: a write that builds on it comes later in the log.
//   - An index is in the published catalogue only while its entries are complete in every snapshot
//     taken since.
//   - Reads never wait for writes.
package engine
