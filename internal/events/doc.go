// Package events wakes up whoever looks at a user's mail when that mail has
// changed.
//
// # Words
//
// An event says what changed in whose mail: a user, a mailbox number, the
// mod-sequence the mailbox has now. A bus carries events from whoever committed
// a change to everybody subscribed to that user, in this process and, through
// Redis, in the other instances.
//
// # What holds
//
//   - An event is a wake-up, never the truth. Whoever receives one reads what
//     changed from the database. A lost event costs latency, never correctness;
//     subscribers poll now and then as well.
//   - Publish is called after the commit, never inside a transaction.
//   - Publish never waits for a subscriber, and does not fail the operation that
//     made the change: trouble with Redis is logged and counted.
//   - A subscription holds a bounded number of events. What would not fit is
//     replaced by a single Resync event: "read everything again".
//   - After a connection to Redis was lost and made again, every subscriber
//     receives Resync, because messages sent meanwhile are gone and the client
//     library says nothing of it.
//
// # Flow
//
//	commit -> Publish -> subscriptions in this process          (always)
//	                  -> Redis channel gadwall:u:<user in hex>  (NewRedis)
//	                       -> other instances that have subscribers of the user
package events
