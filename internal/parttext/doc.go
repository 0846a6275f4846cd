// Package parttext makes of the body of a text part what a reader of the message sees: the charset
// undone, and of HTML what is shown. Searches look in this text, and the preview of a message is
// its beginning.
//
//	body -> mimestream.NewDecoder (transfer encoding) -> Decode (charset) -> HTML, for text/html
//
// # What always holds
//
//   - Every step takes any octets, and works on them as they come, in bounded memory.
//   - The text does not depend on the pieces in which the octets come.
package parttext
