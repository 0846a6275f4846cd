// Package wire reads and writes the lexical elements of IMAP
// (RFC 3501 section 9, RFC 9051 section 9): atoms, strings, literals, numbers, number
// sets, lists, dates and mailbox names.
//
// # Words
//
// A command is one or more lines. A line that ends in a literal mark ({5},
// {5+}, ~{5}) is followed by that many bytes of any kind, and then by the next
// line of the same command. A line without a mark ends the command.
//
// # Decoder
//
// The [Decoder] reads a whole line (bounded) before anything of it is parsed.
// It therefore always knows where the command ends, whatever the parser thought
// of it, and [Decoder.Resync] finds the start of the next command after any
// error: the bytes of a refused literal are never read as commands.
//
//   - A synchronising literal that was not opened is not sent by the client:
//     the tagged NO or BAD is the answer to its mark (RFC 3501 section 4.3).
//   - A non-synchronising literal (RFC 7888) comes in any case and is drained,
//     up to [MaxDrain] bytes; beyond them the connection has to be closed.
//
// Everything is bounded by the constants in limits.go; what passes them is a
// [*SyntaxError], which the connection answers with BAD (or NO when it carries
// a response code such as TOOBIG) and which never costs memory beyond the
// bound. Strings returned by the decoder are copies.
//
// # Encoder
//
// The [Encoder] buffers, keeps the first error, and never writes something
// that is not IMAP: a string that cannot be quoted becomes a literal, text of
// status responses loses its line ends, and a literal whose writer gives a
// different number of bytes than announced breaks the connection instead of
// the protocol.
package wire
