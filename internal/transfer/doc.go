// Package transfer undoes the transfer encoding of a body, base64 (RFC 2045 section 6.8) or
// quoted-printable (RFC 2045 section 6.7). From the decoded bytes it can make the very same encoded
// bytes again, all of them or any range.
//
// # Words
//
//   - encoded bytes: the body as it is in the message, with line ends.
//   - decoded bytes: the bytes for which the encoded ones stand. The store keeps these.
//   - recipe: the description of how to make the encoded bytes from the decoded ones: the length of
//     the lines, the line end, and whether the last line ends with one. Bytes kept as they came
//     have the identity recipe.
//   - mark: a place in the encoded bytes whose place in the decoded bytes is known. In
//     quoted-printable it cannot be computed, so a recipe has a mark every 64 KiB. An encoder makes
//     a range from the mark before it.
//   - tail: the encoded bytes behind the longest prefix that a recipe describes. Kept as it came.
//
// # What always holds
//
// For any input, the recipe's encoding of the decoded bytes followed by the tail is the input. A
// Decoder proves this while it decodes: it goes on only while the input is what the encoder would
// have written. So stray characters, uneven lines, mixed line ends, padding in the middle and
// non-zero pad bits start the tail. In quoted-printable, bytes encoded without need, lower-case
// digits, and soft line ends at words start it, too. The bodies of ordinary mailers have no tail.
//
// # Data flow
//
//	encoded -> Decoder -> decoded bytes, tail, Recipe
//	decoded range (Recipe.Map) -> Recipe.NewEncoder -> encoded range
package transfer
