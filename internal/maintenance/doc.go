// Package maintenance keeps a store right and small. A collection deletes contents, blobs and
// chunks that nothing refers to; a check compares everything that is stored. Both call the parts of
// packages mailstore, contents, blobstore and dedupe in their order, once for a command, or
// periodically in one instance of all that serve.
//
// # Collect
//
//	deletions of mailboxes and users are finished, if wanted     mailstore
//	contents without messages: quarantined, deleted              contents, dedupe
//	  together with their references to blobs
//	blobs without contents: quarantined, deleted                 blobstore, dedupe
//	chunks without a file                                        blobstore
//
// The last step reads the keys of all chunks, and runs less often. The others cost as much as there
// is garbage.
//
// # Check
//
//	indexes that are missing                                     database
//	users, addresses, mailboxes, messages, journal, quota        mailstore
//	contents: layouts; with Deep the bytes                       contents
//	references of messages to contents                           dedupe, mailstore
//	references of contents to blobs                              dedupe, contents
//	files and chunks; with Deep the bytes                        blobstore
//
// Each part may run beside live traffic, and its package says how it tells damage from change. A
// check keeps little in memory and sorts references in temporary files, reads everything once, and
// reports findings one by one.
//
// The parts that grow with the store are stages, done by ranges of keys (package ranges). A shared
// check of a store that is not small keeps each range's position, sums and findings in the database:
// another process goes on with it after a kill, and others may take ranges meanwhile. The process
// that leads gathers what came of all ranges, and reports each finding once. A finding is reported
// when it is saved, so that a range that changes hands does not report it twice.
//
// A repair never removes mail: it corrects counts and counters, and gives messages without a
// mailbox one. A check only reports missing and unreadable bytes: an operator decides about them.
package maintenance
