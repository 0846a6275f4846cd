// Package schema keeps the form of a database and the program that uses it together: the indexes,
// and the versions of what the documents hold.
//
// # Words
//
//   - version: the number of a form of the database. A database has one, and a program knows all
//     versions up to its own.
//   - migration: what leads from one version to the next. It changes documents, range by range, or
//     only says that from now on documents may have another form.
//   - registry: the indexes and migrations that a program knows.
//   - instance: a process that has the database open and may write. One that is lost has ended without
//     removing its document.
//
// # Documents
//
//	state {_id: "schema", version, least}
//	instances {_id, host, pid, program, schema, since, seen, figures}
//
// least is the version that a program must know to open the database. It is greater than version
// while a migration is under way.
//
// # Upgrades
//
// A program opens a database of its own version or of an earlier one. On an earlier one it writes
// documents that programs of both versions read; Applied tells it which of its migrations are
// through. So the instances of a database are replaced one by one while the others go on (a rolling
// upgrade). Then gadwall schema apply does the migrations:
//
//  1. No older instance may be running. An instance notes every heartbeat in its document. A document
//     that does not change for some heartbeats belongs to a process that was killed.
//  2. least becomes the new version. From now on no older program opens the database, and one that
//     was overlooked ends at its next heartbeat. An instance writes its document before it reads
//     least, so either the apply sees the instance, or the instance sees least.
//  3. The ranges are migrated (package ranges), with saved progress, by any number of processes.
//  4. version becomes the new version. Instances learn of it with their next heartbeat.
//
// A migration may stop anywhere, and goes on with the next apply.
//
// # Writing a migration
//
// The package whose documents it changes lists it, as mailstore.Migrations does. Numbers ascend. A
// migration
//
//   - may do a part of the work twice, and at the same time as another process;
//   - runs beside instances of its own version, which write the new form already. It changes only
//     documents that do not have that form, by updates that are conditional on what it read;
//   - saves its position after each batch of some hundred documents (ranges.Range.Save).
//
// Code that relies on a migration asks Applied(version) each time. As long as that is false, documents
// of the old form may exist and may still be written.
//
// # Indexes
//
// The start of an instance creates an index only in a collection without documents. Elsewhere it says
// what is missing: it waits until schema apply has built what is needed, and does without what only
// makes something faster (database.Indexes.Optional).
package schema
