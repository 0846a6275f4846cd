// Package sasl has the server side of the SASL mechanisms (RFC 4422) by which clients log in. IMAP,
// submission and the HTTP API share one Authenticator.
//
// # Words
//
//   - mechanism: how a client proves who it is, by its registered name such as PLAIN.
//   - exchange: one attempt with one mechanism: challenges of the server, responses of the client.
//     An Exchange is a Server of github.com/emersion/go-sasl. The protocol carries its messages, and
//     knows nothing of what is in them.
//   - client: who speaks, and what is known of its connection.
//
// # Flow
//
//	protocol -> Authenticator.Mechanisms -> what it offers
//	         -> Authenticator.Begin -> Exchange.Next, Next, ... -> Exchange.Account
//	         -> Authenticator.Password, where a protocol has a password and no mechanism
//
// Each of them ends in one check of a credential, which waits for its turn (package logins) and
// passes account.Accounts.Login.
//
// # What always holds
//
//   - A mechanism is begun only if it is offered to this client. Passwords are not asked of clients
//     whose connection anybody can read.
//   - An exchange ends with an account or an error, and then no further response is read. Errors:
//     ErrMalformed if the client breaks the rules of the mechanism, mailstore.ErrAuthFailed if it
//     does not prove who it is, mailstore.ErrSuspended and account.ErrNotAuthorized if it does but
//     may not log in, logins.ErrTooMany. Any other error is trouble of the server, which says
//     nothing of the client; ErrUnavailable is trouble of a server that is asked.
//   - A mechanism whose server speaks last sends its last message as a challenge, to which the
//     client has an empty response: neither IMAP nor SMTP has another place for it.
//   - Passwords and tokens are in no error and no log.
package sasl
