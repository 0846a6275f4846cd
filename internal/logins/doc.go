// Package logins decides when a password may be checked. A check costs a processor tens of
// milliseconds, and a guess costs an attacker nothing. So checks take turns, and those after
// failures wait. All protocols of an instance share one Gate.
//
// # Words
//
//   - check: the comparison of one password, which a protocol does when the Gate lets it.
//
//   - client: who asks, by the address of the connection. Clients on the machine itself
//     (webmail, a balancer that tells no addresses) all have one address, which says nothing of them.
//
//   - source: what has turns and failures of its own. It is the client's address; the address and
//     the user, for a user who has logged in from there before; the user alone, for clients on the
//     machine.
//
//   - stranger: a client that names a user who has not logged in from its address before. To each
//     account, checks of strangers have turns and failures of their own, wherever they come from.
//
//   - recorder: writes the authentication log. Attempts that are alike are one entry.
//
// # What always holds
//
//   - Sources take turns. However many checks one source has waiting, another source waits for one
//     check of it at most.
//   - The delay after failures comes before the next check of the source, and its checks then
//     run one after the other: more connections do not buy more guesses.
//   - Failures are counted by user. A success clears those of its own user only.
//   - A source with failures of its own does not delay other sources: a user who has logged in from
//     an address before is not delayed by failures of others there.
//   - More addresses do not buy more guesses at one account: after a few failures, strangers wait for
//     one another there as if they were one source. They delay nobody who is known at an address, and
//     nobody on the machine itself, where sources are accounts anyway.
//   - No login waits for the authentication log, and failures fill neither memory nor the log.
//   - What is remembered is bounded; see limits.go.
package logins
