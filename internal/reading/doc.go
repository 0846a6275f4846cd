// Package reading makes of a stored message what a program shows to a reader: texts, HTML that can
// do no harm, and a list of attachments.
//
// # Words
//
//   - body: a text part that a reader sees as a part of the message, not as an attachment.
//   - attachment: any other leaf, and any embedded message.
//
// # Data flow
//
//	contents.Content (part table) -> Read -> Message: text, HTML -> sanitizer
//	                                      -> attachments, with the names that their headers say
//
// # What always holds
//
//   - HTML leaves this package through the sanitizer alone: no scripts, forms, frames, event handlers
//     or styles that load something, and no address of an image that a program would fetch.
//   - Of a message Read reads the bodies and the headers of attachments, each within a limit, and
//     no attachment.
package reading
