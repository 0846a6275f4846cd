// Package feed tells what happened to the mail of a user since a position, in order: the events
// behind GET /users/{id}/updates and behind webhooks.
//
// # Words
//
//   - event: one thing that happened: a new message, other flags, a move (Kind).
//   - position: up to where a reader was told. It is a text that the reader hands back. It is made of
//     mod-sequences, UIDs, and numbers of journal entries. There is no queue: the store forgets
//     nothing that it could tell, as long as its journal keeps it.
//   - mark: of a mailbox, the mod-sequence up to which changes were told, and the UID below which new
//     messages were.
//   - cursor: where a reader is within one mailbox, or within one entry of the user's journal. An
//     event in the middle of many has a position with a cursor.
//   - base: marks that the database keeps, so that the position of a user with very many mailboxes
//     stays short: it names the base and has the marks that differ.
//   - watch: tells an operator what happens to all users while it happens, with a bound for what it reads,
//     and with no position.
//   - notes: the entries of the user's own journal: the list of mailboxes and the quota.
//
// # Flow
//
//	Now -> position
//	Read(position) -> events, each with the position after it -> Read(position of the last one)
//	Watch(what) -> Watch.Next, which reads what the events of all users enclose
//	Follow(position) -> Stream.Next, which waits for events of package events, and looks now and then
//
// Read tells first what is left of a mailbox in which it stopped, then notes, then mailbox by mailbox:
// new messages by UID, other flags by mod-sequence, then the journal: moves, removals and lessons.
//
// # What always holds
//
//   - Each message that came into a mailbox and is still there is told once, as new or as moved. Each
//     that went is told once, as moved or as expunged. One that came and went before it was read is
//     told as gone alone.
//   - Several changes of a message's flags may be told as one, with its flags of that moment.
//   - A reader that drops what it knows of UIDs that go, and takes over Messages of New and Moved,
//     has the state of the mailbox, wherever it was cut. It passes over flags of messages that it does
//     not know.
//   - The marks of several mailboxes need not be of one moment. A move is told by the journal of the
//     mailbox that the messages left, and by nothing else.
//   - Where the journal does not reach back, the error is ErrResync: never silence.
package feed
