// Package ingest takes mail in over LMTP (RFC 2033) and SMTP (RFC 5321) and
// delivers it into mailboxes of this store. It relays nothing.
//
// # Words
//
// A connection carries transactions (MAIL, RCPT..., DATA or BDAT). The body of a
// transaction becomes one content, whatever the number of recipients; each
// recipient's message is that content behind a prefix of trace lines of its own
// (Return-Path, Delivered-To, Received). See internal/mailstore for these words.
//
// # Flow
//
//	socket -> guard -> go-smtp -> session -> contents.Writer -> mailstore.Deliver
//	            \__________ body ________/
//
// The guard frames the byte stream: it hands go-smtp one command line at a
// time, and hands the session the body. go-smtp keeps the state of the
// conversation and the order of replies.
//
// # What holds
//
//   - A recipient's 250 is sent after its message is durable, never before.
//   - Nothing is delivered unless the end of the body was seen: the dot line,
//     or all octets of the chunk marked LAST. A connection that ends before leaves nothing
//     behind.
//   - A body that is refused is read to its end and thrown away. No octet of a
//     body is ever read as a command. Where its end cannot be known (a BDAT
//     command that makes no sense), the connection is closed.
//   - The body is never held in memory; it goes to the content writer in pieces
//     of copyBuffer octets.
//   - Message octets are stored as sent, CRLF by CRLF: only dot-stuffing is undone
//     (RFC 5321 section 4.5.2). A line ends with CRLF and nothing else; bare CR and LF
//     are part of the text. So "LF . LF" and the like do not end a message.
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
//	421 4.3.2  shutting down
//
// LMTP answers for every recipient by itself. A user named more than once in a transaction, by the
// same address, by an alias or with another +detail, gets the message once, and every
// such RCPT the same answer; Dovecot does so for the same address. SMTP has a single answer for all: 250 if
// all have it, otherwise the failure, the temporary one first. So that nobody's mail is lost, that is
// also the answer when only some failed; a sender that tries again then gives
// the others a second copy. It is rare, because a full mailbox is noticed at RCPT. LMTP has
// no such problem.
//
// Mail for user+detail goes to the user's INBOX. There is no check for loops:
// nothing here sends mail on.
package ingest
