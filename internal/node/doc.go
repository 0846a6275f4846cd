// Package node opens everything that stands below the protocols: the database, events, contents,
// mail, and what maintains them. The server, every command, the benchmarks and tests of whole
// programs open their storage here, so all of them see the same data under the same rules.
//
// # Words
//
//   - node: the storage as one process has it open.
//   - access: what the process opens it for. Serving has a data directory for itself. Sharing goes
//     through the sockets of the process that serves, if there is one. Looking is sharing that creates
//     nothing: no collections, no indexes, no database. Restoring has it for itself, to bring a
//     restored database up to date.
//
// # How it opens
//
//	database   --mongodb-uri, or the embedded one in the data directory, or the socket of the process
//	           that has that directory open; the driver speaks to all three in the same way
//	events     --redis-url, or the embedded Redis beside the embedded database, or its socket
//	contents   compressed bodies of mail and their blobs
//	mail       users, mailboxes, messages
//
// Each is closed in the reverse order. This is the only package outside of tests that tells the
// embedded database from another: everything above has a mongo.Database.
//
// # What always holds
//
// A process that refuses a setting has written nothing. Such a refusal is a SettingError, and names
// the flag. Every other error is trouble that may pass.
package node
