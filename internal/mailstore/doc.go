// Package mailstore keeps users, their mailboxes and the messages in them: which message is where,
// with which UID, flags and dates. The bytes behind the messages belong to package contents. The
// documents are described in docs/storage.md.
//
// # Words
//
//   - mailbox: a numbered list of messages with a path, unique for its user. It is named by its
//     key, which stays when the path changes.
//   - message: one entry of a mailbox. It holds a reference on a content, which it shares with copies.
//   - UID, UIDVALIDITY, mod-sequence: as in RFC 9051 section 2.3.1.1 and RFC 7162.
//   - counters: what a mailbox's document knows of its messages without counting them.
//   - journal: which messages were removed, for those who were not looking (RFC 7162, VANISHED).
//
// # What always holds
//
//   - Whatever changes messages writes their mailbox's document in the same transaction: it takes the
//     mod-sequence there, and the UIDs, and moves the counters. So such transactions follow one
//     another, UIDs and mod-sequences become visible in their order, and counters are exact.
//   - What changes how much a user stores moves the quota in the same transaction, and changes of the
//     list of mailboxes write the user's document, too.
//   - Within a transaction the order of writes is: user, mailboxes in the order of their keys, messages,
//     journal.
//   - A message's reference on its content is added before the transaction that makes the message, and
//     released after the one that removes it. When it is unknown whether a transaction took place,
//     references stay: space may be lost until an audit, bytes are not.
//   - Events are published after the commit. Nothing depends on them.
//   - A UID, a mailbox number, and a UIDVALIDITY are never given out twice.
//   - No transaction touches more than maxBatch messages. What is larger goes in several; what was
//     begun and must be finished is marked before, and resumed by another process if need be (deletions.go).
//
// # Flow
//
//	Deliver, Append  -> queue per user -> one transaction for all that wait -> event
//	Copy             -> references -> transaction per batch -> event
//	Move, StoreFlags -> transaction per batch -> event
//	Expunge          -> transaction per batch -> release references, event
//	DeleteMailbox, DeleteUser -> mark -> as Expunge, in the background -> remove what was marked
//	Messages, UIDs, Changes                    queries outside of transactions
//
// Transactions of one user run one after the other within a process (userLocks); between processes, the
// database's conflict detection decides, and transact tries again.
package mailstore
