// Package mailstore keeps users, their mailboxes and the messages in them, with their UIDs, flags
// and dates. The bytes behind the messages belong to package contents. The documents are described
// in docs/storage.md.
//
// # Words
//
//   - mailbox: a numbered list of messages with a path, unique for its user. Its key names it, and
//     stays when the path changes.
//   - message: one entry of a mailbox. It holds a reference on a content, which it shares with
//     copies.
//   - UID, UIDVALIDITY, mod-sequence: as in RFC 9051 section 2.3.1.1 and RFC 7162.
//   - counters: the sums over a mailbox's messages that its document has, so that nobody counts
//     them.
//   - journal: the UIDs of removed messages, for clients that were away (RFC 7162, VANISHED), where
//     they went, and what happened to the list of mailboxes and the quota (notes.go).
//   - roll: a copy of the UIDs of a large mailbox at one mod-sequence, in one document (roll.go).
//
// # What always holds
//
//   - A transaction that changes messages writes their mailbox's document: it takes the
//     mod-sequence and the UIDs from there, and moves the counters. So such transactions follow one
//     another, UIDs and mod-sequences become visible in their order, and counters are exact.
//   - A transaction that changes a user's usage moves the quota. A transaction that changes the
//     list of mailboxes writes the user's document.
//   - Within a transaction the order of writes is: user, mailboxes in the order of their keys,
//     messages, journal.
//   - The store adds a message's reference on its content, outside of transactions, before a
//     transaction inserts the message, and releases it after the one that removes it. If the
//     outcome of a transaction is unknown, references stay: that may cost space until an audit, and
//     loses no bytes.
//   - Events are published right after the commit. If the outcome of a transaction is unknown, the
//     user's sessions are told to look (unsettled.go). Nothing depends on events.
//   - Reads outside of transactions see only what a majority of the database's members has. The
//     reads of one operation are a chain (database.Clock), and so are all calls whose contexts have
//     the same clock: what a mailbox's mod-sequence promises is visible on every shard. Rolls may be
//     read in any state, since they are not believed.
//   - The store never gives out a UID, a mailbox number or a UIDVALIDITY twice.
//   - No transaction touches more than maxBatch messages. Larger operations take several. A
//     deletion that must be finished is marked first, and another process resumes it if need be
//     (deletions.go).
//
// # Flow
//
//	Deliver, Append  -> queue per user -> one transaction for all that wait -> event
//	Copy             -> transaction per batch: read, references, write -> event
//	Move, StoreFlags -> transaction per batch -> event
//	Expunge          -> transaction per batch -> event, release references
//	DeleteMailbox, DeleteUser -> mark -> as Expunge, in the background -> remove what was marked
//	Messages, UIDs, Changes                    queries outside of transactions
//	UIDsOf           -> roll, journal and keys since -> compare with the counters -> or UIDs
//
// Transactions of one user run one after the other within a process (userLocks); between processes,
// the database's conflict detection decides, and transact tries again.
package mailstore
