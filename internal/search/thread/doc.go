// Package thread puts messages into threads, as the THREAD command of RFC 5256 answers
// them. It is pure: it knows what a message says about itself, and no store.
//
// # Words
//
//   - thread: a message and all that are below it.
//   - placeholder: a node without a message. It stands for a message that others refer
//     to and that is not among those given ("dummy" in RFC 5256).
//   - base subject: a subject without the marks of replies and forwards
//     (RFC 5256 section 2.1). Package envelope makes it.
//
// # What always holds
//
//   - Each message is in exactly one place.
//   - A node without a message has at least two children, and stands only at the top.
//   - Siblings are in the order of their dates, and of their numbers where these are
//     equal; a placeholder has the date of its first child.
//   - The work grows with the number of messages and references: at most maxDepth steps
//     for each reference, whatever the references are.
package thread
