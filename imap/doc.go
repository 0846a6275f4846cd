// Package imap is the IMAP server (RFC 3501 and the extensions that its CAPABILITY
// names). It speaks the protocol through package wire and reaches mail through
// package account, which checks what the client may do.
//
// # Words
//
//   - connection (conn): one TCP, TLS or Unix connection, which is one session. One
//     goroutine reads its commands and answers them, in order.
//   - command: one command of the client, and what belongs to it alone.
//   - selected mailbox (selected): what SELECT or EXAMINE opened.
//   - view: the mailbox as the client knows it (package mailview).
//   - searching: one search of one mailbox, and what it found.
//   - context: a search whose client is told what comes to its results and what goes
//     (RFC 5267).
//   - annotation: an entry of metadata of a mailbox or of the server (RFC 5464). Sessions that
//     ask for it are told which ones others changed.
//   - notifications: what a session tells by itself, once the client has said of which mailboxes
//     and events it wants to hear (NOTIFY, RFC 5465). watched is such a mailbox.
//   - presenter: writes the untagged responses about messages: FLAGS, EXISTS, EXPUNGE,
//     FETCH.
//
// # How a command flows
//
//	input (deadlines, watch for disconnect) -> wire.Decoder -> rules
//	  -> handler (parses its arguments to CRLF, acts, writes untagged data)
//	  -> sync (changes by others, from account.Mailbox) -> tagged answer -> flush
//
// A handler has the form
//
//	func (c *conn) handleX(ctx context.Context, cmd *command) error
//
// and returns nil for OK (cmd.ok sets code and text), an *imap.Error for NO or BAD with
// a code, a *wire.SyntaxError for arguments that cannot be parsed, or any other error,
// which errors.go translates. It never writes the tagged answer itself. Its ctx ends
// when the client is gone or the server is cut off (Shutdown's ctx ended).
//
// # How a change by another session flows
//
//	event or poll -> sync: account.Mailbox.Changes since View.ModSeq -> View.Update -> Diff
//	  -> presenter: EXPUNGE (where the command allows it), EXISTS, FETCH
//
// With NOTIFY, changes in other mailboxes flow the same way: an event marks what there is to look
// at, and a look compares what the client knows (watched) with the database.
//
// # What always holds
//
//   - Only the connection's own goroutine writes, and only while a command is in
//     progress, which IDLE is too, or with NOTIFY while it waits for the next one.
//   - Bytes of a refused literal, and plain text sent before TLS, are never read as
//     commands.
//   - A sequence number means the same message until an EXPUNGE told the client
//     otherwise. No EXPUNGE is sent while FETCH, STORE or SEARCH is answered
//     (RFC 3501 section 7.4.1). Messages that others expunged meanwhile keep their number.
//   - A change is told once. A change that the session made and answered itself is noted
//     in the view (View.Reported, View.Removed) and left out.
//   - FLAGS announces a keyword before a FETCH response names it.
//   - A change is committed before it is answered or published.
//   - Events are only wake-ups: NOOP, CHECK and IDLE ask the database, and a session
//     without events polls; for those in IDLE, the server polls by one query (poller).
//   - A session that waits holds one goroutine and no buffers.
package imap
