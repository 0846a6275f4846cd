// Package ingest takes mail in over LMTP (RFC 2033) and SMTP (RFC 5321) and delivers it into
// mailboxes of this store. In the role of submission (RFC 6409) it takes the mail that users send, and
// package submission relays it; the other roles relay nothing.
//
// # Words
//
// A connection carries transactions (MAIL, RCPT..., DATA or BDAT). The body of a transaction
// becomes one content, whatever the number of recipients. Each recipient's message is that content
// behind a prefix of trace lines of its own (Return-Path, Delivered-To, Received). See
// internal/mailstore for these words. A target is a mailbox that gets the message; recipients that
// lead to the same mailbox share a target.
//
// A role is which protocol a server speaks, and what that changes (role.go).
//
// # Flow
//
//	socket -> input -> conn -> transaction
//	             \------ body ------------> delivery -> contents.Writer -> mailstore.Deliver
//
// One goroutine per connection does everything in turn. It reads a command line (input.go), takes
// it apart (command.go, parameters.go), executes it (greeting.go, transaction.go, body.go, auth.go) and
// appends the reply to those that wait. Replies leave before the goroutine waits for the client.
// The body readers (dots.go) know where a body ends; the delivery knows what to do with it.
//
// # What holds
//
//   - The server sends a recipient's 250 after the message is durable, never before.
//   - The server delivers nothing unless it saw the end of the body: the dot line, or all octets of
//     the chunk marked LAST. A connection that ends before leaves nothing behind.
//   - The server reads a body that it refuses to its end and throws it away. It never reads an
//     octet of a body as a command. Where the end cannot be known (a BDAT command that makes no
//     sense), it closes the connection.
//   - A body is never held in memory; it goes to the content writer in pieces of copyBuffer octets.
//   - Octets are stored as sent: only dot-stuffing is undone (RFC 5321 section 4.5.2). A line ends
//     with CRLF and nothing else; bare CR and LF are part of the text. So "LF . LF" and the like do
//     not end a message. A command line may end with LF alone.
//   - Nothing that came in clear counts under TLS: STARTTLS throws away what was sent behind it.
//   - A fault (panic) ends its connection and releases what that had stored.
//   - Everything that a client decides is bounded: see limits.go.
//
// # Answers
//
//	250 2.1.5  delivered, durable
//	550 5.1.1  no such user (at RCPT)
//	452 4.2.2  over quota; 552 5.2.2 if so configured (at RCPT, or after the body)
//	552 5.3.4  larger than the limit (at MAIL if declared, else after the body)
//	452 4.3.1  the disk of the database is full
//	451 4.3.0  trouble of ours; the log has the cause
//	452 4.5.3  more recipients than maxRecipients
//	500, 501, 502, 504, 555  a command, argument or parameter that the server does not know
//	503 5.5.1  a command in the wrong order
//	421 4.7.0  more than maxMistakes commands of that kind, maxIdleCommands that do nothing for a
//	           message, or maxRefused unknown recipients; the connection ends
//	421 4.7.0, 421 4.3.2  too many connections, of an address or in all (instead of a greeting)
//	421 4.4.2  the client let its time pass; the connection ends
//	421 4.3.2  shutting down
//
// LMTP answers for every recipient by itself. A user named more than once in a transaction, by the
// same address, by an alias or with another +detail, gets the message once, and every such RCPT the
// same answer; Dovecot does so for the same address. SMTP has a single answer for all: 250 if all
// have it, otherwise the failure, the temporary one first. So that nobody's mail is lost, that is
// also the answer when only some failed; a sender that tries again then gives the others a second
// copy. It is rare, because a full mailbox is noticed at RCPT. LMTP has no such problem.
//
// Mail for user+detail goes to the user's INBOX. Mail for <Postmaster> goes where Options says.
// There is no check for loops: nothing here sends mail on.
//
// # Limits of clients
//
// A client is a trusted MTA (Options.TrustedMTAs, a Unix socket) or a stranger. Both have places of
// their own, so strangers cannot keep the MTA out, and a stranger has few of them (admission.go).
// A stranger must greet soon, may do little without delivering a message, and waits longer with
// each unknown recipient it asks for. What clients can cause as often as they like is logged by
// sparselog.
//
// # Log lines
//
// A delivery line names a message as everybody knows it: session and transaction, the client's
// queue id (head.go), Message-ID, envelope, user, UID. Nothing else of a message is logged.
//
// # Authentication
//
// With Options.Authenticator, the server offers AUTH (RFC 4954) with the mechanisms of package sasl.
// Submission has one, and refuses MAIL of clients that have not logged in (530 5.7.0). Nobody needs to
// authenticate to deliver to mailboxes of this store.
//
// # Submission
//
//	socket -> input -> conn -> transaction -> submission.Message
//	             \------ body ------------------^
//
// MAIL, RCPT and the end of the body have the answers of the smarthost (submission.go). There is one
// answer for all recipients, since the smarthost gives one.
package ingest
