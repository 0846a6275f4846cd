// Package mailview has the view of a mailbox that one session has: which messages
// its client knows, under which sequence numbers, and which changes the client was
// told of. It is pure: it reads no database and writes no response. A server hands
// it the changes that it read, and tells the client what comes back.
//
// # Words
//
//   - Numbering: the UIDs by sequence number (RFC 3501 section 2.3.1.2). It changes only
//     when the client is told so.
//   - gone: a message that no longer exists and still has its number, since its client
//     was not told.
//   - View: a Numbering, the messages that are gone, and up to which mod-sequence the
//     client was told of changes.
//
// # What belongs to the mailbox and what to the session
//
// State, mailstore.Changes and the list of UIDs beside it describe the mailbox. They
// are the same for all its sessions. A View is what one client was told. Sessions of
// one instance can so share what is known of the mailbox, and each keeps a View.
//
// # How a change flows
//
//	store.Changes(since View.ModSeq), store.UIDs if those are not complete -> View.Update -> Diff
//	  -> the session writes EXPUNGE for View.TakeGone, when it may; EXISTS for Diff.New;
//	     FETCH for Diff.Changed
//
// # What always holds
//
//   - A sequence number means the same message until TakeGone removes one.
//   - A Diff names each change once. A change that the session made and answered itself
//     (Reported, Removed) is in no later Diff.
//   - A View needs 4 bytes for each message.
package mailview
