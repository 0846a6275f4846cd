// Package restore brings mail back from a backup of the embedded database: all of it, as a new data
// directory, or what one user lost, into a server that runs.
//
// # Words
//
//   - backup: a directory that gadwall backup made. Nothing here writes to it, so it may be on a
//     file system that is mounted read-only.
//   - view: a temporary directory that opens as the database of the backup. Its large files are
//     symbolic links to those of the backup, which the database only reads; the small ones that
//     the database appends to are copies.
//
// # Flow
//
//	Directory   backup -> copy in TO.partial -> the advance begins -> rename to TO -> advance
//	User        view -> messages of a user   -> account.Import    -> mailboxes of the server
//
// # What always holds
//
//   - A directory that Directory made and that is not advanced yet does not serve: mailstore.Open
//     refuses it. So no client meets UIDs that are given out twice. See mailstore.Store.Advance.
//   - Both may be interrupted at any time. Directory goes on where it was when it is told to
//     resume. User passes over messages that are in the target already.
//   - User adds to a server what a client could add: rights, quota, deduplication, UIDs and events
//     are those of an APPEND.
package restore
