// Package imap is the IMAP server (RFC 3501 and the extensions that its
// CAPABILITY names): it speaks the protocol through package wire and reaches mail
// through package account, which checks what the client may do.
//
// # Words
//
// A connection (conn) is one TCP or TLS connection; one goroutine reads its
// commands and answers them, in order. A selected mailbox (selected) is what
// SELECT or EXAMINE opened. Its view is the mailbox as the client knows it:
// the UIDs by sequence number, and the mod-sequence up to which the client was
// told of changes.
//
// # How a command flows
//
//	input (deadlines, watch for disconnect) -> wire.Decoder -> dispatch
//	  -> handler (parses its arguments to CRLF, acts, writes untagged data)
//	  -> sync (changes by others, from account.Mailbox) -> tagged answer -> flush
//
// A handler has the form
//
//	func (c *conn) handleX(ctx context.Context, cmd *command) error
//
// and returns nil for OK (cmd.ok sets code and text), an *imap.Error for NO or
// BAD with a code, a *wire.SyntaxError for arguments that cannot be parsed, or any
// other error, which errors.go translates. It never writes the tagged answer itself.
// Its ctx ends when the client is gone or the server stops.
//
// # What always holds
//
//   - Only the connection's own goroutine writes, and only while a command is
//     in progress, which IDLE is too.
//   - Bytes of a refused literal, and plain text sent before TLS, are never
//     read as commands.
//   - A sequence number means the same message until an EXPUNGE told the
//     client otherwise; no EXPUNGE is sent while FETCH, STORE or SEARCH is
//     answered (RFC 3501 section 7.4.1). Messages that others expunged meanwhile
//     keep their number in the view.
//   - What is read from the mailbox's changes is sent once: a change that the
//     session made itself and reported is remembered by its mod-sequence
//     (view.reported) and left out.
//   - A change is committed before it is answered or published.
//   - Events are only wake-ups: NOOP, CHECK and IDLE ask the database, and a
//     session without events polls.
package imap
