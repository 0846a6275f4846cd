// Package stored reads mail that is there already, so that measurements can use it in the place of
// generated mail: an mbox, a Maildir, or a directory with a message in each file.
//
//	Open -> Mail (an index) -> Message
//
// # Words
//
//   - mbox: a file of messages, each after a line that begins with "From ", with an empty line
//     between them. Lines of messages that begin with "From " have one ">" more there.
//   - Maildir: a directory with directories cur and new. Mailboxes below it are read, too.
//
// # What always holds
//
//   - Messages have CRLF as line ends, and no NUL, as mail on the wire: other octets are as they
//     are in the files.
//   - Memory has the places of messages, not the messages. Files must not change meanwhile.
package stored
