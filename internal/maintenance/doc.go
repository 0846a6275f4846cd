// Package maintenance runs what keeps a store right and small: collection of what nobody uses, and
// the check of everything. It puts the parts of packages mailstore, contents, blobstore and dedupe
// in their order.
//
// # Collect
//
//	deletions of mailboxes and users are finished, if wanted     mailstore
//	contents without messages: quarantined, deleted              contents, dedupe
//	  together with their references to blobs
//	blobs without contents: quarantined, deleted                 blobstore, dedupe
//	chunks without a file                                        blobstore
//
// The cost of all but the last is that of the garbage. The last walks along all chunks, and is done
// less often.
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
// Each part may run beside live traffic and says in its package how it tells damage from change.
// Nothing is kept in memory but tables of bounded size; findings are handed out one by one.
//
// What a check repairs never removes mail: counts and counters become what is there, messages
// without a mailbox get one. What is missing or cannot be read is reported, for people to decide
// on.
package maintenance
