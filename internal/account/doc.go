// Package account is the layer that knows who is asking. Protocols (imap, internal/httpapi) and
// tools that act for a user reach the user's mail through an Account. They never call package
// mailstore with a user id of their own choice.
//
// # Words
//
//   - actor: the user who is logged in.
//   - target user: the user whose mail it is. It is another one than the actor for master users
//     (Options.Masters), and for a mailbox that another user shares: then the access control list
//     of the mailbox tells the actor's rights.
//   - name: what the actor calls a mailbox. Those of other users are below OthersPrefix or
//     PublicPrefix.
//   - login: one attempt of a client to be somebody. Accounts.Login has the client wait for its turn
//     (package logins) and records the attempt in the authentication log, whichever protocol it is.
//   - rights: what the actor may do, by the letters of RFC 4314 section 2.1. The owner has all of
//     them.
//   - Attempt: what a client says when it logs in. A Verifier finds out which user that is.
//   - Account: actor, target user and rights. It lists, creates, renames and deletes mailboxes, and
//     opens one.
//   - Mailbox: an opened mailbox. It has the operations on messages, and a cache for their
//     contents.
//   - Import: messages on their way into a mailbox: added one by one, then committed together or
//     discarded.
//
// # Flow
//
//	Accounts.Login -> Account -> Open, Destination -> Mailbox -> Messages, StoreFlags, Copy, ...
//	                          |                               -> Contents
//	                          |                               -> Import -> Add, Commit
//	                          -> Mailboxes, Create, Rename, Delete, Subscribe, Quota
//	                          -> Events
//
// # What always holds
//
//   - Each operation checks the rights it needs before it does anything, here and nowhere else. A
//     right that is missing is a *RightError, which matches ErrNoRight.
//   - An actor with neither Lookup nor Read on a mailbox is not told that it exists: what the actor
//     asks for fails with mailstore.ErrNoSuchMailbox (RFC 4314 section 6).
//   - A mailbox that was opened read-only (EXAMINE, RFC 3501 section 6.3.2) grants nothing that
//     changes it: such operations fail with ErrReadOnly.
//   - Rights are those of the moment of opening. The database decides everything else anew in each
//     operation.
//   - The references of an Import on contents go to messages at Commit or are released by Discard.
//     A caller that defers Discard cannot leak them.
//   - An operation sees what earlier operations of the same Account wrote and saw, on every shard of
//     a cluster: they follow one clock (database.Clock).
//   - A caller that subscribes to events before it opens a mailbox misses nothing: what was
//     committed after the opening is an event, or is told by Mailbox.Changes.
package account
