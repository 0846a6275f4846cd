// Package section finds the parts of a message that a client can ask for: from
// a part number and a word such as HEADER or TEXT to a range of the message's
// bytes, and from a header to some of its fields.
//
// # Words
//
//   - message: a prefix, the trace lines that one delivery added, and a content
//     (package contents), which has a part table.
//   - section: what BODY[...] of IMAP names (RFC 3501 section 6.4.5). IMAP's syntax
//     of it is no business of this package; HTTP and JMAP name the same things in
//     other ways.
//   - span: a range of a message's bytes: some of the prefix, then some of the
//     content.
//
// # Data flow
//
//	Section + Message -> Span -> Span.Write -> bytes
//	                                        -> FieldSelector -> chosen header fields
//
// # What always holds
//
//   - No byte is read to find a span, and a span is written without being held
//     in memory.
//   - A section that a message does not have is the empty span, as Dovecot
//     answers it.
//   - A FieldSelector passes lines on exactly as they are, and holds no more
//     than the start of one line (maxHeld).
package section
