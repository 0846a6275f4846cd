// Package quota keeps how much a user may store and how much is stored. It is the only place that
// moves the counters.
//
// # Words
//
// The words are those of RFC 9208: a resource (STORAGE, counted here in octets, and MESSAGE) has a
// limit and a usage. A charge raises the usage when something is stored, a release lowers it.
//
//   - own limit: what was set for one user: a number, Unlimited, or Default, which leaves the
//     choice to the policy.
//   - policy: what the process was configured with: the limits of users whose own is Default, and
//     the levels to warn at.
//   - limit in force: the own limit, or the policy's in place of Default.
//   - level: a percentage of a limit. A charge crosses it if the usage was below before and is not
//     after.
//
// # Representation
//
// The counters stand in the user's document, so that a charge is part of the transaction that
// stores the message:
//
//	quota: {
//	  bytes:    int64  own limit; 0 = Default, -1 = Unlimited
//	  messages: int64  own limit; the same
//	  freeBytes:    int64  own limit (or, if that is no number, 2^60) minus usage
//	  freeMessages: int64  own limit (or, if that is no number, 2^60) minus usage
//	}
//
// What is free is stored rather than what is used: then "does it fit" compares a field with a
// constant, and a charge is one conditional update that no race can make wrong, even with a change
// of the limit. A limit set below the usage makes the free amount negative.
//
// Of a user whose own limit is Default, the same field says what is stored (2^60 minus it), and a
// limit d of the policy is a constant, too: the charge of n fits if free >= n + 2^60 - d. So the
// policy stands in no document; another one is in force for all such users at once when a process
// starts with it, with nothing to be rewritten and no moment at which one is charged by half of
// each. Processes with different policies, while they are restarted one by one, each charge exactly
// by their own.
//
// # What always holds
//
//   - Every transaction that changes the sum of a user's message sizes charges or releases the
//     difference in the same transaction.
//   - Usage is what the user sees: every message counts with its full size, however much of it is
//     shared with others.
//   - Charges of one user follow one another, each knowing the usage it led to. So of all charges,
//     in all processes, exactly one crosses a level on the way up.
package quota
