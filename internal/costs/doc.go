// Package costs has tests only. They hold what operations of mail clients and of mail servers ask of
// the database: testdata/commands.txt lists, for each operation, how many commands it sends, how many
// of them wait until what they wrote is durable on a majority of a MongoDB's members, and which they
// are. The commands are the same for the embedded database and for a MongoDB, where a command is a
// round trip. With the embedded database only the commit waits (database.Preceding).
//
// A change that makes an operation dearer, or cheaper, changes that file, and so is seen:
//
//	go test ./internal/costs -update
//
// The table of capabilities in docs/imap.md has what the commands of each capability ask.
//
// testdata/plans.txt has the index by which the database answers each query of the program.
package costs
