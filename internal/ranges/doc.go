// Package ranges divides long work on a collection into ranges of its keys. Instances take ranges
// one by one under leases, note in the database how far they are, and go on there after a kill.
//
// # Words
//
//   - job: a piece of work, known by its name.
//   - round: one run of a job through all keys. At most one round of a job is under way.
//   - range: the keys whose first octet is in an interval. Keys of users, contents, blobs and files
//     are random in their first octets, so ranges are about equally large.
//   - position: the first key of a range that is not done yet.
//
// # Documents
//
// The collection rounds has a document for each round that is under way, and one for each range of
// it that was begun:
//
//	{_id: job, round, begun, ranges, note}
//	{_id: job/round/range, job, token, at, n, done, note}
//
// A round over few documents is local: it has one range and leaves nothing in the database.
//
// n counts documents. note belongs to the job: what it found, for instance.
//
// # What holds
//
//   - A range is done by the holder of a lease of its own (package lease). Every Save names the token
//     of that lease, and fails with lease.ErrLost after another instance has saved with a later one.
//     So no instance that was stopped for long puts an older position over a newer one. Until its
//     next Save such an instance does the same work as its successor: a job must be harmless then.
//   - What is before the position is done. What is behind it may be done: the instance may have been
//     killed before it could save. So a job must be harmless when a part of it is done twice.
package ranges
