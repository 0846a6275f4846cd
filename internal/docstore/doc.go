// Package docstore is a database in the process: a single-node server of the part of MongoDB's wire
// protocol that Gadwall uses.
//
// It has find, count and counting aggregations, inserts, updates, deletes, findAndModify, secondary
// indexes, cursors, transactions and retryable writes, with MongoDB 7.0's results and errors;
// package conformance holds it to them. It deliberately is no replica set of more than one member,
// keeps no users, and is no database for other programs. It has no expressions, collations, text
// and geo search, computing aggregations, positional updates, views, capped collections and change
// streams. docs/embedded-database.md lists every command, operator and option. The server refuses
// everything else with MongoDB's own error; it never ignores an option and never answers wrongly.
//
// # Two storeys
//
// Package engine stores, plans, locks, writes, checks and backs up; it knows no protocol. This
// package has what a client sees of it: connections, commands and their arguments, cursors,
// sessions, concerns, and the form of the answers. Beside them: mongoerr (error codes), query
// (filters, updates, pipelines), bsonkey (the order of values as bytes), rawdoc (reading BSON in
// place), wire (messages).
//
// # Words
//
//   - server: an open database, its connections, cursors and sessions (Server).
//   - command: what a client asks for, a row of the table in command.go.
//   - request: one call of a command, its generic arguments parsed.
//   - cursor: a stream of documents that waits for getMore.
//   - test commands: fail points and step-downs, for tests only (failpoint.go, failover.go).
//   - session: what a client's transaction or retryable write hangs on.
//
// # How data flows
//
// A connection of a socket (conn.go) reads a message (package wire). One in memory (local.go) gets it
// from the client's own goroutine, and runs commands there that do not wait for writes of the disk.
// The server parses the generic arguments (request.go) and runs the command of the table in
// command.go. A reading command takes an engine.Reading and copies the documents of its stream into
// the reply; a cursor keeps the rest. A writing command parses its statements, runs them by an
// engine.Writer, and turns the outcome into the reply.
//
// # What must hold
//
//   - One command at a time uses a session that carries a transaction number (session.lock).
//   - A cursor of a transaction is closed before its unit ends.
//   - A request's buffer is used again when its command has ended: what outlives it is copied.
package docstore
