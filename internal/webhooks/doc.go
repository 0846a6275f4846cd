// Package webhooks sends what happens to mail to URLs that operators name.
//
// # Words
//
//   - hook: a URL, a secret, the kinds of events it wants, and whose: one user's, or all users'.
//   - reader: where a hook is with one user: a position of package feed. It is due when there may be
//     something to send. Readers that are due are the queue.
//   - delivery: one request with some events of one user.
//   - letter: a delivery that was given up, kept for an operator to send it again.
//
// # Flow
//
//	change -> Registry.Before makes a reader at the position before the change, if there is none
//	       -> commit
//	       -> Registry.Bus: the reader is due; then the client has its answer
//	Sender (one instance, under a lease) -> readers that are due -> feed.Read -> POST, signed
//	       -> 2xx: the reader's position moves on
//	       -> else: the reader is due again later; after giveUp the delivery becomes a letter
//
// There is no copy of events: a reader asks the feed, which tells what the database knows. So a hook
// whose URL is down for a day costs a document for each user, and no more.
//
// # What always holds
//
//   - Events of one user come to one hook in order, one request after the other. A position moves on
//     after the 2xx, so a crash between the two sends a delivery again, with the same id.
//   - A change that was acknowledged is sent. If a process dies between a commit and its answer, the
//     change is sent with the user's next one.
//   - A hook hears of what happens once all instances know it: refreshInterval after it was made.
//   - A URL that fails delays its own hook alone.
package webhooks
