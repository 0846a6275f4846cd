// Package activity counts what an instance does for its clients, and what that costs the database.
//
// # Words
//
//   - operation: one kind of work, named by a protocol and a command of it: FETCH of IMAP, the
//     delivery of LMTP, getMessage of HTTP. Work that no client asked for is one operation, too.
//   - actor: who asks the database. Contexts carry it, and it knows which operation it is at.
//   - result: ok; refused (the client asked for what cannot be); failed (by trouble of the server);
//     aborted (the client went away).
//
// # How data flows
//
//	a protocol begins an operation          Actor.At, or Operation.Context
//	  its context reaches the driver
//	  the driver tells of each command      Counts.Monitor: counted for the operation
//	the protocol ends it                    Operation.Done: result and duration
//	Prometheus asks                         Counts.Collect
//
// # What always holds
//
// Counting takes no lock and allocates nothing; the driver allocates one event for each command of
// the database. The labels are those of operations, which protocols make when they start, so that
// no client can make more of them. An operation that was never used has no series.
package activity
