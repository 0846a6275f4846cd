// Package quota keeps how much a user may store and how much is stored. It is the only place that moves the
// counters.
//
// # Words
//
// The words are those of RFC 9208: a resource (STORAGE, counted here in octets, and MESSAGE) has a
// limit and a usage. A charge raises the usage when something is stored, a release lowers it.
// A limit of 0 is no limit.
//
// # Representation
//
// The counters stand in the user's document, so that a charge is part of the transaction that
// stores the message:
//
//	quota: {
//	  bytes:    int64  limit, 0 = none
//	  messages: int64  limit, 0 = none
//	  freeBytes:    int64  limit (or Unlimited) minus usage
//	  freeMessages: int64  limit (or Unlimited) minus usage
//	}
//
// What is free is stored rather than what is used: then "does it fit" compares a field with a
// constant, and a charge is one conditional update that no race can make wrong, even with a change
// of the limit. A limit set below the usage makes the free amount negative.
//
// # What always holds
//
//   - Every transaction that changes the sum of a user's message sizes charges or releases the
//     difference in the same transaction.
//   - Usage is what the user sees: every message counts with its full size, however much of it is
//     shared with others.
package quota
