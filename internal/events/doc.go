// Package events tells sessions that a user's mail has changed, in this process and in others.
//
// # Words
//
//   - event: what changed in whose mail: the user, the number of the mailbox, and the mod-sequence
//     that the mailbox has now.
//
//   - bus: carries events from the code that committed a change to all subscribers of that user: to
//     those of this process, and through Redis to those of other instances.
//
//   - watch: collects the changes of all users for one receiver: for an operator who looks on.
//
// # What always holds
//
//   - An event wakes its receiver up. It is not the truth: the receiver reads what changed from the
//     database. A lost event delays an answer and never makes it wrong, since subscribers also poll.
//
//   - Callers publish after the commit, never inside a transaction.
//
//   - Publish never waits for a subscriber. When Redis fails, Publish logs and counts the failure;
//     the change that was committed stands.
//
//   - A subscription holds a bounded number of events. When one more comes, a single Resync event
//     takes the place of all: "read everything again".
//
//   - When another instance was killed, every subscriber receives Resync (Doubt), one after the
//     other: the instance may have ended between a commit and its event.
//
//   - After the bus has lost its connection to Redis and made a new one, every subscriber receives
//     Resync: Redis does not keep what was published meanwhile.
//
//   - While nobody watches, a watch costs nothing: no connection, no command. What it costs while
//     somebody does is a connection to Redis, and no further command for an event. A watch keeps a bounded
//     number of changes, and counts the rest.
//
// # Flow
//
//	commit -> Publish -> subscriptions in this process          (always)
//	                  -> Redis channel gadwall:u:<user in hex>  (NewRedis)
//	                       -> other instances that have subscribers of the user
//	                       -> other instances that watch, by the pattern gadwall:u:*
package events
