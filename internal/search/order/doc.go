// Package order puts messages into the order that the SORT command of RFC 5256 asks for.
// It is pure: it knows what a message says about itself, and no store.
//
// # Words
//
//   - criterion: what messages are compared by, and in which direction. Several are compared
//     one after the other, as long as the messages are equal by those before.
//   - key: the octets that stand for a message under some criteria. Keys compare octet by
//     octet as the messages do, so that sorting needs nothing else of a message.
//   - number: the place of a message in its mailbox. It decides what all criteria leave open.
//
// # What always holds
//
//   - Texts come as package casemap gives them, and are compared in title case, which is the
//     order of i;unicode-casemap (RFC 5051).
//   - Sorting needs 24 octets for each message and its key: 8 for a date, the text and one
//     more for a text.
package order
