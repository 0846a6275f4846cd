// Package search finds messages by what their documents and their texts say.
// IMAP's SEARCH is made of it; it knows no protocol.
//
// # Words
//
//   - key: a condition on a message, or a combination of others (Key).
//   - plan: a search of one mailbox, divided into what the database finds
//     (ranges of UIDs and a filter) and what remains to be decided (the
//     residual).
//   - candidate: a message that ranges and filter leave.
//   - text: what a reader sees of a header field or of a part: transfer
//     encoding and charset undone, of HTML what is shown, then mapped
//     (package casemap). Texts are compared octet by octet.
//   - needle: a mapped text that is looked for.
//
// # How a search flows
//
//		protocol: its grammar, sets of numbers resolved to ranges of UIDs
//		  -> Key
//		  -> Compile (pure): simplified tree -> Plan{UIDs, Filter, Residual}
//		  -> Searcher.Run: what the text index does not rule out (narrow, package index)
//		       -> candidates by one query, in batches, shared by several goroutines
//		       -> matcher: the candidate's document decides
//		       -> or else its contents, many read by one query
//		            -> header, then part after part -> sink: maps the text
//	                -> finder: all needles in one pass
//		  -> Found, by ascending UID
//
// The filter names the fields of message documents by the constants that
// package mailstore exports beside its Query, of which they are the vocabulary.
// Nothing else of the store is known here but Query, Message and Fields.
//
// # What always holds
//
//   - The filter leaves every message that the search matches: what a document
//     cannot tell for sure is in the residual, too.
//   - A message is read only as far as it takes: document, header, parts, each
//     once for all needles.
//   - The text index only saves work: what it cannot tell is read.
//   - Text is searched as it is decoded, in bounded memory, whatever the size
//     of a part.
//   - Damage in a text ends that text. A message whose content the store cannot
//     read is logged and not found; the search goes on.
//   - Users take turns on the processors while texts are searched (turns), however
//     many searches each of them runs.
package search
