// Package dedupe is how equal bytes are stored once: they are named by their hash, whoever uses
// them is counted, what nobody uses is collected, and an audit recounts.
//
// # Words
//
//   - hash: the BLAKE3-256 of some bytes; their name.
//   - document: the database document that describes the bytes of one hash. It has a key field that
//     holds the hash (with a unique index) and four counting fields, here without their prefix.
//   - referrer: a document of another kind that needs the bytes, and keeps hash and magic.
//   - refs: how many references to the document are counted (int64).
//   - magic: the sum of the magics of these references (int64). Every reference has a random magic
//     of its own, kept by the referrer; releasing the reference subtracts the same magic.
//   - touched: when refs and magic were changed last.
//   - quarantined: when a collector found the document unused. Absent on live ones.
//   - leak: a reference that is counted, and that no referrer has or will ever have.
//
// # What always holds
//
//   - A reference is added before the referrer is written, and removed after the referrer is gone.
//     Whatever stops in between leaves refs too high, never too low: space is lost until an audit
//     recounts, bytes are not.
//   - refs = 0 and magic = 0 together say that nothing refers to the document. If refs is 0 and
//     magic is not, something was released that was not held, and the document stays.
//   - A document is deleted in two steps, each conditional on the state it saw: refs = 0 and magic
//     = 0 sets quarantined; refs = 0, magic = 0 and quarantined for long enough deletes. Adding a
//     reference clears quarantined in the same update that counts it. So one of the two comes
//     first: either the reference is counted and the delete finds nothing to delete, or the
//     document is gone, Add reports that it does not exist, and the caller stores the bytes anew.
//   - Removing is never repeated when its outcome is unknown. The driver's retryable writes, which
//     the server applies once, are the only retry.
//   - Nothing is done late. A reference that was added and not given to a referrer within MaxHold
//     is not used and not released any more; one whose referrer is gone is released within
//     MaxRelease or never. What is left is a leak. That is what lets an audit call a leak a leak.
//
// Whoever writes or removes referrers changes the counts outside of transactions on purpose: a logo
// in every mail of a company would otherwise make all deliveries conflict.
//
// # Collecting
//
// A Collector needs nothing but the conditions above: it is safe beside writers, beside other
// collectors, and whenever it is stopped. A partial index on documents with refs = 0 makes its cost
// that of the garbage, not of the store. What the document itself refers to is released in the
// transaction that deletes it (Holds), so that no crash leaks it; these transactions are small and
// the only ones that change counts. A document that is made of others (Deleted) is returned by the
// database to one caller only, who then deletes the rest; what a crash leaves of that is an orphan.
//
// The grace period between the two steps is not for the writers but for readers, who hold no
// reference: a message that is expunged while somebody reads it can be read to its end.
//
// # Auditing beside live traffic
//
// An Auditor compares what is counted (R) with what all referrers together hold (E). Both move
// while it reads, in a store of any size for hours, so a difference alone says nothing. What it
// decides:
//
//   - It begins at T0, reads the counts, then all referrers. A source that moves referrers (a
//     message goes to another mailbox, the reference stays the same) must show all those among
//     which they move at one moment, else one could be passed over: Tally.Commit.
//   - When it has read them it waits for Settle, at least MaxRelease, and reads R again, at T2. It
//     judges only documents with touched before T0 - Grace, Grace being more than MaxHold.
//   - So every reference in R was added before T0 - Grace. If it ever had a referrer, it had it
//     before T0; if that referrer was there when it was read, the reference is in E. If not, then
//     it had gone before, and would have been released by T2, which would have touched the
//     document. So what R has and E has not is leaked. And what E has and R has not was never
//     counted, since nothing was removed.
//   - The repair is one update, conditional on refs, magic and touched being what was read at T2.
//     Whatever happens first makes the other do nothing or start from the right count.
//
// What was touched later is left for the next audit. If a single referrer could not be read,
// nothing is lowered.
//
// The counts of documents are compared in passes over ranges of hashes, each with a table of
// bounded size, so memory does not depend on the size of the store. A store of up to TableSize
// documents takes one pass.
package dedupe
