// Package quota keeps the limits and the usage of each user. Only this package changes the
// counters.
//
// # Words
//
// The words are those of RFC 9208: a resource (STORAGE, counted here in octets, and MESSAGE) has a
// limit and a usage. A charge raises the usage when a message is stored, a release lowers it.
//
//   - own limit: the limit set for one user: a number, Unlimited, or Default. Default leaves the
//     choice to the policy.
//   - policy: the configuration of the process: the limits of users whose own limit is Default, and
//     the levels to warn at.
//   - limit in force: the own limit, or the policy's in place of Default.
//   - level: a percentage of a limit. A charge crosses it if the usage was below before and is not
//     after.
//
// # Representation
//
// The counters are fields of the user's document, so that a charge is part of the transaction that
// stores the message:
//
//	quota: {
//	  bytes:    int64  own limit; 0 = Default, -1 = Unlimited
//	  messages: int64  own limit; the same
//	  freeBytes:    int64  own limit (or, if that is no number, 2^60) minus usage
//	  freeMessages: int64  own limit (or, if that is no number, 2^60) minus usage
//	}
//
// The document stores the free amount, not the used one. Then "does it fit" compares a field with a
// constant, and a charge is one conditional update that no race can make wrong, not even a change
// of the limit. A limit set below the usage makes the free amount negative.
//
// For a user whose own limit is Default, the usage is 2^60 minus the same field. A limit d of the
// policy is a constant, too: a charge of n fits if free >= n + 2^60 - d. So the policy is in no
// document. A process that starts with another policy applies it to all such users at once and
// rewrites nothing. While processes with different policies run, each charges exactly by its own.
//
// # What always holds
//
//   - Every transaction that changes the sum of a user's message sizes charges or releases the
//     difference in the same transaction.
//   - Every message counts with its full size, as the user sees it, however much of it is shared
//     with others.
//   - Charges of one user follow one another, each knowing the usage it led to. So of all charges,
//     in all processes, exactly one crosses a level on the way up.
package quota
