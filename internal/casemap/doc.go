// Package casemap gives the form of text in which substrings are compared. Case
// does not matter in it, nor do different encodings of the same character, nor
// characters that no reader sees.
//
// It is i;unicode-casemap (RFC 5051) in lower case: invisible characters go; each
// other character is mapped to title case, then to lower case, then decomposed by
// compatibility, again and again until nothing changes; then combining marks are put
// in canonical order. Both what is searched and what is searched for is mapped.
//
// # Words
//
//   - mapping: the text that stands for one character.
//   - mark: a character that combines with the one before it: its canonical combining
//     class is not 0. Marks that follow one another have an order of their own.
//   - long mapping: one of at least LongMapping octets. U+FDFA becomes 33 octets. A
//     Folder hands such ones out, so that its caller can treat each as one step.
//
// # What always holds
//
//   - The result is valid UTF-8, for any input: an octet that is not UTF-8 is read as
//     windows-1252.
//   - Mapping what was mapped changes nothing.
//   - The result does not depend on the pieces in which a Folder gets a text.
//   - What a Folder keeps is at most maxMarks marks.
package casemap
