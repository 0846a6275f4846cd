// Package transfer undoes the transfer encoding of a body, base64 (RFC 2045 section 6.8) or
// quoted-printable (RFC 2045 section 6.7), in such a way that the very same encoded bytes can be
// made again, whole or any range of them.
//
// # Words
//
//   - encoded bytes: the body as it is in the message, with line ends.
//   - decoded bytes: what they stand for; what is stored.
//   - recipe: how the encoded bytes are made from the decoded ones: length of the lines, line end,
//     and whether the last line ends with one. The identity recipe is that of bytes kept as they
//     came.
//   - mark: quoted-printable says nothing of where a decoded byte is in the encoded ones. A recipe
//     knows it for a place every 64 KiB, so that a range is made without all that is before it.
//   - tail: the encoded bytes behind the longest prefix that a recipe describes. Kept as it came.
//
// # What always holds
//
// For any input, the recipe's encoding of the decoded bytes followed by the tail is the input. A
// Decoder proves this while it decodes: it goes on only while the input is what the encoder would
// have written. So stray characters, uneven lines, mixed line ends, padding in the middle and
// non-zero pad bits start the tail, and what an ordinary mailer writes has none. In
// quoted-printable, so do bytes that are encoded without need, lower-case digits, and soft line
// ends at words.
//
// # Data flow
//
//	encoded -> Decoder -> decoded bytes, tail, Recipe
//	decoded range (Recipe.Map) -> Recipe.NewEncoder -> encoded range
package transfer
