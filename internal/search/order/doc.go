// Package order puts messages into the order that the SORT command of RFC 5256 asks for.
// It is pure: it knows what a message says about itself, and no store.
//
// # Words
//
//   - key: what messages are compared by, and in which direction. Several are compared
//     one after the other, as long as the messages are equal by those before.
//   - number: the place of a message in its mailbox. It decides what all keys leave open.
//
// Texts are compared as package casemap gives them, octet by octet, which is the order of
// i;unicode-casemap (RFC 5051) but for the case that decides it.
package order
