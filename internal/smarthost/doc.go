// Package smarthost hands mail on to the one server that sends it into the world.
//
// # Words
//
//   - smarthost: the server, which speaks SMTP (RFC 5321) or submission (RFC 6409).
//   - transaction: one message on its way there: Begin says MAIL, then Rcpt, Data, Write, End. It has
//     a connection of its own until it ends, or until it yields: its client dawdles, and others wait.
//   - refusal: an answer of the smarthost that is no success. Trouble is everything else that keeps a
//     message from the smarthost; the message may be tried again.
//
// # What always holds
//
//   - A message of which the smarthost did not get the end does not exist for it: a transaction that
//     is aborted closes its connection, or says RSET where no message had begun.
//   - At most Options.Connections connections are open, and one user has at most a part of them. Who
//     finds none free waits, takes that of a client that dawdles, and is told to come back after
//     waitTimeout if there is none (yield.go).
//   - A connection is used again while it is fresh. If the smarthost has closed it meanwhile, the
//     transaction begins once more on a new one: nothing was said on it yet.
//   - Each command and each piece of a message has a time. No call waits longer for the smarthost.
//   - With a TLS mode, nothing is said in clear but the greeting and STARTTLS, and the certificate is
//     verified unless Options.TLS says otherwise.
package smarthost
