// Package submission sends the mail of users (RFC 6409): it asks who may send what as whom, hands
// messages to the smarthost, and keeps a copy in the sender's mailbox of use \Sent. Package ingest
// speaks SMTP in front of it, internal/httpapi HTTP.
//
// # Words
//
//   - smarthost: the server that sends the mail into the world; see package smarthost.
//   - copy: the message as it comes to be in the mailbox of use \Sent.
//   - refusal: why a message, or a recipient, is not taken: a reply of SMTP.
//
// # Flow
//
//	Begin -> MAIL at the smarthost      the sender is checked before
//	Rcpt  -> RCPT at the smarthost      its answer is the client's
//	Start -> limits, quota; DATA at the smarthost
//	Write -> splitter -> wire           without Bcc, with Received
//	                  -> copy           as it came
//	Finish -> copy durable -> end of the message at the smarthost -> copy into \Sent
//
// The body goes to the smarthost while it comes in, so a message is never held in memory, and the
// smarthost's time begins when the client's does. The bytes of the copy are durable before the
// smarthost gets the end of the message. So what is left to do when the smarthost has the message is
// one transaction with a small document, which can be tried again from memory.
//
// # What always holds
//
//   - A message is taken only after the smarthost took it. Then its copy is in the mailbox, \Seen, or
//     waits in memory for the database, or its loss is logged.
//   - A message that is not taken leaves nothing: the smarthost never gets its end, and its content
//     is released. One case is open: if the connection breaks after the end of the message, nobody
//     knows whether the smarthost has it. The client is told to try again.
//   - The mailbox has one copy, also if the client saves one itself, before or after; see
//     mailstore.Once.
//   - The limits of a user are those of all instances together. What the smarthost does not take is
//     not counted.
//   - Neither addresses of Bcc fields nor what a client said before STARTTLS reach the smarthost.
package submission
