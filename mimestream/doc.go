// Package mimestream parses mail as it arrives: the caller writes bytes, in pieces of any size, and
// a Handler gets events, in constant memory. The parser never refuses a message. A part that is
// broken or exceeds a limit becomes an opaque body (see limits.go and Degraded).
//
// # Words
//
//   - part: a node of the MIME tree. The root is the whole message.
//   - header block: the header fields of a part with the empty line that ends them.
//   - leaf: a part whose body the parser does not look into.
//   - multipart: a part whose body is preamble, children between boundary lines, and epilogue.
//   - message: a message/rfc822 (RFC 2046 section 5.2.1) or message/global part (RFC 6532 section
//     3.7). It has exactly one child, the embedded message, whose header starts where the message
//     part's body starts.
//   - delimiter: a boundary line together with the line end before it (RFC 2046 section 5.1.1).
//     That line end belongs neither to the body before it nor to the header before it.
//   - structure: every byte that is not in the body of a leaf.
//
// # Data flow
//
//	Write -> carry (fewer than 128 undecided bytes) -> scan -> Handler
//
// Events come in the order of the bytes. For every part: PartBegin, its header block by Structure,
// then for a leaf BodyBegin, Body..., BodyEnd, for others the events of the children with Structure
// between them, and PartEnd.
//
// # What always holds
//
//   - Every byte written reaches the Handler exactly once and in order, by Structure or by Body.
//     The concatenation of both is the input.
//   - The tree and the concatenated events do not depend on how the input is cut into Writes.
//   - BodyOffset = HeaderOffset + HeaderSize, for every part; a child lies wholly within the body
//     of its parent; siblings do not overlap.
//   - Memory is bounded by the constants in limits.go, whatever the input.
//
// Line ends are CRLF or bare LF, mixed as they come. A CR without LF is data. Where the standards
// leave a choice, the parser does what Dovecot does, so that clients see the same tree.
package mimestream
