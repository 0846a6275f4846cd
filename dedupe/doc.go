// Package dedupe is how equal bytes are stored once: they are named by their hash, and whoever
// uses them is counted.
//
// # Words
//
//   - hash: the BLAKE3-256 of some bytes; their name.
//   - document: the database document that describes the bytes of one hash. It has a key field that
//     holds the hash (with a unique index) and three counting fields, here without their prefix.
//   - refs: how many referrers the document has (int64).
//   - magic: the sum of the magics of these references (int64). Every reference has a random magic of
//     its own, kept by the referrer; releasing the reference subtracts the same magic.
//   - quarantined: the time at which a collector found the document unused. Absent on live ones.
//
// # What always holds
//
//   - A reference is added before the referrer is written, and removed after the referrer is gone.
//     Whatever stops in between leaves refs too high, never too low: space is lost until an audit
//     recounts, bytes are not.
//   - refs = 0 and magic = 0 together say that nothing refers to the document. If refs is 0 and magic
//     is not, something was released that was not held, and the document stays.
//   - A document is deleted in two steps, each conditional on the state it saw: refs = 0 and magic = 0
//     sets quarantined; refs = 0, magic = 0 and quarantined for long enough deletes. Adding a
//     reference clears quarantined in the same update that counts it. So one of the two comes first:
//     either the reference is counted and the delete finds nothing to delete, or the document is
//     gone, Add reports that it does not exist, and the caller stores the bytes anew.
//   - Removing is never repeated when its outcome is unknown. The driver's retryable writes, which the
//     server applies once, are the only retry.
//
// The counts are changed outside of transactions on purpose: a logo in every mail of a company would
// otherwise make all deliveries conflict.
package dedupe
