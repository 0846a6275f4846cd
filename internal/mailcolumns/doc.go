// Package mailcolumns keeps in memory what sessions ask for most often of the messages
// of a mailbox, once for all sessions of an instance: UIDs, flags, mod-sequences, sizes,
// internal dates and the messages' numbers within their user. Package account answers from
// it where it can; its callers need not know.
//
// # Words
//
//   - columns: the rows of a mailbox, one for each message, field by field. A message
//     takes 27 octets.
//   - snapshot: the columns at one mod-sequence. It never changes, so readers take it
//     and need no lock. The next snapshot shares all chunks with it but those in which a
//     row changed.
//   - chunk: up to a thousand rows that follow each other.
//
// # Flow
//
//	first query over much of a mailbox -> load -> snapshot
//	every other one -> store.Changes after the snapshot's mod-sequence
//	                     -> nothing newer: one read of the mailbox's document, and the answer
//	                     -> changes: the next snapshot, and the answer
//
// # What always holds
//
//   - An answer is as new as a query would be that began at the same moment: the mailbox's
//     document is read for each. Events are not needed for that, and nothing is wrong
//     when they are lost.
//   - Columns never become older, and an answer never joins a document with older columns,
//     also when a read shows an older state than the one before.
//   - Columns are loaded when a query asks for a good part of a mailbox anyway. A query
//     for a few messages of a large mailbox is left to the database, and so is the first
//     search in a mailbox.
//   - All columns together take no more than the cache's bound, and those of mailboxes
//     that nobody asked about for a while go.
//   - One goroutine at a time brings the columns of a mailbox up to date; others that want
//     them wait for it, as long as their contexts last.
package mailcolumns
