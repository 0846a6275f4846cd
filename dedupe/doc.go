// Package dedupe stores equal bytes once. Their name is their hash. A Counter counts the references
// to them, a Collector deletes bytes without references, and an Auditor recounts.
//
// # Words
//
//   - hash: the BLAKE3-256 of some bytes, which is their name.
//   - document: the database document that describes the bytes of one hash. It has a key field that
//     holds the hash (with a unique index) and four counting fields, here without their prefix.
//   - referrer: a document of another kind that needs the bytes, and keeps hash and magic.
//   - refs: the number of counted references to the document (int64).
//   - magic: the sum of the magics of these references (int64). Every reference has a random magic
//     of its own, kept by the referrer; releasing the reference subtracts the same magic.
//   - touched: the time of the last change of refs or magic.
//   - quarantined: the time at which the document was found unused: by the release of its last
//     reference, or by a collector. A document in use has no such field.
//   - leak: a counted reference that no referrer has or will ever have.
//
// # What always holds
//
//   - A caller adds a reference before it writes the referrer, and removes it after the referrer is
//     gone. A crash in between leaves refs too high, never too low. That costs space until an audit
//     recounts, and loses no bytes.
//   - refs = 0 and magic = 0 together mean that nothing refers to the document. If refs is 0 and
//     magic is not, somebody released a reference that was not counted, and the document stays.
//   - A document is deleted in two steps, each conditional on the state it saw: refs = 0 and magic
//     = 0 sets quarantined (the update that takes the last references does so at once); refs = 0,
//     magic = 0 and quarantined for long enough deletes. Adding a
//     reference clears quarantined in the same update that counts it. So one of the two comes
//     first. If it is the reference, the delete finds nothing to delete. If it is the delete, Add
//     reports that the document does not exist, and the caller stores the bytes anew.
//   - A caller never repeats a Remove whose outcome is unknown. The driver's retryable writes,
//     which the database applies once, are the only retry.
//   - References have deadlines. A caller neither uses nor releases a reference that got no
//     referrer within MaxHold. A caller whose referrer is gone releases the reference within
//     MaxRelease or never. What is left is a leak. An audit relies on these deadlines.
//
// Callers change the counts outside of transactions on purpose: a logo in every mail of a company
// would otherwise make all deliveries conflict.
//
// # Collecting
//
// A Collector relies on the conditions above only. So it is safe beside writers, beside other
// collectors, and wherever it stops. A partial index on documents with refs = 0 makes its cost
// depend on the garbage, not on the size of the store. The transaction that deletes a document also
// releases the references that the document itself holds (Holds), so that no crash leaks them.
// These transactions are small, and no others change counts. If a document stands for other
// documents, such as the chunks of a file (Deleted), the database returns the deleted document to
// one caller only, and that caller deletes the others. What a crash leaves of them is an orphan.
//
// The grace period between the two steps is for readers, who hold no reference: a client can read a
// message to its end while another client expunges it.
//
// # Auditing beside live traffic
//
// An Auditor compares the counts (R) with the references of all referrers (E). Both change while it
// reads, which takes hours in a large store, so a difference alone says nothing. It decides as
// follows:
//
//   - It begins at T0, reads all referrers, then the counts. A referrer may move (a message goes to
//     another mailbox, and its reference stays the same). The source must then show all places
//     among which it moves as of one moment, else the audit could pass over it: see Tally.Commit
//     and Tally.AddMoving.
//   - It waits until Settle, at least MaxRelease, has passed since it read the last referrer, and
//     reads R of what differs again, at T2. It judges only documents with touched before T0 - Grace
//     at both times. Grace is more than MaxHold.
//   - So every reference in R was added before T0 - Grace. If it ever had a referrer, it had it
//     before T0. If the audit found that referrer, the reference is in E. If not, the referrer was
//     gone by then; its reference would have been released by T2, and the release would have
//     touched the document. So a reference in R and not in E is leaked. A reference in E and not in
//     R was never counted, since nothing was removed.
//   - The repair is one update, conditional on refs, magic and touched being what was read at T2.
//     If another update comes first, the repair does nothing; if the repair comes first, the other
//     update starts from the right count.
//
// The audit leaves documents that were touched later to the next audit. If it could not read a
// single referrer, it lowers no count.
//
// The audit sorts the references by hash in temporary files, and walks along them and along the counts
// once. So its cost grows with the number of references, and its memory does not.
package dedupe
