// Package language reads the searches that people type into a search box:
//
//	from:ada subject:"analytical engine" has:attachment -is:read (cards OR looms) in:INBOX
//
// # Words
//
//   - term: a word, a phrase in quotes, or a name with a value (from:ada). With - before it, a message
//     must not match it. All terms must match, but where OR stands between them.
//   - needle: a text that a term looks for. Its hits are marked in what is shown of a message.
//
// A word or phrase without a name is looked for in all header fields and text parts, as a substring
// (IMAP's TEXT). The result is a search.Key and the folders it is for; the caller resolves these.
package language
