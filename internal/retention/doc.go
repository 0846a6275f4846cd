// Package retention removes messages that were in a mailbox for longer than they shall be: in Trash and
// Junk of all users by settings, in any mailbox by its own number of days. It is off unless somebody
// says so.
//
// # Words
//
//   - limit: how long messages stay in a mailbox. That of the mailbox comes before that of its special
//     use; 0 is for ever.
//   - save date: when a message came into its mailbox (RFC 8514). COPY and MOVE give a new one.
//   - run: one walk over all mailboxes that have a limit.
//
// # How
//
// Once a day one instance, which has the lease, makes a run:
//
//	mailboxes with a limit of their own           mailstore, by an index of them alone
//	mailboxes of the special uses with a limit    mailstore, by an index of uses
//	  the old messages of each                    mailstore.Expire, batch by batch
//
// A run reads a small document for each such mailbox, in each with messages one message that is not
// old, and the old ones. It rests three times as long as it works.
//
// # What always holds
//
//   - A message goes only if it was in the mailbox for the whole limit, as the clock of this process
//     and the one that saved it have it. The transaction that removes it looks once more.
//   - A removal is an expunge: quota, counters, journal and events are right after each transaction.
//   - A run may end anywhere, and two may be under way: each removes only what is old. The next one
//     finds what was left.
package retention
